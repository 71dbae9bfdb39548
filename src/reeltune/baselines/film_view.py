"""What training ratings say of each event's film, as the event's own user is not among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reeltune.baselines.problem import Floats, Ints, Problem
from reeltune.data.columns import CONTEXT, TRAIN
from reeltune.seeds import stream

FOLDS: Final = 10
"""Parts the users are dealt into: a training row sees films as the users of other parts rate them.

Leaving out only the row itself would give its label away: of two rows of one film, the one whose
user gave more stars would see the lower mean, and trees find that.
"""

FILM_PRIOR: Final = 5.0
"""Ratings of the average film that are added to each film's own."""

_ANY_STARS: Final = 3.0
_ANY_LIKE: Final = 0.5
"""One rating like this is added to all, so that there is a mean even without any."""


@dataclass(frozen=True)
class FilmView:
    """All arrays have one entry per event.

    Attributes:
        count: Training ratings of the film. Where a part of the users is left out, it is scaled up
            as if all had been asked.
        stars: Mean stars of the film, shrunk to ``any_stars``.
        like_rate: Share of likes of the film, shrunk to ``any_like``.
        any_stars: Mean stars of all films.
        any_like: Share of likes of all films.
    """

    count: Floats
    stars: Floats
    like_rate: Floats
    any_stars: Floats
    any_like: Floats


def film_view(problem: Problem) -> FilmView:
    """Return what is known of each event's film.

    Held-out events see all training ratings. Events of ``train`` and ``context`` see those of users
    in other parts than their own user's, so nothing here depends on a training row's own user.
    """
    known, ratings = problem.timelines, problem.ratings
    part = parts_of_users(problem)

    def asked(weights: npt.NDArray[Any]) -> tuple[Floats, Floats]:
        """Return sums over the event's film and over all films, the event's part left out."""
        size = len(problem.films)
        cell = part[ratings] * size + known.film_row[ratings]
        table = np.bincount(cell, weights[ratings], minlength=(FOLDS + 1) * size)
        table = table.reshape(FOLDS + 1, size)
        others = table.sum(0) - table
        return others[part, known.film_row], others.sum(1)[part]

    count, total = asked(np.ones(len(known)))
    stars, all_stars = asked(problem.stars)
    likes, all_likes = asked(known.liked)
    any_stars = (all_stars + _ANY_STARS) / (total + 1)
    any_like = (all_likes + _ANY_LIKE) / (total + 1)
    return FilmView(
        count=count * len(ratings) / np.maximum(total, 1),
        stars=(stars + FILM_PRIOR * any_stars) / (count + FILM_PRIOR),
        like_rate=(likes + FILM_PRIOR * any_like) / (count + FILM_PRIOR),
        any_stars=any_stars,
        any_like=any_like,
    )


def parts_of_users(problem: Problem) -> Ints:
    """Return the part each event's user is in, and ``FOLDS`` for held-out events: in none."""
    known = problem.timelines
    users, which = np.unique(known.user_id, return_inverse=True)
    dealt = stream(problem.seed, "parts of users").permutation(len(users)) % FOLDS
    learned = (known.split == TRAIN) | (known.split == CONTEXT)
    return np.where(learned, dealt[which], FOLDS)
