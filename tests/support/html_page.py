"""A page read strictly: every element closed where it was opened, in places that HTML allows."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

VOID: Final = frozenset({"meta", "link", "img", "br", "hr", "input", "wbr"})
CHILDREN: Final[dict[str, set[str]]] = {
    "html": {"head", "body"},
    "head": {"meta", "title", "link"},
    "ul": {"li"},
    "ol": {"li"},
    "dl": {"dt", "dd"},
    "table": {"caption", "thead", "tbody"},
    "thead": {"tr"},
    "tbody": {"tr"},
    "tr": {"th", "td"},
}
"""The only elements that may stand directly in these."""
PHRASING: Final = frozenset({"p", "h1", "h2", "h3", "span", "a", "code", "em", "strong", "summary"})
BLOCKS: Final = frozenset(
    {"p", "div", "ul", "ol", "dl", "table", "pre", "figure", "section", "h1", "h2", "h3", "details"}
)
"""What may not stand inside words."""
FORBIDDEN: Final = frozenset({"script", "style", "iframe", "form", "object", "embed", "base"})


@dataclass
class Element:
    """One element with its attributes."""

    name: str
    attributes: dict[str, str]


@dataclass
class Page(HTMLParser):
    """What a page has, and what is wrong with it."""

    elements: list[Element] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[str] = []

    @classmethod
    def of(cls, text: str) -> Page:
        """Read a whole page."""
        page = cls()
        if not text.startswith("<!doctype html>\n"):
            page.faults.append("no doctype")
        page.feed(text)
        page.close()
        if page._open:
            page.faults.append(f"not closed: {page._open}")
        ids = page.values("id")
        page.faults += [f"id twice: {one}" for one in set(ids) if ids.count(one) > 1]
        return page

    def values(self, attribute: str, name: str | None = None) -> list[str]:
        """Return an attribute's values, of all elements or those of a name."""
        return [
            one.attributes[attribute]
            for one in self.elements
            if attribute in one.attributes and name in {None, one.name}
        ]

    def count(self, name: str) -> int:
        """Return how many elements of a name there are."""
        return sum(one.name == name for one in self.elements)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        names = [name for name, _ in attrs]
        if len(set(names)) < len(names):
            self.faults.append(f"attribute twice in {tag}")
        self._judge(tag, names)
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def _judge(self, tag: str, attributes: list[str]) -> None:
        parent = self._open[-1] if self._open else None
        allowed = CHILDREN.get(parent or "")
        if allowed and tag not in allowed:
            self.faults.append(f"{tag} in {parent}")
        if tag in BLOCKS and parent in PHRASING:
            self.faults.append(f"{tag} in {parent}")
        if tag in FORBIDDEN or any(one == "style" or one.startswith("on") for one in attributes):
            self.faults.append(f"forbidden: {tag} {attributes}")

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last."""
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"closed: {tag}")

    def handle_data(self, data: str) -> None:
        """Take words; those between the elements of a list or a table are a fault."""
        parent = self._open[-1] if self._open else ""
        if data.strip() and CHILDREN.get(parent):
            self.faults.append(f"words in {parent}")
        self.texts.append(data)
