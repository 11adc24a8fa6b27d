"""Recorded provider exchanges: those beside the repository, and the project's own fixtures.

Both have one file shape: `{provider, method, path, request, status, content_type, response,
source}`, where `response` is a JSON value or, for a stream, the raw text that the provider sent.
The recordings are data of others and stay outside; a clone without them runs the same tests on the
fixtures.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
FIXTURES_FOLDER = PROJECT / "tests" / "fixtures" / "recordings"
RECORDINGS_FOLDER = Path(
    os.environ.get("ONEAPI_TEST_RECORDINGS", PROJECT.parent / "shared" / "recordings")
)


@dataclass(frozen=True, slots=True)
class Recording:
    """One request to a provider and what it answered; `stem` is the file name without `.json`."""

    stem: str
    provider: str
    path: str
    request: dict[str, Any]
    status: int
    content_type: str
    response: Any
    is_stream: bool
    method: str = "POST"
    source: str = ""

    def body(self) -> bytes:
        """Give the bytes that the provider sent (for JSON: an equal value, compact)."""
        if isinstance(self.response, str):
            return self.response.encode()
        return json.dumps(self.response, separators=(",", ":"), ensure_ascii=False).encode()


def load_recordings() -> list[Recording]:
    """Load what lies beside the repository; empty, with a line that says so, where nothing does."""
    if not RECORDINGS_FOLDER.is_dir():
        sys.stderr.write(f"no recordings: {RECORDINGS_FOLDER} is absent, own fixtures only\n")
        return []
    return load_folder(RECORDINGS_FOLDER)


def load_fixtures() -> list[Recording]:
    """Load the project's own hand-written exchanges."""
    return load_folder(FIXTURES_FOLDER)


def load_folder(folder: Path) -> list[Recording]:
    """Load every `.json` file of a folder, in the order of the names."""
    return [_load(path) for path in sorted(folder.glob("*.json"))]


def _load(path: Path) -> Recording:
    fields = json.loads(path.read_text(encoding="utf-8"))
    content_type = fields["content_type"]
    return Recording(
        stem=path.stem,
        provider=fields["provider"],
        path=fields["path"],
        request=fields["request"],
        status=fields["status"],
        content_type=content_type,
        response=fields["response"],
        is_stream=content_type.startswith("text/event-stream"),
        method=fields["method"].upper(),
        source=fields["source"],
    )
