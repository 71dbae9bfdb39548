"""Notable rows: where the model is confident, wrong, ahead, behind, changed or undecided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reeltune.data.folder import PreparedFolder
from reeltune.domain import Item
from reeltune.evaluation.arrays import THRESHOLD, Floats, Ints, Labels
from reeltune.evaluation.predictions import PredictionTable
from reeltune.evaluation.result import Example, PastEvent


@dataclass(frozen=True)
class _Reason:
    """A reason to show a row, and the rows it applies to, the most extreme first."""

    why: str
    rows: Ints


def notable_examples(
    folder: PreparedFolder,
    predictions: PredictionTable,
    scorer: str,
    base_name: str | None,
    baseline_name: str | None,
    count: int = 10,
) -> list[Example]:
    """Return notable rows, each once, grouped by reason.

    Each reason in turn contributes its most extreme row that is not yet taken, until there are
    enough. Of equal rows the first is taken.

    Args:
        folder: The prepared data the rows come from.
        predictions: The rows with the predictions of every scorer.
        scorer: Name of the model.
        base_name: The base model; None leaves out the largest changes.
        baseline_name: The best baseline; None leaves out where the model is ahead and behind.
        count: Rows at most.
    """
    reasons = list(_reasons(predictions, scorer, base_name, baseline_name))
    chosen: list[list[int]] = [[] for _ in reasons]
    taken: set[int] = set()
    remaining = [iter(reason.rows.tolist()) for reason in reasons]
    found = True
    while found and len(taken) < count:
        found = False
        for rows, own in zip(remaining, chosen, strict=True):
            row = next((row for row in rows if row not in taken), None)
            if row is not None and len(taken) < count:
                own.append(row)
                taken.add(row)
                found = True
    return [
        _example(folder, predictions, row, reason.why)
        for reason, rows in zip(reasons, chosen, strict=True)
        for row in rows
    ]


def _reasons(
    predictions: PredictionTable, scorer: str, base_name: str | None, baseline_name: str | None
) -> Iterator[_Reason]:
    p_yes, liked = predictions.p_yes[scorer], predictions.liked
    yes = p_yes >= THRESHOLD
    yield _most("confident and right: Yes", p_yes, liked & yes)
    yield _most("confident and right: No", -p_yes, ~liked & ~yes)
    yield _most("confident and wrong: Yes", p_yes, ~liked & yes)
    yield _most("confident and wrong: No", -p_yes, liked & ~yes)
    if baseline_name is not None:
        ahead = np.where(liked, 1.0, -1.0) * (p_yes - predictions.p_yes[baseline_name])
        yield _most(f"most ahead of {baseline_name}", ahead, ahead > 0)
        yield _most(f"most behind {baseline_name}", -ahead, ahead < 0)
    if base_name is not None:
        changed = np.abs(p_yes - predictions.p_yes[base_name])
        yield _most(f"changed most from {base_name}", changed, changed > 0)
    yield _most("undecided", -np.abs(p_yes - THRESHOLD), np.ones(len(p_yes), dtype=bool))


def _most(why: str, value: Floats, applies: Labels) -> _Reason:
    order = np.argsort(-value, kind="stable")
    return _Reason(why, order[applies[order]])


def _example(folder: PreparedFolder, predictions: PredictionTable, row: int, why: str) -> Example:
    timelines, items = folder.timelines, folder.items
    event = int(predictions.event[row])
    shown = min(int(predictions.position[row]), folder.history_len)
    return Example(
        why=why,
        user_id=int(predictions.user_id[row]),
        history=[
            PastEvent(_title(items[timelines.item_idx[past]]), float(timelines.rating[past]))
            for past in range(event - shown, event)
        ],
        candidate=_title(items[timelines.item_idx[event]]),
        rating=float(timelines.rating[event]),
        liked=bool(predictions.liked[row]),
        p_yes={name: float(values[row]) for name, values in predictions.p_yes.items()},
    )


def _title(item: Item) -> str:
    return f"{item.title} ({item.year})" if item.year is not None else item.title
