"""Notable rows: where the model is confident, wrong, ahead, behind, changed or undecided."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from reeltune.data.folder import PreparedFolder
from reeltune.domain import Item
from reeltune.evaluation.metrics import THRESHOLD
from reeltune.evaluation.predictions import Floats, Ints, Labels, PredictionTable
from reeltune.evaluation.result import Example, PastEvent


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
        scorer: Name of the model.
        base_name: The base model; None leaves out the largest changes.
        baseline_name: The best baseline; None leaves out where the model is ahead and behind.
        count: Rows at most.
    """
    reasons = list(_reasons(predictions, scorer, base_name, baseline_name))
    remaining = [iter(rows.tolist()) for _, rows in reasons]
    reason_of: dict[int, int] = {}
    before = -1
    while before < len(reason_of) < count:
        before = len(reason_of)
        for reason, rows in enumerate(remaining):
            row = next((row for row in rows if row not in reason_of), None)
            if row is not None and len(reason_of) < count:
                reason_of[row] = reason
    return [
        _example(folder, predictions, row, reasons[reason][0])
        for row, reason in sorted(reason_of.items(), key=lambda chosen: chosen[1])
    ]


def _reasons(
    predictions: PredictionTable, scorer: str, base_name: str | None, baseline_name: str | None
) -> Iterator[tuple[str, Ints]]:
    """Yield reasons to show a row, each with its rows, the most extreme first."""
    p_yes, liked = predictions.p_yes[scorer], predictions.liked
    yes = p_yes >= THRESHOLD
    yield "confident and right: Yes", _sorted(p_yes, liked & yes)
    yield "confident and right: No", _sorted(-p_yes, ~liked & ~yes)
    yield "confident and wrong: Yes", _sorted(p_yes, ~liked & yes)
    yield "confident and wrong: No", _sorted(-p_yes, liked & ~yes)
    if baseline_name is not None:
        ahead = np.where(liked, 1.0, -1.0) * (p_yes - predictions.p_yes[baseline_name])
        yield f"most ahead of {baseline_name}", _sorted(ahead, ahead > 0)
        yield f"most behind {baseline_name}", _sorted(-ahead, ahead < 0)
    if base_name is not None:
        changed = np.abs(p_yes - predictions.p_yes[base_name])
        yield f"changed most from {base_name}", _sorted(changed, changed > 0)
    yield "undecided", _sorted(-np.abs(p_yes - THRESHOLD), np.ones(len(p_yes), dtype=bool))


def _sorted(value: Floats, applies: Labels) -> Ints:
    order = np.argsort(-value, kind="stable")
    return order[applies[order]]


def _example(folder: PreparedFolder, predictions: PredictionTable, row: int, why: str) -> Example:
    timelines, items = folder.timelines, folder.items
    event = int(predictions.event[row])
    shown = min(int(predictions.position[row]), folder.history_len)
    return Example(
        why=why,
        user_id=folder.user_ids.id(int(predictions.user_id[row])),
        history=[
            PastEvent(title_of(items[timelines.item_idx[past]]), float(timelines.rating[past]))
            for past in range(event - shown, event)
        ],
        candidate=title_of(items[timelines.item_idx[event]]),
        rating=float(timelines.rating[event]),
        liked=bool(predictions.liked[row]),
        p_yes={name: float(values[row]) for name, values in predictions.p_yes.items()},
    )


def title_of(item: Item) -> str:
    """Return an item's title with its year."""
    return f"{item.title} ({item.year})" if item.year is not None else item.title
