"""Templates to bytes. Everything that is filled in is escaped; nothing is loaded from elsewhere."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup, escape

_FOLDER: Final = files("edge.pages")
_CODE: Final = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages refer to by a path that changes with it, so that caches may keep it."""

    path: str
    media_type: str
    body: bytes


def _asset(name: str, media_type: str) -> Asset:
    body = _FOLDER.joinpath("assets", name).read_bytes()
    stem, _, ending = name.partition(".")
    mark = hashlib.sha256(body).hexdigest()[:12]
    return Asset(f"/assets/{stem}.{mark}.{ending}", media_type, body)


STYLE: Final = _asset("style.css", "text/css")
ICON: Final = _asset("icon.svg", "image/svg+xml")
ASSETS: Final = (STYLE, ICON)


def _marked(text: str) -> Markup:
    """Return a text of ours with what stands in back quotes as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  escaped before


def _grouped(number: int) -> str:
    """Return an integer with commas between thousands."""
    return f"{number:,}"


def _environment() -> Environment:
    folder = _FOLDER.joinpath("templates")
    # Read once: a worker opens no file while it serves.
    sources = {one.name: one.read_text() for one in folder.iterdir() if one.name.endswith(".html")}
    made = Environment(
        autoescape=True,
        loader=DictLoader(sources),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"marked": _marked, "grouped": _grouped}
    made.globals |= {"style_path": STYLE.path, "icon_path": ICON.path}
    return made


_ENVIRONMENT: Final = _environment()


def render(template: str, **values: Any) -> bytes:
    """Return a page."""
    return _ENVIRONMENT.get_template(template).render(values).encode()
