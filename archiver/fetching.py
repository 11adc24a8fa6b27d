"""Fetching a month over HTTP as a customer does: with an API key, from where it was cut."""

from __future__ import annotations

import ipaddress
import json
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from kit.cli import CommandFailed, Exit

SECONDS: Final = 60.0
READ_BYTES: Final = 1024 * 1024
SMALL_BYTES_MAX: Final = 64 * 1024 * 1024
ATTEMPTS: Final = 5
KEYS_PATH: Final = "/.well-known/1api-keys.json"
PROVEN: Final = (".parquet", ".json", ".csv.gz")
_PARTIAL: Final = 206


class _WithoutKey(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to the store's own URL, and never takes the API key there."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the next request."""
        found = super().redirect_request(req, fp, code, msg, headers, newurl)
        if found is not None and _origin(newurl) != _origin(req.full_url):
            found.remove_header("Authorization")
        return found


class Fetcher:
    """Reads a month's description and files."""

    def __init__(self, url: str, api_key: str) -> None:
        """Take `https://…/v1/archives/{month}` and a key with the permission.

        Raises:
            CommandFailed: the key would go over the net in the clear.
        """
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(parts.hostname)):
            raise CommandFailed("Only https:// URLs.", code=Exit.USAGE, reason="URL_NOT_SAFE")
        self._url = url.rstrip("/")
        self._api_key = api_key
        self._opener = urllib.request.build_opener(_WithoutKey())

    def fetch_month(self, folder: Path) -> None:
        """Fetch the files that a manifest names, and the manifest, into a folder.

        Raises:
            CommandFailed: refused, or not to be had.
        """
        described = json.loads(self._small(self._url))
        for file in described["files"]:
            name = str(file["name"])
            if name.endswith(PROVEN) and "/" not in name and file["sha256"]:
                self._file(name, folder / name, int(file["size_bytes"]))

    def fetch_keys(self) -> bytes:
        """Return the keys that the service publishes.

        Raises:
            CommandFailed: not to be had.
        """
        return self._small(_origin(self._url) + KEYS_PATH)

    def _small(self, url: str) -> bytes:
        with self._open(url) as answer:
            return bytes(answer.read(SMALL_BYTES_MAX))

    def _file(self, name: str, path: Path, size_bytes: int) -> None:
        for _ in range(ATTEMPTS):
            have = path.stat().st_size if path.exists() else 0
            if have >= size_bytes > 0:
                break
            try:
                self._rest(name, path, have)
            except (OSError, HTTPException):
                continue

    def _rest(self, name: str, path: Path, have: int) -> None:
        with self._open(f"{self._url}/{name}", have) as answer, path.open("ab") as file:
            if answer.status != _PARTIAL:
                file.truncate(0)
            while piece := answer.read(READ_BYTES):
                file.write(piece)

    def _open(self, url: str, offset: int = 0) -> Any:
        headers = {"Authorization": f"Bearer {self._api_key}"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  checked above
        try:
            return self._opener.open(request, timeout=SECONDS)
        except urllib.error.HTTPError as error:
            raise _refused(error) from None
        except urllib.error.URLError:
            raise CommandFailed(
                "The service cannot be reached.", code=Exit.UNREACHABLE, reason="UNREACHABLE"
            ) from None


def _refused(error: urllib.error.HTTPError) -> CommandFailed:
    try:
        code = str(json.loads(error.read(SMALL_BYTES_MAX))["error"]["code"])
    except (ValueError, KeyError, TypeError):
        code = "none"
    kind = Exit.NOT_FOUND if error.code == 404 else Exit.REFUSED
    return CommandFailed(
        f"The service answered {error.code}.", code=kind, reason=code.upper(), code_name=code
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _is_here(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
