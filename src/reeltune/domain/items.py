"""Items of an edition, and the ratings they can have."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Final, NamedTuple

# What chat templates use to delimit messages: <|im_end|>, <s>, </think>, <start_of_turn>.
_ANGLE_TOKEN = re.compile(r"<(?=[|/]?[\w|]+[^<>]*>)")


class Item(NamedTuple):
    """One item of an edition; in MovieLens, a film.

    ``text`` has a value for each column of the data's item text, or is empty.
    """

    item_id: int
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
        return f"{self.min:.1f} to {self.max:.1f} in steps of {self.step:.1f}"

    def contains(self, rating: float) -> bool:
        """Return whether a rating is one of :meth:`ratings`; False for NaN."""
        return self.min <= rating <= self.max and (rating / self.step).is_integer()

    def ratings(self) -> tuple[float, ...]:
        """Return every rating, lowest first."""
        steps = range(math.ceil(self.min / self.step), math.floor(self.max / self.step) + 1)
        return tuple(step * self.step for step in steps)

    def round_up(self, value: float) -> float:
        """Return the lowest multiple of ``step`` that is at least ``value``."""
        return math.ceil(value / self.step) * self.step


HALF_STARS: Final = RatingScale(0.5, 5.0, 0.5)
"""The finest scale of any edition: it contains every rating of the others."""

WHOLE_STARS: Final = RatingScale(1.0, 5.0, 1.0)


def format_rating(rating: float) -> str:
    """Return a rating with the one decimal that prompts show: ``4.5``, ``3.0``."""
    return f"{rating:.1f}"
