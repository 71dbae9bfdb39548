"""The films of an edition as people name them: found by id, by title, or nearly by title."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz, process

from reeltune.data.folder import PreparedFolder
from reeltune.data.items import split_year
from reeltune.domain import Item, plain_text
from reeltune.errors import RequestError
from reeltune.recommend.results import ItemSummary

Ints = npt.NDArray[np.int64]

_CHOICES: Final = 5
"""How many films a question about an unclear title offers."""

_LIKELY: Final = 70.0
"""From which likeness, of 100, a film is worth offering."""

_SURE: Final = 90.0
"""From which likeness a film is taken without asking, if it is clearly the nearest."""

_CLEAR: Final = 5.0
"""By how much the nearest film must be nearer than the next."""

_LAST_ARTICLE = re.compile(r"^(?P<rest>.+), (?P<article>the|a|an|le|la|les|l'|il|el|der|die|das)$")
_FIRST_ARTICLE = re.compile(r"^(the|a|an|le|la|les|l|il|el|der|die|das) ")
_NUMBER = re.compile(r"\d+|[ivx]+")
_IN_BRACKETS = re.compile(r"\((?:a\.k\.a\. )?([^()]*)\)")


@dataclass(frozen=True)
class Match:
    """A film found by its title.

    Attributes:
        row: Its row among the films.
        likeness: How near the title is to what was looked for, 0 to 100.
    """

    row: int
    likeness: float


class Catalogue:
    """Finds films.

    Args:
        items: In ``item_idx`` order.
        ratings: How often each was rated, shape ``(films,)``.
    """

    def __init__(self, items: Sequence[Item], ratings: Ints) -> None:
        self.items = items
        self.ratings = ratings
        self._row_of_id = {item.item_id: row for row, item in enumerate(items)}
        self._titles = [plain(item.title) for item in items]
        self._lengths = np.array([len(title) for title in self._titles])
        self._rows_of_name: dict[str, list[int]] = {}
        self._rows_of_other_name: dict[str, list[int]] = {}
        for row, item in enumerate(items):
            for name in _names(item.title):
                self._rows_of_name.setdefault(name, []).append(row)
            for name in _other_names(item.title):
                self._rows_of_other_name.setdefault(name, []).append(row)

    @classmethod
    def of(cls, folder: PreparedFolder) -> Catalogue:
        """Return the films of prepared data, with the ratings counted in all its splits."""
        counts = np.bincount(folder.ratings.item_idx, minlength=len(folder.items))
        return cls(folder.items, counts)

    def name(self, row: int) -> str:
        """Return a film's title with its year."""
        item = self.items[row]
        return item.title if item.year is None else f"{item.title} ({item.year})"

    def summary(self, row: int) -> ItemSummary:
        """Return what results say of an item."""
        item = self.items[row]
        ratings = int(self.ratings[row])
        return ItemSummary(item.item_id, item.title, item.year, tuple(item.genres), ratings)

    def row_of(self, item_id: int) -> int:
        """Return the row of a film by its MovieLens id.

        Raises:
            RequestError: There is no such film.
        """
        row = self._row_of_id.get(item_id)
        if row is None:
            raise RequestError(
                f"no film has the id {item_id}",
                code="unknown_item",
                hint=f"The {len(self.items)} films have ids from {min(self._row_of_id)} to "
                f"{max(self._row_of_id)}, with gaps",
            )
        return row

    def search(self, text: str, limit: int = 10) -> list[Match]:
        """Return the films whose titles are nearest to a text, best first.

        Equally near ones are ordered by how often they were rated.

        Args:
            text: A title or a part of one, with or without its year.
            limit: How many at most.
        """
        words, year = split_year(text)
        looked_for = plain(words)
        if not looked_for:
            return []
        scores = self._likeness(looked_for)
        if year is not None:
            of_year = np.array([item.year == year for item in self.items])
            scores = np.where(of_year, scores, 0.8 * scores)
        found = np.flatnonzero(scores >= _LIKELY)
        order = np.lexsort((found, -self.ratings[found], -scores[found]))[:limit]
        return [Match(int(row), float(scores[row])) for row in found[order]]

    def find(self, text: str) -> int:
        """Return the one film a text names.

        Args:
            text: ``Heat (1995)``; ``heat`` where only one film is called so; ``shawshank`` where
                only one film is as near to it, and has the numbers that are typed: another number
                is another film; or ``#6``, its id.

        Raises:
            RequestError: No film is called so, or several are; the choices are named.
        """
        text = text.strip()
        if re.fullmatch(r"#\d{1,18}", text):
            return self.row_of(int(text[1:]))
        called = self._called(text)
        if len(called) == 1:
            return called[0]
        near = [] if called else self.search(text, _CHOICES)
        if near and near[0].likeness >= _SURE and _clear(near):
            typed = _numbers(plain(split_year(text)[0]))
            if typed in ([], _numbers(self._titles[near[0].row])):
                return near[0].row
        choices = called or [match.row for match in near]
        hint = self._offer(choices)
        if called:
            raise RequestError(
                f"{len(called)} films are called {text!r}", code="ambiguous_title", hint=hint
            )
        raise RequestError(f"no film is called {text!r}", code="unknown_title", hint=hint)

    def _called(self, text: str) -> list[int]:
        """Return the films that have this name, in the year if one stands behind it."""
        words, year = split_year(text)
        name = plain(words)
        called = self._rows_of_name.get(name) or self._rows_of_other_name.get(name, [])
        if year is None:
            return called
        called = [row for row in called if self.items[row].year == year]
        # Of two films of one year, the one whose whole title this is.
        return [row for row in called if self._titles[row] == name] or called

    def _likeness(self, looked_for: str) -> npt.NDArray[np.float64]:
        """Return how near each title is, 0 to 100: as a whole, or as what holds the text."""
        whole = process.cdist([looked_for], self._titles, scorer=fuzz.ratio)[0]
        part = process.cdist([looked_for], self._titles, scorer=fuzz.WRatio)[0]
        # A title such as "M" is a part of most texts, which says nothing.
        return np.maximum(whole, np.where(self._lengths >= len(looked_for), part, 0.0))

    def _offer(self, rows: list[int]) -> str:
        if not rows:
            return "No title is near to it"
        choices = ", ".join(
            f"{plain_text(self.name(row))} (#{self.items[row].item_id})" for row in rows
        )
        return f"Choose by title and year, or by id: {choices}"


def plain(text: str) -> str:
    """Return a title as it is compared: no capitals, accents or punctuation, article in front."""
    text = unicodedata.normalize("NFKD", text).casefold()
    text = "".join(char for char in text if not unicodedata.combining(char)).strip()
    moved = _LAST_ARTICLE.match(text)
    if moved:
        text = f"{moved['article']} {moved['rest']}"
    return " ".join(re.findall(r"\w+", text))


def _names(title: str) -> set[str]:
    """Return what a film is called: "Seven (a.k.a. Se7en)" is called "Seven", too."""
    return {plain(title), plain(title.partition("(")[0])} - {""}


def _other_names(title: str) -> set[str]:
    """Return what else a film is called: the names in brackets, and its own without an article."""
    # The marks of video and television releases, "(V)" and "(TV)", are no names.
    bracketed = {plain(name) for name in _IN_BRACKETS.findall(title) if len(name) > 2}
    bare = {_FIRST_ARTICLE.sub("", name) for name in _names(title)}
    return (bracketed | bare) - {""}


def _numbers(plain_title: str) -> list[str]:
    """Return the numbers in a title, such as those of sequels, in figures or Roman."""
    return [word for word in plain_title.split() if _NUMBER.fullmatch(word)]


def _clear(near: list[Match]) -> bool:
    return len(near) == 1 or near[0].likeness - near[1].likeness >= _CLEAR
