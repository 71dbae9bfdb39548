"""A list of recommended films with everything that is told about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reeltune.asking.judge import Judge
from reeltune.data.history import History
from reeltune.domain import Item
from reeltune.recommend.candidates import Candidates
from reeltune.recommend.recommend import recommend, why
from reeltune.scoring.ranking import Question
from reeltune.scoring.scorer import Progress


@dataclass(frozen=True)
class Rated:
    """A film with its stars.

    Attributes:
        item: The film.
        rating: What it was given.
    """

    item: Item
    rating: float


@dataclass(frozen=True)
class Reason:
    """A rating that moved a verdict.

    Attributes:
        rated: The rating.
        moved: P(Yes) with it less P(Yes) without it.
    """

    rated: Rated
    moved: float


@dataclass(frozen=True)
class Line:
    """A recommended film.

    Attributes:
        item: Which.
        p_like: P(Yes).
        p_like_base: The same by the base model; None where it was not asked.
        why: What moved the verdict most, the strongest first; None where it was not asked.
    """

    item: Item
    p_like: float
    p_like_base: float | None
    why: tuple[Reason, ...] | None


@dataclass(frozen=True)
class Listing:
    """Recommended films, and how they were found.

    Attributes:
        lines: The likeliest to be liked first.
        shown: The ratings that prompts show, oldest first.
        rated: How many ratings there are.
        judged: How many films were judged.
        fitting: How many fit and are not rated yet.
        notes: What one should know before believing it.
    """

    lines: tuple[Line, ...]
    shown: tuple[Rated, ...]
    rated: int
    judged: int
    fitting: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """What is to be told.

    Attributes:
        top: How many films.
        base: Whether also what the base model says of them.
        reasons: How many ratings that moved each verdict; 0 for none.
    """

    top: int = 10
    base: bool = False
    reasons: int = 0


def make_listing(
    judge: Judge,
    history: History,
    candidates: Candidates,
    wanted: Wanted,
    start: Callable[[str], Progress] = lambda _: lambda _done, _total: None,
) -> Listing:
    """Judge candidates, and tell what is wanted of the best.

    Args:
        judge: Gives the verdicts.
        history: What has been rated.
        candidates: The films to judge.
        wanted: What is to be told.
        start: Begins a progress bar of some name.
    """
    items = judge.subject.folder.items
    progress = start("candidates")
    best = recommend(judge, history, candidates.rows, wanted.top, progress=progress)
    rows = np.array([one.item_idx for one in best], dtype=np.int64)
    by_base: list[float | None] = [None] * len(best)
    if wanted.base:
        asked = [Question(history, rows)]
        by_base = judge.verdicts(asked, base=True, progress=start("base"))[0].p_yes.tolist()
    reasons: list[tuple[Reason, ...] | None] = [None] * len(best)
    if wanted.reasons:
        found = why(judge, history, rows.tolist(), wanted.reasons, progress=start("why"))
        reasons = [
            tuple(Reason(Rated(items[one.item_idx], one.rating), one.moved) for one in ones)
            for ones in found
        ]
    lines = (
        Line(items[one.item_idx], one.p_yes, base, reason)
        for one, base, reason in zip(best, by_base, reasons, strict=True)
    )
    shown = history.last(judge.history_len)
    told = zip(shown.item_idx.tolist(), shown.rating.tolist(), strict=True)
    return Listing(
        lines=tuple(lines),
        shown=tuple(Rated(items[row], rating) for row, rating in told),
        rated=len(history),
        judged=len(candidates.rows),
        fitting=candidates.fitting,
        notes=tuple(_notes(judge, len(shown))),
    )


def _notes(judge: Judge, shown: int) -> list[str]:
    folder = judge.subject.folder
    fewest = min(folder.min_history, folder.history_len)
    if not judge.tuned or shown >= fewest:
        return []
    return [
        f"{_ratings(shown)} shown, and the model has learned from histories of {fewest} or more: "
        "its verdicts are less to be relied on"
    ]


def _ratings(count: int) -> str:
    return "1 rating is" if count == 1 else f"{count} ratings are"
