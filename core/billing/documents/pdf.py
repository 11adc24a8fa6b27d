"""A document as a PDF page; the same snapshot makes the same bytes.

Nothing of it depends on the time, the machine or chance: the dates are those of the snapshot, and
the font is in this package (DejaVu Sans, whose licence lies beside it). A character that the font
has not is shown as a box; the page in HTML and the snapshot have it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import as_file, files
from typing import Final

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import TTFFont

from core.billing.documents.sheet import Row, Sheet, sheet_of

_FONT: Final = "dejavu"
_FONT_FILE: Final = files("core.billing.documents").joinpath("fonts", "DejaVuSans.ttf")
_BOX: Final = "□"
_MARGIN_MM: Final = 20
_LINE_MM: Final = 5.5
_TITLE_POINTS: Final = 18
_TEXT_POINTS: Final = 9.5
_SMALL_POINTS: Final = 8
_LABEL_MM: Final = 70


def render_pdf(snapshot: bytes) -> bytes:
    """Return the PDF of a document."""
    sheet = sheet_of(snapshot)
    pdf = _new_page(sheet, snapshot)
    _write(pdf, sheet.title, _TITLE_POINTS, 10)
    if sheet.note:
        _write(pdf, sheet.note, _TEXT_POINTS)
    _rows(pdf, sheet.heading)
    for label, lines in sheet.parties:
        _gap(pdf)
        _write(pdf, label, _SMALL_POINTS)
        for line in lines:
            _write(pdf, line, _TEXT_POINTS)
    _gap(pdf)
    _rows(pdf, sheet.amounts)
    if sheet.tax_note:
        _write(pdf, sheet.tax_note, _TEXT_POINTS)
    _gap(pdf)
    _rows(pdf, sheet.details)
    return bytes(pdf.output())


def _new_page(sheet: Sheet, snapshot: bytes) -> FPDF:
    pdf = FPDF(format="A4")
    pdf.set_margin(_MARGIN_MM)
    pdf.set_creation_date(_issued_at(snapshot))
    pdf.set_producer("1API Club")
    pdf.set_title(f"{sheet.title} {sheet.number}")
    pdf.set_lang("en")
    with as_file(_FONT_FILE) as path:
        pdf.add_font(_FONT, fname=path)
    pdf.add_page()
    return pdf


def _issued_at(snapshot: bytes) -> datetime:
    text: str = json.loads(snapshot)["issued_at"]
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _rows(pdf: FPDF, rows: Sequence[Row]) -> None:
    pdf.set_font(_FONT, size=_TEXT_POINTS)
    for label, value in rows:
        page, top = pdf.page, pdf.get_y()
        pdf.multi_cell(_LABEL_MM, _LINE_MM, _shown(pdf, label), new_y=YPos.NEXT, align="L")
        below = pdf.get_y() if pdf.page == page else top
        pdf.set_xy(_MARGIN_MM + _LABEL_MM, top if pdf.page == page else pdf.get_y())
        pdf.multi_cell(
            0, _LINE_MM, _shown(pdf, value), new_x=XPos.LMARGIN, new_y=YPos.NEXT, align="L"
        )
        pdf.set_y(max(pdf.get_y(), below))


def _write(pdf: FPDF, text: str, points: float, height: float = _LINE_MM) -> None:
    pdf.set_font(_FONT, size=points)
    pdf.multi_cell(0, height, _shown(pdf, text), new_x=XPos.LMARGIN, new_y=YPos.NEXT, align="L")


def _gap(pdf: FPDF) -> None:
    pdf.ln(_LINE_MM)


def _shown(pdf: FPDF, text: str) -> str:
    """Return a text with a box for each character that the font has not."""
    font = pdf.fonts[_FONT]
    known = font.cmap if isinstance(font, TTFFont) else {}
    return "".join(each if ord(each) in known else _BOX for each in text)
