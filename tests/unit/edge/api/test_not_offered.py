"""The rest of OpenAI's API is known, and says that it is not available."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from edge.api.not_offered import is_not_offered
from edge.api.surfaces import SERVED
from tests.support.recordings import PROJECT

SPECIFICATION = PROJECT.parent / "shared" / "specs" / "openai-openapi.json"
SERVED_GETS = {"/models", "/models/{model}"}
NO_ENDPOINT_YET = {"/completions", "/embeddings", "/moderations", "/responses"}
"""Of other parts of the service, which may not be there yet."""


def operations() -> Iterator[tuple[str, str]]:
    """Yield each method and path of OpenAI's specification, where it lies beside the project."""
    if not SPECIFICATION.is_file():
        sys.stderr.write(f"no specification: {SPECIFICATION} is absent, its paths are left out\n")
        return
    for path, methods in json.loads(SPECIFICATION.read_bytes())["paths"].items():
        for method in methods:
            if method in {"get", "post", "delete", "put", "patch"}:
                yield method.upper(), path.partition("?")[0]


def is_served(method: str, path: str) -> bool:
    """Say whether a surface or the list of models answers."""
    posts = {path for served in SERVED for path in served.paths}
    if method == "POST":
        return f"/v1{path}" in posts or path in NO_ENDPOINT_YET
    return method == "GET" and path in SERVED_GETS


def test_every_operation_of_openai_is_served_or_known_not_to_be() -> None:
    """Never both, never neither."""
    for method, template in operations():
        path = template.replace("{", "a-").replace("}", "")
        known = is_not_offered(method, f"/v1{path}")
        assert known == is_not_offered(method, f"/api/v1{path}")
        assert known != is_served(method, template), (method, template)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/assistants"),
        ("POST", "/v1/files"),
        ("GET", "/api/v1/files/file-1/content"),
        ("POST", "/v1/audio/translations"),
        ("POST", "/v1/images/variations"),
        ("GET", "/v1/responses/resp_1"),
        ("GET", "/v1/chat/completions"),
        ("DELETE", "/v1/models/ft:a"),
        ("GET", "/v1/realtime"),
    ],
)
def test_known_paths(method: str, path: str) -> None:
    """Some of them by hand, also without the specification."""
    assert is_not_offered(method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/nothing"),
        ("GET", "/v2/files"),
        ("GET", "/files"),
        ("GET", "/v1/"),
        ("GET", "/v1/files/"),
        ("GET", "/v1/filesystem"),
        ("POST", "/v1/chat/completions/"),
        ("GET", "/v1/responses"),
        ("DELETE", "/v1/models"),
        ("DELETE", "/v1/models/"),
        ("GET", "/v1beta/files"),
    ],
)
def test_unknown_paths(method: str, path: str) -> None:
    """A wrong base URL is another mistake."""
    assert not is_not_offered(method, path)
