"""Where images and files lie: in the request itself as data URLs, or at an address of the web."""

from __future__ import annotations

import re
from typing import Any, Final

from edge.translate.errors import InvalidValue

_SCHEME: Final = "data:"
_MAX_HEAD: Final = 256
"""Characters before the data of a data URL: looking for them must not read all of a large one."""
PUBLIC: Final = ("https://", "http://")
_SCHEME_MAX: Final = 8
PATTERN: Final = r"^[^:]*$|^[Hh][Tt][Tt][Pp][Ss]?://|^[Dd][Aa][Tt][Aa]:"
"""What `refuse_elsewhere` takes."""
_MEDIA_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)


def data_of(path: str, url: str) -> tuple[str, str] | None:
    """Return media type and base64 text of a data URL (RFC 2397); None of another URL.

    Raises:
        InvalidValue: it has no media type, no data, or data in another form.
    """
    if url[: len(_SCHEME)].lower() != _SCHEME:
        return None
    head, comma, _ = url[:_MAX_HEAD].partition(",")
    media_type, *parameters = head[len(_SCHEME) :].split(";")
    data = url[len(head) + 1 :]
    if not comma or not data or parameters[-1:] != ["base64"]:
        raise InvalidValue(path)
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise InvalidValue(path)
    return media_type, data


def web_url(path: str, url: Any) -> str:
    """Return an address that anyone on the web can read.

    Raises:
        InvalidValue: it is of another kind: a file of the provider's machines or stores.
    """
    if not isinstance(url, str) or not is_of_web(url):
        raise InvalidValue(path)
    return url


def refuse_elsewhere(path: str, value: Any) -> None:
    """Refuse an address that is not of the web, where a request passes as it is.

    Data URLs and plain base64, which has no colon, are no addresses.

    Raises:
        InvalidValue: it names what a provider would read as its own.
    """
    if not isinstance(value, str) or is_of_web(value) or ":" not in value:
        return
    if value[: len(_SCHEME)].lower() != _SCHEME:
        raise InvalidValue(path)


def is_of_web(url: str) -> bool:
    """Say whether it is an address of the web; a scheme's case does not matter (RFC 3986, 3.1)."""
    return url[:_SCHEME_MAX].lower().startswith(PUBLIC)
