"""The data plane's paths, looked up before the router and its layers."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from starlette.types import ASGIApp

from edge.api.http import Receive, Scope, Send


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
        if scope["type"] == "http" and scope["method"] == "POST":
            app = self._posts.get(scope["path"], app)
        return app(scope, receive, send)
