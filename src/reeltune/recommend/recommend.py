"""Films in the order of P(Yes), and which ratings moved a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from reeltune.asking.judge import Judge
from reeltune.data.history import History
from reeltune.scoring.ranking import Question
from reeltune.scoring.scorer import Progress, Verdicts

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Recommendation:
    """A film with its verdict.

    Attributes:
        item_idx: Which film.
        p_yes: P(Yes): the chance that the user will like it, as the model sees it.
    """

    item_idx: int
    p_yes: float


@dataclass(frozen=True)
class Influence:
    """What one rating did to a verdict.

    Attributes:
        place: Which event of the history that was shown, 0 for the oldest.
        item_idx: The film that was rated.
        rating: The stars it was given.
        moved: P(Yes) with the rating less P(Yes) without it.
    """

    place: int
    item_idx: int
    rating: float
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

    Calibration can make verdicts equal: those keep the order the model itself saw. Verdicts that
    were equal before keep the order of the candidates.

    Args:
        judge: Gives the verdicts.
        history: What has been rated.
        candidates: Rows of the films to judge, shape ``(n,)``.
        top: How many to return; None returns all.
        base: Ask the base model, without the adapter.
        progress: Told after every batch.
    """
    question = Question(history, candidates)
    verdicts = judge.verdicts([question], base=base, progress=progress)[0]
    p_yes = verdicts.p_yes
    best = likeliest_first(verdicts)[:top]
    return [Recommendation(int(candidates[i]), float(p_yes[i])) for i in best]


def likeliest_first(verdicts: Verdicts) -> Ints:
    """Return the order of some verdicts as :func:`recommend` orders them, shape ``(n,)``."""
    return np.lexsort((-verdicts.log_odds, -verdicts.p_yes))


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
    items = np.asarray(candidates, dtype=np.int64)
    variants = with_and_without(history.last(judge.history_len))
    verdicts = judge.verdicts([Question(one, items) for one in variants], progress=progress)
    return influences(variants[0], [one.p_yes for one in verdicts], most)


def with_and_without(shown: History) -> list[History]:
    """Return a history as it is, then once without each of its events, the oldest first.

    Evidence is made anew of each, so that only what is left out differs.
    """
    shown = replace(shown, evidence=None)
    return [shown, *(shown.without(place) for place in range(len(shown)))]


def influences(
    shown: History, p_yes: Sequence[Floats], most: int | None = None
) -> list[list[Influence]]:
    """Return, for each film, which ratings moved its verdict, the strongest first.

    Args:
        shown: What has been rated.
        p_yes: P(Yes) of the films after each of :func:`with_and_without`, shape ``(films,)`` each.
        most: How many ratings to return for each film; None returns all.
    """
    asked = np.array(p_yes)
    moved = asked[0] - asked[1:]
    return [
        [
            Influence(
                int(place),
                int(shown.item_idx[place]),
                float(shown.rating[place]),
                float(moved[place, item]),
            )
            for place in np.argsort(-np.abs(moved[:, item]), kind="stable")[:most]
        ]
        for item in range(asked.shape[1])
    ]
