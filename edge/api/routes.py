"""The data plane's paths, looked up before the router and its layers."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Final

from starlette.types import ASGIApp

from edge.api.cors import answer_preflight, is_preflight
from edge.api.http import Receive, Scope, Send

PREFIXES: Final = ("/v1", "/api/v1")
"""Where clients expect OpenAI's and Anthropic's API, and OpenRouter's."""
MODEL_ACTIONS: Final = ("/v1beta/models/", "/v1/models/", "/api/v1/models/")
"""Where Google's clients ask models: `/v1beta/models/{model}:generateContent`; newer SDKs of its
below `/v1`."""
_API_PATHS: Final = ("/v1/", "/api/v1/", "/v1beta/")
"""Below these a browser may ask before it sends a page's request."""


class DataPlaneFirst:
    """Passes a POST to a busy path straight to its endpoint, and everything else to the router.

    Endpoints report their own faults to the front. The router knows the same paths, for the answers
    to other methods.
    """

    def __init__(self, posts: Mapping[str, ASGIApp], router: ASGIApp) -> None:
        """Take endpoints by path, and the router behind them."""
        self._posts = posts
        self._router = router

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request, or the lifespan."""
        app = self._router
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            if method == "POST":
                app = self._endpoint(path) or app
            elif method == "OPTIONS" and path.startswith(_API_PATHS) and is_preflight(scope):
                return answer_preflight(scope, send)
        return app(scope, receive, send)

    def _endpoint(self, path: str) -> ASGIApp | None:
        found = self._posts.get(path)
        if found is None and path.startswith(MODEL_ACTIONS):
            # A model's name stands in the path: what is asked of it follows the last colon.
            start = path.index("/models/") + len("/models/")
            found = self._posts.get(f"{path[:start]}*:{path.rpartition(':')[2]}")
        return found
