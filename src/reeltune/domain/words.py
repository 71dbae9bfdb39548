"""The words of a domain: what its items are called, and how a rating is said."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

from reeltune.domain.items import HALF_STARS, RatingScale

_LONGEST: Final = 40
_STARS_UP_TO: Final = 5


@dataclass(frozen=True)
class Domain:
    """The words that prompts and pages have for items and ratings; by default, those of films.

    Data and adapter are of one domain if all words are equal.

    Attributes:
        name: What the domain is called.
        item: What an item is called.
        items: Its plural.
        article: The article before ``item``; empty for ``a``, or ``an`` before a vowel.
        like: What is predicted: whether a user will ``like`` an item.
        liking: Its gerund.
        liked: Its participle; on a scale of likes, how a like is said.
        disliked: On a scale of likes, how its opposite is said.
        unit: What ratings count, in the plural; empty for ``stars`` on scales up to 5, and for
            "8 of 10" on others.
    """

    name: str = "film"
    item: str = "film"
    items: str = "films"
    article: str = ""
    like: str = "like"
    liking: str = "liking"
    liked: str = "liked"
    disliked: str = "not liked"
    unit: str = ""

    @property
    def an_item(self) -> str:
        """An item with its article: ``a film``."""
        return f"{self.article or ('an' if self.item[0].lower() in 'aeiou' else 'a')} {self.item}"

    def count(self, number: int) -> str:
        """Return a number of items: ``1 film``, ``9,742 films``."""
        return f"{number:,} {self.item if number == 1 else self.items}"

    def to_dict(self) -> dict[str, str]:
        """Return the names, and the other words that differ from the default."""
        words = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {
            key: word for key, (word, default) in words.items() if key in _KEYS or word != default
        }

    @classmethod
    def from_dict(cls, values: Any) -> Domain:
        """Return the domain of :meth:`to_dict`.

        Raises:
            ValueError: Some words cannot be used; the text says which.
        """
        for key, problem in problems_of(values):
            raise ValueError(f"{key}: {problem}")
        return cls(**values)


_KEYS: Final = ("name", "item", "items")
FILM: Final = Domain()


def problems_of(values: Any) -> Iterator[tuple[str, str]]:
    """Yield the key and the problem of each word that a domain cannot have."""
    if not isinstance(values, dict):
        yield "domain", "its words are not given by key"
        return
    known = {field.name for field in fields(Domain)}
    for key in (key for key in values if key not in known):
        yield f"{key}", f"unknown; the keys are {', '.join(field.name for field in fields(Domain))}"
    for key in (key for key in _KEYS if key not in values):
        yield key, "missing"
    for key in (field.name for field in fields(Domain) if field.name in values):
        word = values[key]
        if not isinstance(word, str):
            yield key, f"{word!r:.60} is not a text"
        elif not 0 < len(word) <= _LONGEST:
            yield key, f"has {len(word)} characters, not 1 to {_LONGEST}"
        elif word != " ".join(word.split()) or not all(map(_is_ordinary, word)):
            yield key, f"{word!r} is not made of letters, digits, hyphens and single spaces"
        elif not all(_is_letter(end) for end in (word[0], word[-1])):
            yield key, f"{word!r} does not begin and end with a letter or digit"


def _is_letter(char: str) -> bool:
    return unicodedata.category(char)[0] in "LMN"


def _is_ordinary(char: str) -> bool:
    return _is_letter(char) or char in " -'\u2019"


def capitalized(text: str) -> str:
    """Return a text with its first letter in upper case, the others as they are."""
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class RatingWords:
    """How the ratings of a scale are said in a domain.

    >>> RatingWords(FILM, RatingScale(0.5, 5.0, 0.5)).said(4.5)
    '4.5 stars'
    >>> RatingWords(FILM, RatingScale(1.0, 10.0, 1.0)).said(8)
    '8 of 10'
    >>> RatingWords(FILM, RatingScale(0.0, 1.0, 1.0)).said(0)
    'not liked'
    """

    domain: Domain
    scale: RatingScale

    @property
    def are_likes(self) -> bool:
        """Whether a rating is a like or its opposite."""
        return (self.scale.min, self.scale.max, self.scale.step) == (0, 1, 1)

    @property
    def unit(self) -> str:
        """What ratings count, in the plural; empty if nothing."""
        if self.are_likes:
            return ""
        of_stars = self.scale.min >= 0 and 1 < self.scale.max <= _STARS_UP_TO
        return self.domain.unit or ("stars" if of_stars else "")

    @property
    def noun(self) -> str:
        """What a user gives an item: ``stars``, or a ``rating``."""
        return self.unit or "rating"

    def number(self, rating: float) -> str:
        """Return a rating as :meth:`RatingScale.number`, with at least one decimal for stars."""
        return self.scale.number(rating, decimals=1 if self.unit == "stars" else 0)

    def label(self, rating: float) -> str:
        """Return a rating as shown before or beside its item: ``4.5``, ``8``, ``liked``."""
        if self.are_likes:
            return self.domain.liked if rating else self.domain.disliked
        return self.number(rating)

    def said(self, rating: float) -> str:
        """Return a rating in words: ``4.5 stars``, ``8 of 10``, ``liked``."""
        if self.are_likes:
            return self.label(rating)
        return f"{self.number(rating)} {self.unit or f'of {self.number(self.scale.max)}'}"

    def choices(self) -> str:
        """Return the hint for a rating that is not on the scale."""
        if self.are_likes:
            return f"Give 1 for {self.label(1)}, 0 for {self.label(0)}"
        return f"Give a rating from {self.scale}"

    def instruction(self, threshold: float) -> str:
        """Return how users rate items and what a like is, without a full stop."""
        domain, scale = self.domain, self.scale
        if self.are_likes:
            return f"Users rate {domain.items} as {domain.liked} or {domain.disliked}"
        unit = f" {self.unit}" if self.unit else ""
        return (
            f"Users rate {domain.items} from {self.number(scale.min)} to {self.number(scale.max)}"
            f"{unit}; {domain.liking} {domain.an_item} means rating it {self.number(threshold)} or "
            "higher"
        )


FILM_STARS: Final = RatingWords(FILM, HALF_STARS)
"""The words of MovieLens."""
