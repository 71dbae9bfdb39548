"""Films in the order of P(Yes), and which ratings moved a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reeltune.asking.judge import Judge
from reeltune.data.history import History
from reeltune.scoring.ranking import Question
from reeltune.scoring.scorer import Progress

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Recommendation:
    """A film with its verdict.

    Attributes:
        film_row: Which film.
        p_yes: P(Yes): the chance that the user will like it, as the model sees it.
    """

    film_row: int
    p_yes: float


@dataclass(frozen=True)
class Influence:
    """What one rating did to a verdict.

    Attributes:
        place: Which event of the history that was shown, 0 for the oldest.
        film_row: The film that was rated.
        stars: The stars it was given.
        moved: P(Yes) with the rating less P(Yes) without it.
    """

    place: int
    film_row: int
    stars: float
    moved: float


def recommend(
    judge: Judge,
    history: History,
    candidates: Ints,
    top: int | None = None,
    *,
    base: bool = False,
    progress: Progress | None = None,
) -> list[Recommendation]:
    """Return the films somebody is likeliest to like, the likeliest first.

    Equal verdicts keep the order of the candidates.

    Args:
        judge: Gives the verdicts.
        history: What has been rated.
        candidates: Rows of the films to judge, shape ``(n,)``.
        top: How many to return; None returns all.
        base: Ask the base model, without the adapter.
        progress: Told after every batch.
    """
    question = Question(history, candidates)
    p_yes = judge.verdicts([question], base=base, progress=progress)[0].p_yes
    best = np.argsort(-p_yes, kind="stable")[:top]
    return [Recommendation(int(candidates[i]), float(p_yes[i])) for i in best]


def why(
    judge: Judge,
    history: History,
    candidates: Sequence[int],
    most: int | None = None,
    *,
    progress: Progress | None = None,
) -> list[list[Influence]]:
    """Return, for each film, which ratings moved its verdict, the strongest first.

    The history is asked as it is and once without each of its events, all in shared passes. What a
    rating did is the difference; that leaves out what ratings do together. An older event never
    takes the place of the one left out, since it would then be that which moved the verdict.

    Args:
        judge: Gives the verdicts.
        history: What has been rated; the events that the judge shows are looked at.
        candidates: Rows of the films, ``n`` of them.
        most: How many ratings to return for each film; None returns all.
        progress: Told after every batch.
    """
    shown = history.last(judge.history_len)
    films = np.asarray(candidates, dtype=np.int64)
    variants = [shown, *(shown.without(place) for place in range(len(shown)))]
    verdicts = judge.verdicts([Question(one, films) for one in variants], progress=progress)
    p_yes = np.array([one.p_yes for one in verdicts])
    moved = p_yes[0] - p_yes[1:]
    return [
        [
            Influence(
                int(place),
                int(shown.film_row[place]),
                float(shown.stars[place]),
                float(moved[place, film]),
            )
            for place in np.argsort(-np.abs(moved[:, film]), kind="stable")[:most]
        ]
        for film in range(len(films))
    ]
