"""A document as a page of its own: no script, nothing loaded from elsewhere, all text escaped."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from jinja2 import Environment, StrictUndefined

from core.billing.documents.sheet import sheet_of

_SOURCE: Final = files("core.billing.documents").joinpath("templates", "document.html").read_text()
_TEMPLATE: Final = Environment(
    autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
).from_string(_SOURCE)


def render_html(snapshot: bytes) -> bytes:
    """Return the page of a document; the same snapshot makes the same bytes."""
    sheet = sheet_of(snapshot)
    return _TEMPLATE.render(
        title=sheet.title,
        number=sheet.number,
        note=sheet.note,
        heading=sheet.heading,
        parties=sheet.parties,
        amounts=sheet.amounts,
        tax_note=sheet.tax_note,
        details=sheet.details,
    ).encode()
