"""How much each part of what is expected weighs: what makes training ratings most likely.

``benchmarks.fit_expectation`` finds the weights on training ratings alone. Those in use were fitted
before there was that command, on the whole timelines of 150 users; docs/experiments/evidence.md has
both side by side.
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

    mood: float = 0.0542
    mood_length: float = 67.6
    moment: float = 0.0879
    moment_length: float = 0.873
    tastes: float = 0.1853
    raters: float = 0.2685
    genres: float = 0.0377
    years: float = 0.1098
    years_length: float = 70.6
    fame: float = 0.0028
    praise: float = 0.1704
    noise: float = 0.2231
    doubt: float = 2.0415


WEIGHTS: Final = Weights()
