"""Reading a report back: its tags, headings, tables and words."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser

INLINE = {"a", "bdi", "i", "strong"}
VOID = {"meta", "link", "br", "img", "input", "hr"}


@dataclass
class Element:
    """A tag with what is inside it."""

    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All words inside, white space made single."""
        return " ".join(self._words().split())

    def _words(self) -> str:
        parts = [child if isinstance(child, str) else child._words() for child in self.children]
        inside = "".join(parts)
        return inside if self.tag in INLINE else f" {inside} "

    def all(self, *tags: str) -> list[Element]:
        """Every element of these tags inside, in the page's order."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                found += [child] if child.tag in tags else []
                found += child.all(*tags)
        return found

    def everything(self) -> list[Element]:
        """Every element inside, in the page's order."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                found += [child, *child.everything()]
        return found


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {key: value or "" for key, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


class Page:
    """A report as a tree; every tag that is opened has to be closed in its place."""

    def __init__(self, html: str) -> None:
        builder = _Builder()
        builder.feed(html)
        builder.close()
        assert [element.tag for element in builder.open] == [""]
        self.root = builder.open[0]

    @cached_property
    def elements(self) -> list[Element]:
        return self.root.everything()

    @property
    def body(self) -> Element:
        return self.root.all("body")[0]

    def section(self, name: str) -> Element:
        """The section under the heading of this id."""
        (found,) = (s for s in self.root.all("section") if s.attributes["aria-labelledby"] == name)
        return found

    def table(self, name: str) -> dict[str, list[str]]:
        """The one table of this name: the cells of each row by its heading."""
        (found,) = (t for t in self.root.all("table") if t.attributes["data-table"] == name)
        rows = {}
        for row in found.all("tbody")[0].all("tr"):
            head, *cells = [cell.text for cell in row.all("th", "td")]
            assert head not in rows
            rows[head] = cells
        return rows
