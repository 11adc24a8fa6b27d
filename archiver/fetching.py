"""Fetching a month over HTTP as a customer does: with an API key, from where it was cut.

What a server sends is bounded before it is taken: the description, how many files there are, each
file by the size that the description states, and all of them by the room on the disk. The keys and
the description come from the origin that the user named, and from nowhere else; files may come from
where that origin redirects to.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from kit.cli import CommandFailed, Exit
from kit.platform_keys import KEY_FILE

SECONDS: Final = 60.0
READ_BYTES: Final = 1024 * 1024
SMALL_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of a month's description, and of the keys."""
FILES_MAX: Final = 1_001
"""A manifest, and as many as it can name."""
MONTH_BYTES_MAX: Final = 256 * 1024**3
"""Of all files of a workspace's month: some thousand million requests."""
ATTEMPTS: Final = 6
"""In a row that bring less than a piece; a file that comes piece by piece may take more."""
PAUSE_SECONDS: Final = 0.5
"""Before the second attempt; twice as long before each that follows."""
RETRY_AFTER_SECONDS_MAX: Final = 60
KEYS_PATH: Final = f"/.well-known/{KEY_FILE}"
_NAME: Final = re.compile(r"^[a-z][a-z0-9.-]{0,47}$", re.ASCII)
_SHA256: Final = re.compile(r"^[0-9a-f]{64}$", re.ASCII)
_CODE: Final = re.compile(r"^[a-z_]{1,64}$", re.ASCII)
_FROM: Final = re.compile(r"^bytes ([0-9]{1,19})-", re.ASCII)
_WHOLE: Final = 200
_PARTIAL: Final = 206
_COME_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
Sleep = Callable[[float], None]


class Fetcher:
    """Reads a month's description and files."""

    def __init__(self, url: str, api_key: str, sleep: Sleep = time.sleep) -> None:
        """Take `https://…/v1/archives/{month}` and a key with the permission.

        Raises:
            CommandFailed: the key would go over the net in the clear.
        """
        _check_safe(url)
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._sleep = sleep

    def fetch_month(self, folder: Path) -> None:
        """Fetch the manifest and the files that it names into a folder.

        Raises:
            CommandFailed: refused, not to be had, not to be understood, or there is no room.
        """
        files = _described(_small(self._url, self._headers, self._sleep))
        _check_room(files, folder)
        for file in files:
            self._file(file, folder / file.name)

    def _file(self, file: _File, path: Path) -> None:
        attempts = _Attempts(self._sleep)
        while (have := _size_of(path)) < file.size_bytes:
            try:
                self._rest(file, path, have)
            except _Cut as cut:
                came_on = _size_of(path) - have >= READ_BYTES
                attempts.failed(cut.after_seconds, came_on=came_on)

    def _rest(self, file: _File, path: Path, have: int) -> None:
        """Append what is missing, and no more than that.

        Raises:
            _Cut: the file did not come to its end.
        """
        headers = self._headers | ({"Range": f"bytes={have}-"} if have else {})
        with (
            _opened(f"{self._url}/{file.name}", headers, leaves_origin=True) as answer,
            _writing(file),
            path.open("ab") as written,
        ):
            start = _start_of(answer, have)
            if start < have:
                written.truncate(start)
            left = file.size_bytes - start
            while left and (piece := _read(answer, min(left, READ_BYTES))):
                written.write(piece)
                left -= len(piece)
        if left:
            raise _Cut


def fetch_keys(url: str, sleep: Sleep = time.sleep) -> bytes:
    """Return the keys that a service publishes, by its origin or by the address of its keys.

    Raises:
        CommandFailed: not to be had, or not by TLS.
    """
    _check_safe(url)
    has_path = urlsplit(url).path.strip("/") != ""
    return _small(url if has_path else origin_of(url) + KEYS_PATH, {}, sleep)


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class _File(NamedTuple):
    name: str
    size_bytes: int


class _Cut(Exception):
    """What was asked for did not come, or not whole: to be asked for again."""

    def __init__(self, after_seconds: int = 0) -> None:
        super().__init__()
        self.after_seconds = after_seconds


class _Attempts:
    """Counts attempts that failed and pauses after each, twice as long as before."""

    def __init__(self, sleep: Sleep) -> None:
        self._sleep = sleep
        self._count = 0

    def failed(self, after_seconds: int, *, came_on: bool = False) -> None:
        """Wait for the next attempt.

        Raises:
            CommandFailed: there were enough.
        """
        self._count = 1 if came_on else self._count + 1
        if self._count == ATTEMPTS:
            raise CommandFailed(
                "The service cannot be reached, or does not send all of it.",
                code=Exit.UNREACHABLE,
                reason="UNREACHABLE",
            )
        self._sleep(max(float(after_seconds), PAUSE_SECONDS * 2 ** (self._count - 1)))


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to the store's own URL, and never takes the API key there.

    What says whom to believe comes from the origin that the user named: no other one is asked.
    """

    def __init__(self, *, leaves_origin: bool) -> None:
        self._leaves_origin = leaves_origin

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        """Follow, or close the answer that is not followed."""
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except (CommandFailed, ValueError):
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the next request."""
        found = super().redirect_request(req, fp, code, msg, headers, newurl)
        if found is not None and origin_of(newurl) != origin_of(req.full_url):
            keeps_tls = newurl.startswith("https://") or req.full_url.startswith("http://")
            if not (self._leaves_origin and keeps_tls and _is_safe(newurl)):
                raise CommandFailed(
                    "The service redirects to where nothing is taken from.",
                    code=Exit.REFUSED,
                    reason="REDIRECT_NOT_SAFE",
                )
            found.remove_header("Authorization")
        return found


def _small(url: str, headers: Mapping[str, str], sleep: Sleep) -> bytes:
    attempts = _Attempts(sleep)
    while True:
        try:
            with _opened(url, headers, leaves_origin=False) as answer:
                text = _read(answer, SMALL_BYTES_MAX + 1)
                is_whole = not answer.length
        except _Cut as cut:
            attempts.failed(cut.after_seconds)
            continue
        if len(text) > SMALL_BYTES_MAX:
            raise _not_understood()
        if is_whole:
            return text
        attempts.failed(0)


def _opened(url: str, headers: Mapping[str, str], *, leaves_origin: bool) -> Any:
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310  checked by callers
    opener = urllib.request.build_opener(_Redirects(leaves_origin=leaves_origin))
    try:
        return opener.open(request, timeout=SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            if error.code in _COME_AGAIN:
                raise _Cut(_seconds_of(error.headers.get("retry-after"))) from None
            raise _refused(error) from None
    except (OSError, HTTPException, ValueError):
        # Also an address that is none, of the user's or of a redirect.
        raise _Cut from None


def _read(answer: Any, limit_bytes: int) -> bytes:
    try:
        return bytes(answer.read(limit_bytes))
    except (OSError, HTTPException):
        raise _Cut from None


def _start_of(answer: Any, have: int) -> int:
    """Return from which byte on an answer has the file: from where it was cut, or all of it."""
    if answer.status == _WHOLE:
        return 0
    found = _FROM.match(answer.headers.get("content-range") or "")
    if answer.status != _PARTIAL or found is None or int(found.group(1)) != have:
        raise _Cut
    return have


@contextmanager
def _writing(file: _File) -> Iterator[None]:
    """Tell apart what fails here from what fails on the way."""
    try:
        yield
    except OSError as fault:
        if fault.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise _no_room(file.size_bytes) from None
        raise CommandFailed("The files cannot be written here.", reason="NOT_WRITTEN") from None


def _described(text: bytes) -> list[_File]:
    """Return the files of a month that have a hash; text that is made on demand has none."""
    try:
        files = [_file_of(each) for each in json.loads(text)["files"] if each["sha256"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _not_understood() from None
    if len(files) > FILES_MAX or len({file.name for file in files}) < len(files):
        raise _not_understood()
    return files


def _file_of(found: Mapping[str, Any]) -> _File:
    name, size_bytes = found["name"], found["size_bytes"]
    if type(size_bytes) is not int or size_bytes < 0:
        raise ValueError
    if not _NAME.fullmatch(name) or not _SHA256.fullmatch(found["sha256"]):
        raise ValueError
    return _File(name, size_bytes)


def _check_room(files: list[_File], folder: Path) -> None:
    needed = sum(file.size_bytes for file in files)
    if needed > MONTH_BYTES_MAX:
        raise _not_understood()
    if needed > shutil.disk_usage(folder).free:
        raise _no_room(needed)


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _seconds_of(text: str | None) -> int:
    """Return the seconds of a `Retry-After`, bounded; a date is not waited for."""
    if text is None or not text.isascii() or not text.isdigit():
        return 0
    return min(int(text[:6]), RETRY_AFTER_SECONDS_MAX)


def _refused(error: urllib.error.HTTPError) -> CommandFailed:
    try:
        code = str(json.loads(error.read(SMALL_BYTES_MAX))["error"]["code"])
    except (ValueError, KeyError, TypeError, RecursionError, OSError, HTTPException):
        code = ""
    code = code if _CODE.fullmatch(code) else "none"
    kind = Exit.NOT_FOUND if error.code == 404 else Exit.REFUSED
    return CommandFailed(
        f"The service answered {error.code}.", code=kind, reason=code.upper(), code_name=code
    )


def _not_understood() -> CommandFailed:
    return CommandFailed(
        "What the service answered is no description of a month, or too large for one.",
        reason="ANSWER_NOT_UNDERSTOOD",
    )


def _no_room(needed_bytes: int) -> CommandFailed:
    return CommandFailed(
        "There is not enough room on the disk for the month's files.",
        reason="DISK_FULL",
        needed_bytes=str(needed_bytes),
    )


def _check_safe(url: str) -> None:
    if not _is_safe(url):
        raise CommandFailed("Only https:// URLs.", code=Exit.USAGE, reason="URL_NOT_SAFE")


def _is_safe(url: str) -> bool:
    """Say whether only the host that a URL names can answer: by TLS, or it is this machine."""
    try:
        parts = urlsplit(url)
        is_https = parts.scheme == "https" and bool(parts.hostname)
        is_plain = parts.username is None and parts.password is None
    except ValueError:
        return False
    return is_plain and (is_https or (parts.scheme == "http" and _is_here(parts.hostname)))


def _is_here(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
