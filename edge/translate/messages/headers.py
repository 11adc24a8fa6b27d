"""Which of a client's headers reach an upstream that serves messages: two, and by their form.

`anthropic-version` chooses the API's version, `anthropic-beta` switches features on. Whatever else
a client sends stays here: headers of coding agents name sessions, folders and repositories.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from edge.translate.errors import InvalidValue
from edge.translate.surface import Header

VERSION: Final = b"anthropic-version"
BETA: Final = b"anthropic-beta"
DEFAULT_VERSION: Final = b"2023-06-01"
"""The version that keeps every parameter; newer ones refuse sampling (Anthropic, API versions)."""
MAX_BETAS: Final = 64
MAX_BETA_CHARACTERS: Final = 64
WITHHELD_BETAS: Final = (b"context-1m-", b"fast-mode-", b"oauth-", b"output-")
"""Longer contexts, longer answers and more speed at prices that no lane of ours has; sign-in by the
client's own account, where the credential is ours."""
_VERSION = re.compile(rb"\d{4}-\d{2}-\d{2}")
_TOKEN = re.compile(rb"[a-z0-9-]+")


def forwarded(sent: Mapping[bytes, bytes]) -> tuple[Header, ...]:
    """Return the headers for the upstream.

    Raises:
        InvalidValue: one of the two has another form; the header is named.
    """
    headers: list[Header] = [(VERSION, _version(sent))]
    if betas := _betas(sent):
        headers.append((BETA, b",".join(betas)))
    return tuple(headers)


def _version(sent: Mapping[bytes, bytes]) -> bytes:
    version = sent.get(VERSION, DEFAULT_VERSION).strip()
    if not _VERSION.fullmatch(version):
        raise InvalidValue(VERSION.decode())
    return version


def _betas(sent: Mapping[bytes, bytes]) -> list[bytes]:
    betas = [beta.strip() for beta in sent.get(BETA, b"").split(b",")]
    named = [beta for beta in betas if beta]
    if len(named) > MAX_BETAS:
        raise InvalidValue(BETA.decode())
    for beta in named:
        if len(beta) > MAX_BETA_CHARACTERS or not _TOKEN.fullmatch(beta):
            raise InvalidValue(BETA.decode())
    return [beta for beta in named if not beta.startswith(WITHHELD_BETAS)]
