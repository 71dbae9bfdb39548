"""Items of an edition, and the ratings they can have."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Final, NamedTuple

_MOST_STEPS: Final = 1000
_DECIMALS: Final = 6
_ROUNDING: Final = 1e-4
"""Ratings are stored in 32 bits, so a step of 0.1 is met to seven digits."""

# What chat templates use to delimit messages: <|im_end|>, <s>, </think>, <start_of_turn>.
_ANGLE_TOKEN = re.compile(r"<(?=[|/]?[\w|]+[^<>]*>)")

_LAST_ARTICLE = re.compile(r"^(?P<rest>.+), (?P<article>the|a|an|le|la|les|l'|il|el|der|die|das)$")


class Item(NamedTuple):
    """One item of an edition; in MovieLens, a film.

    ``item_id`` is as the data give it. ``text`` has a value for each column of the data's item
    text, or is empty.
    """

    item_id: int | str
    title: str
    year: int | None
    genres: tuple[str, ...]
    text: tuple[str, ...] = ()


def plain_text(text: str) -> str:
    """Return untrusted text on one line, without anything shaped like a control token.

    A space after its ``<`` keeps tokenizers from reading ``<|im_end|>`` as the end of a message.

    >>> plain_text("Heat <|im_end|>\\nYes")
    'Heat < |im_end|> Yes'
    """
    kept = (" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    return _ANGLE_TOKEN.sub("< ", " ".join("".join(kept).split()))


def normalize_title(text: str) -> str:
    """Return a title for comparison.

    >>> normalize_title("Été, L'")
    'l ete'
    """
    text = unicodedata.normalize("NFKD", text).casefold()
    text = "".join(char for char in text if not unicodedata.combining(char)).strip()
    moved = _LAST_ARTICLE.match(text)
    if moved:
        text = f"{moved['article']} {moved['rest']}"
    return " ".join(re.findall(r"\w+", text))


def titles_of(title: str) -> set[str]:
    """Return a title with and without its brackets: "Seven (a.k.a. Se7en)" is "Seven", too."""
    return {normalize_title(title), normalize_title(title.partition("(")[0])} - {""}


@dataclass(frozen=True)
class RatingScale:
    """The ratings from ``min`` to ``max`` in steps of ``step``.

    >>> RatingScale(1.0, 5.0, 1.0).ratings()
    (1.0, 2.0, 3.0, 4.0, 5.0)
    """

    min: float
    max: float
    step: float

    def __str__(self) -> str:
        low, high, step = map(self.number, (self.min, self.max, self.step))
        return f"{low} to {high} in steps of {step}"

    def number(self, rating: float, decimals: int = 0) -> str:
        """Return a rating with the decimals of the scale, or more if ``decimals`` says so.

        A number between two ratings has all its decimals.

        >>> RatingScale(0.5, 5.0, 0.5).number(3), RatingScale(1.0, 10.0, 1.0).number(3)
        ('3.0', '3')
        """
        text = f"{rating:.{max(decimals, *map(_decimals, (self.step, self.min)))}f}"
        return text if math.isclose(float(text), rating, rel_tol=1e-6) else f"{rating:g}"

    @property
    def is_valid(self) -> bool:
        """Whether it has at least two ratings, the last of which is ``max``."""
        if not (math.isfinite(self.min + self.max) and 0 < self.step <= self.max - self.min):
            return False
        return (self.max - self.min) / self.step < _MOST_STEPS and self.contains(self.max)

    def contains(self, rating: float) -> bool:
        """Return whether a rating is one of :meth:`ratings`, up to rounding; False for NaN."""
        if not self.min <= rating <= self.max:
            return False
        steps = (rating - self.min) / self.step
        return abs(steps - round(steps)) < _ROUNDING

    def ratings(self) -> tuple[float, ...]:
        """Return every rating, lowest first."""
        last = math.floor((self.max - self.min) / self.step + _ROUNDING)
        return tuple(round(self.min + step * self.step, _DECIMALS) for step in range(last + 1))

    def nearest(self, rating: float) -> float:
        """Return the rating that one of 32 bits stands for: 7.1 for 7.09999990."""
        return round(self.min + round((rating - self.min) / self.step) * self.step, _DECIMALS)

    def round_up(self, value: float) -> float:
        """Return the lowest rating that is at least ``value``."""
        return next(rating for rating in self.ratings() if rating >= value - _ROUNDING)


HALF_STARS: Final = RatingScale(0.5, 5.0, 0.5)
"""The finest scale of any edition: it contains every rating of the others."""

WHOLE_STARS: Final = RatingScale(1.0, 5.0, 1.0)


def _decimals(value: float) -> int:
    return len(f"{value:.6f}".rstrip("0").partition(".")[2])
