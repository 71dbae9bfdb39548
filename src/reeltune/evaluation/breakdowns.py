"""Where it works and where not: the rows cut by one property after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.data.columns import TRAIN
from reeltune.data.folder import PreparedFolder
from reeltune.evaluation.auc_intervals import auc_interval, drawn_aucs
from reeltune.evaluation.intervals import DRAWS
from reeltune.evaluation.predictions import Predictions
from reeltune.evaluation.result import Breakdown, Group

QUANTILES: Final = 5
QUARTERS: Final = 4

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cut:
    """Rows in groups.

    Attributes:
        name: The property, as in :class:`Breakdown`.
        about: What it is and how the groups were cut.
        labels: What each group is called, in natural order.
        group: The group of each row, shape ``(n,)``.
    """

    name: str
    about: str
    labels: list[str]
    group: Ints


def breakdowns(
    folder: PreparedFolder, predictions: Predictions, seed: int, draws: int = DRAWS
) -> list[Breakdown]:
    """Return the AUC of every scorer within groups of the rows, with intervals over users.

    Args:
        folder: The prepared data the rows come from.
        predictions: The rows and the verdicts of every scorer; at least one row.
        seed: Decides the draws of users.
        draws: How often users are drawn.
    """
    return [
        Breakdown(
            cut.name,
            cut.about,
            [_measured(predictions, cut, i, seed, draws) for i in range(len(cut.labels))],
        )
        for cut in cuts(folder, predictions)
    ]


def cuts(folder: PreparedFolder, predictions: Predictions) -> Iterator[Cut]:
    """Yield the rows in groups, by one property after another."""
    in_training = training_events(folder)
    timelines = folder.timelines
    count = np.bincount(timelines.item_idx[in_training], minlength=len(folder.items))
    item_idx = timelines.item_idx[predictions.event]
    ratings = count[item_idx].astype(np.int64)
    seen_user = np.isin(predictions.user_id, np.unique(timelines.user_id[in_training]))
    fifths = f"Cut into up to {QUANTILES} groups of about as many rows."
    yield Cut(
        "history length",
        "Ratings of the user before the candidate; a prompt shows the latest of them. " + fifths,
        *by_quantile(predictions.position),
    )
    yield Cut(
        "film popularity",
        "Ratings of the candidate in the training data, asked about or shown in a history. "
        + fifths,
        *by_quantile(ratings),
    )
    yield _seen("film", "Whether the training data hold any rating of the candidate.", ratings > 0)
    yield _seen("user", "Whether the training data hold any rating by the user.", seen_user)
    years = [item.year for item in folder.items]
    yield Cut("year of the film", "As its title gives it. " + fifths, *_by_year(years, item_idx))
    yield Cut(
        "time of the rating",
        "When the candidate was rated (UTC): quarters, equally long, of the time from the first "
        "to the last of these rows.",
        *_by_quarter(predictions.timestamp),
    )


def training_events(folder: PreparedFolder) -> npt.NDArray[np.bool_]:
    """Return which events a training example asks about or shows, shape ``(events,)``.

    Examples that share a history show no other events than those that do not.
    """
    examples = folder.examples(TRAIN)
    steps = np.zeros(len(folder.timelines) + 1, dtype=np.int64)
    np.add.at(steps, examples.start, 1)
    np.add.at(steps, examples.target + 1, -1)
    return np.cumsum(steps[:-1]) > 0


def by_quantile(values: Ints, most: int = QUANTILES) -> tuple[list[str], Ints]:
    """Return labels and groups of about equal size; rows of equal value are in the same one.

    Args:
        values: One number for each row, shape ``(n,)``; at least one.
        most: How many groups at most.
    """
    last = np.quantile(values, np.arange(1, most) / most, method="inverted_cdf")
    place = np.searchsorted(np.unique(last), values, side="left")
    _, group = np.unique(place, return_inverse=True)
    labels = []
    for i in range(int(group.max()) + 1):
        low, high = int(values[group == i].min()), int(values[group == i].max())
        labels.append(f"{low} to {high}" if low < high else str(low))
    return labels, group.astype(np.int64)


def _by_year(years: list[int | None], item_idx: npt.NDArray[np.integer]) -> tuple[list[str], Ints]:
    year = np.array([-1 if year is None else year for year in years], dtype=np.int64)[item_idx]
    known = year >= 0
    labels, found = by_quantile(year[known]) if known.any() else ([], year[known])
    group = np.full(len(year), len(labels), dtype=np.int64)
    group[known] = found
    return (labels if known.all() else [*labels, "unknown"]), group


def _by_quarter(timestamp: Ints) -> tuple[list[str], Ints]:
    first = int(timestamp.min())
    seconds = int(timestamp.max()) - first + 1
    edges = [first + seconds * i // QUARTERS for i in range(QUARTERS + 1)]
    days = [datetime.fromtimestamp(edge, tz=UTC).date().isoformat() for edge in edges]
    labels = [f"{i + 1}: {days[i]} to {days[i + 1]}" for i in range(QUARTERS)]
    return labels, np.searchsorted(edges[1:-1], timestamp, side="right").astype(np.int64)


def _seen(what: str, about: str, seen: npt.NDArray[np.bool_]) -> Cut:
    return Cut(f"{what} in training", about, ["seen", "unseen"], (~seen).astype(np.int64))


def _measured(predictions: Predictions, cut: Cut, number: int, seed: int, draws: int) -> Group:
    rows = cut.group == number
    liked, user_id = predictions.liked[rows], predictions.user_id[rows]
    scores = {name: p_yes[rows] for name, p_yes in predictions.p_yes.items()}
    aucs = drawn_aucs(liked, scores, user_id, seed, draws)
    users = len(np.unique(user_id))
    return Group(
        label=cut.labels[number],
        rows=len(liked),
        users=users,
        positive_rate=float(liked.mean()) if len(liked) else None,
        auc={name: auc_interval(found, users) for name, found in aucs.items()},
    )
