"""Every error that a client can get, read from docs/errors.md, which the tests hold to the code.

The page lies in this package as `errors.md`, so that what people read in the repository, on the API
reference and in /openapi.json is one text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

_GROUP: Final = re.compile(r"^## (.+)$", re.MULTILINE)
_ROW: Final = re.compile(
    r"^\| `?([a-z_]+)`? \| ([0-9x, ]+|in-band) \| (.+?) \| (.+?) \|$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One code of ours. In texts, back quotes stand around words of the contract."""

    code: str
    """`none` where the code is null."""
    statuses: tuple[str, ...]
    """Such as `429`; `4xx` where it is the provider's; `in-band` where the status was sent."""
    meaning: str
    again: str
    """Whether the same request may succeed later."""


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Errors that arise at the same point of a request's life."""

    title: str
    note: str
    rows: tuple[ErrorRow, ...]


def groups_of(page: str) -> tuple[ErrorGroup, ...]:
    """Return the tables of the page, in its order."""
    _, *parts = _GROUP.split(page)
    return tuple(
        ErrorGroup(
            title,
            " ".join(body.partition("\n|")[0].split()),
            tuple(
                ErrorRow(code, tuple(statuses.replace(" ", "").split(",")), meaning, again)
                for code, statuses, meaning, again in _ROW.findall(body)
            ),
        )
        for title, body in zip(parts[::2], parts[1::2], strict=True)
    )


ERROR_GROUPS: Final = groups_of(files("edge.pages").joinpath("errors.md").read_text())


def by_status() -> dict[str, list[ErrorRow]]:
    """Return the rows of each status that an answer can have, `4xx` for the provider's own."""
    found: dict[str, list[ErrorRow]] = {}
    for group in ERROR_GROUPS:
        for row in group.rows:
            for status in row.statuses:
                if status != "in-band":
                    found.setdefault(status, []).append(row)
    return dict(sorted(found.items()))
