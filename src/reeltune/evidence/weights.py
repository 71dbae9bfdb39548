"""How much each part of what is expected weighs: what makes training ratings most likely.

``benchmarks.fit_expectation`` found the weights on ratings of ml-latest-small that neither the
split by user nor that by time holds out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Weights:
    """How much each part varies, in units of the outcome squared, and how far it reaches.

    Attributes:
        mood: What lasts for many events in a row.
        mood_length: After so many events 37 % of it is left.
        moment: What lasts for a few.
        moment_length: After so many events 37 % of it is left.
        tastes: Films that others rate alike.
        raters: Films that the same users have rated.
        genres: Films of the same genres.
        years: Films of about the same year.
        years_length: After so many years 37 % of it is left.
        fame: Films about as well known.
        praise: Films with about the same mean.
        noise: What is peculiar to one event.
        doubt: What the mean of a film may be wrong by, times the ratings it rests on.
    """

    mood: float = 0.0402
    mood_length: float = 46.97
    moment: float = 0.0781
    moment_length: float = 1.172
    tastes: float = 0.1937
    raters: float = 0.2618
    genres: float = 0.0466
    years: float = 0.1264
    years_length: float = 84.59
    fame: float = 0.0020
    praise: float = 0.1704
    noise: float = 0.2356
    doubt: float = 2.6619


WEIGHTS: Final = Weights()
