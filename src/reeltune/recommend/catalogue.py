"""The items of an edition, found by id or by title."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz, process

from reeltune.data.folder import PreparedFolder
from reeltune.data.ids import Ids, shown_id
from reeltune.data.items import split_year
from reeltune.data.timelines import Ints
from reeltune.domain import FILM_STARS, Item, RatingWords
from reeltune.domain.items import normalize_title, plain_text, titles_of
from reeltune.errors import RequestError
from reeltune.recommend.results import ItemSummary

_MAX_CHOICES: Final = 5
"""An error about an unclear title offers this many items."""

_MIN_SIMILARITY: Final = 70.0
"""Items less similar to a search text, of 100, are not offered."""

_CONFIDENT: Final = 90.0
"""From this similarity on, an item is accepted without an exact match ..."""

_MARGIN: Final = 5.0
"""... if the next one is less similar by this much."""

_FIRST_ARTICLE = re.compile(r"^(the|a|an|le|la|les|l|il|el|der|die|das) ")
_NUMBER = re.compile(r"\d+|[ivx]+")
_IN_BRACKETS = re.compile(r"\((?:a\.k\.a\. )?([^()]*)\)")


@dataclass(frozen=True)
class Match:
    """A search result: an item and the similarity of its title, 0 to 100."""

    item_idx: int
    similarity: float


class Catalogue:
    """Finds items by id or title; ``ratings`` counts the ratings of each, shape ``(items,)``.

    ``words`` say what items and ratings are called.

    >>> heat, fargo = Item(6, "Heat", 1995, ()), Item(608, "Fargo", 1996, ())
    >>> catalogue = Catalogue([heat, fargo], np.array([102, 181]))
    >>> catalogue.find("fargo"), catalogue.find("#6")
    (1, 0)
    """

    def __init__(
        self,
        items: Sequence[Item],
        ratings: Ints,
        words: RatingWords = FILM_STARS,
    ) -> None:
        self.items = items
        self.ratings = ratings
        self.words = words
        self._ids = Ids.of([item.item_id for item in items])
        self.index_of_id = {item.item_id: index for index, item in enumerate(items)}
        self._titles = [normalize_title(item.title) for item in items]
        self._lengths = np.array([len(title) for title in self._titles])
        self._by_title: dict[str, list[int]] = {}
        self._by_other_title: dict[str, list[int]] = {}
        for index, item in enumerate(items):
            for title in titles_of(item.title):
                self._by_title.setdefault(title, []).append(index)
            for title in _other_titles(item.title):
                self._by_other_title.setdefault(title, []).append(index)

    @classmethod
    def of(cls, folder: PreparedFolder) -> Catalogue:
        """Return the catalogue of prepared data; ratings of all splits count."""
        counts = np.bincount(folder.ratings.item_idx, minlength=len(folder.items))
        return cls(folder.items, counts, folder.prompt_settings.rating_words)

    def name(self, item_idx: int) -> str:
        """Return a title with its year."""
        item = self.items[item_idx]
        return item.title if item.year is None else f"{item.title} ({item.year})"

    def summary(self, item_idx: int) -> ItemSummary:
        """Return an item as results show it."""
        item = self.items[item_idx]
        ratings = int(self.ratings[item_idx])
        return ItemSummary(item.item_id, item.title, item.year, tuple(item.genres), ratings)

    def index_by_id(self, item_id: int | str) -> int | None:
        """Return the index of an item by its id, or None; the text of a number is the number."""
        key = self._ids.key(item_id)
        return None if key is None else self.index_of_id.get(self._ids.id(key))

    def index_of(self, item_id: int | str) -> int:
        """Return the index of an item by its id, as :meth:`index_by_id`.

        Raises:
            RequestError: There is no such item.
        """
        index = self.index_by_id(item_id)
        if index is None:
            domain = self.words.domain
            numbers = sorted(known for known in self.index_of_id if isinstance(known, int))
            raise RequestError(
                f"no {domain.item} has the id {shown_id(item_id)}",
                code="unknown_item",
                hint=f"The {domain.count(len(self.items))} have ids "
                f"{self._ids.describe(np.array(numbers, dtype=np.int64))}",
            )
        return index

    def search(self, text: str, limit: int = 10) -> list[Match]:
        """Return the items most similar to a (part of a) title, best first; ties by ratings."""
        words, year = split_year(text)
        wanted = normalize_title(words)
        if not wanted:
            return []
        scores = self._similarities(wanted)
        if year is not None:
            same_year = np.array([item.year == year for item in self.items])
            scores = np.where(same_year, scores, 0.8 * scores)
        similar = np.flatnonzero(scores >= _MIN_SIMILARITY)
        order = np.lexsort((similar, -self.ratings[similar], -scores[similar]))[:limit]
        return [Match(int(index), float(scores[index])) for index in similar[order]]

    def find(self, text: str) -> int:
        """Return the index of the item that a text names.

        Args:
            text: ``Heat (1995)``; ``heat`` if one item has this title; ``shawshank`` if one item is
                clearly the most similar and has the same numbers, as a sequel has not; ``#6``, an
                id.

        Raises:
            RequestError: No item or several items match; the hint offers choices.
        """
        text = text.strip()
        if re.fullmatch(r"#-?\d{1,19}", text) and self._ids.texts is None:
            return self.index_of(int(text[1:]))
        exact = self._with_title(text)
        if text.startswith("#") and self._ids.texts is not None:
            index = self.index_by_id(text[1:])
            return exact[0] if index is None and len(exact) == 1 else self.index_of(text[1:])
        if len(exact) == 1:
            return exact[0]
        similar = [] if exact else self.search(text, _MAX_CHOICES)
        if similar and similar[0].similarity >= _CONFIDENT and _is_clear(similar):
            typed = _numbers(normalize_title(split_year(text)[0]))
            if typed in ([], _numbers(self._titles[similar[0].item_idx])):
                return similar[0].item_idx
        hint = self._offer(exact or [match.item_idx for match in similar])
        domain = self.words.domain
        if exact:
            message = f"{domain.count(len(exact))} are called {text!r}"
            raise RequestError(message, code="ambiguous_title", hint=hint)
        message = f"no {domain.item} is called {text!r}"
        raise RequestError(message, code="unknown_title", hint=hint)

    def _with_title(self, text: str) -> list[int]:
        words, year = split_year(text)
        title = normalize_title(words)
        items = self._by_title.get(title) or self._by_other_title.get(title, [])
        if year is None:
            return items
        items = [index for index in items if self.items[index].year == year]
        # Of two items of one year, the one whose full title this is.
        return [index for index in items if self._titles[index] == title] or items

    def _similarities(self, wanted: str) -> npt.NDArray[np.float64]:
        whole = process.cdist([wanted], self._titles, scorer=fuzz.ratio)[0]
        part = process.cdist([wanted], self._titles, scorer=fuzz.WRatio)[0]
        # A short title such as "M" is contained in most texts.
        return np.maximum(whole, np.where(self._lengths >= len(wanted), part, 0.0))

    def _offer(self, items: list[int]) -> str:
        if not items:
            return "No similar title exists"
        choices = ", ".join(
            f"{plain_text(self.name(index))} (#{plain_text(str(self.items[index].item_id))})"
            for index in items
        )
        return f"Choose by title and year, or by id: {choices}"


def _other_titles(title: str) -> set[str]:
    """Return the titles in brackets, and the title without its article."""
    # "(V)" and "(TV)" mark video and television releases.
    bracketed = {normalize_title(name) for name in _IN_BRACKETS.findall(title) if len(name) > 2}
    bare = {_FIRST_ARTICLE.sub("", name) for name in titles_of(title)}
    return (bracketed | bare) - {""}


def _numbers(normalized: str) -> list[str]:
    """Return the Arabic and Roman numbers of a title."""
    return [word for word in normalized.split() if _NUMBER.fullmatch(word)]


def _is_clear(matches: list[Match]) -> bool:
    return len(matches) == 1 or matches[0].similarity - matches[1].similarity >= _MARGIN
