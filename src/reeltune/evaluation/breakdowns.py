"""Breakdowns: metrics within groups of rows, by one property after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.data.columns import TRAIN
from reeltune.data.folder import PreparedFolder
from reeltune.evaluation.intervals import BOOTSTRAP_SAMPLES, Interval, bootstrap_auc
from reeltune.evaluation.metrics import user_indices
from reeltune.evaluation.predictions import Ints, Labels, PredictionTable
from reeltune.evaluation.result import Breakdown, Group

QUANTILES: Final = 5
QUARTERS: Final = 4
THIRDS: Final = 3

USER_RATINGS: Final = (0, 1, 2, 5, 10, 20)
ITEM_RATINGS: Final = (0, 1, 3, 10)
"""Where the groups from cold to warm begin."""

LEAST_ROWS: Final = 30
"""Fewer rows say nothing: the standard error of their AUC is 0.1 and more."""


@dataclass(frozen=True)
class Grouping:
    """Rows grouped by one property: labels of the groups, and the group of each row, ``(n,)``."""

    name: str
    about: str
    labels: list[str]
    group: Ints


def breakdowns(
    folder: PreparedFolder,
    predictions: PredictionTable,
    main: str,
    seed: int,
    samples: int = BOOTSTRAP_SAMPLES,
) -> list[Breakdown]:
    """Return the AUC of every scorer, and the lead of ``main``, within groups of rows."""
    grouped = groupings(folder, predictions)
    return [_measured(grouping, predictions, main, seed, samples) for grouping in grouped]


def groupings(folder: PreparedFolder, predictions: PredictionTable) -> Iterator[Grouping]:
    """Yield the rows grouped by one property after another."""
    timelines, in_training = folder.timelines, training_events(folder)
    item_idx = timelines.item_idx[predictions.event]
    ratings = training_ratings(folder, predictions)
    rated_by, user_id = timelines.user_id[in_training], predictions.user_id  # the former ascends
    activity = np.searchsorted(rated_by, user_id, "right") - np.searchsorted(rated_by, user_id)
    _, row = np.unique(user_id, return_index=True)
    thirds, third = by_quantile(activity[row], THIRDS)
    item = folder.prompt_settings.domain.item
    fifths = f"Up to {QUANTILES} groups of about equal size."
    yield Grouping(
        "history length",
        "Ratings of the user before the candidate; a prompt shows the newest of them. " + fifths,
        *by_quantile(predictions.position),
    )
    yield Grouping(
        f"{item} popularity",
        "Ratings of the candidate in the training data, as candidate or in a history. " + fifths,
        *by_quantile(ratings),
    )
    yield _seen(item, "Whether the training data hold a rating of the candidate.", ratings > 0)
    yield _seen("user", "Whether the training data hold a rating by the user.", activity > 0)
    yield Grouping(
        "activity of the user",
        f"Ratings of the user in the training data. Up to {THIRDS} groups of about as many users.",
        thirds,
        third[user_indices(user_id)],
    )
    years = [each.year for each in folder.items]
    yield Grouping(f"year of the {item}", "From the title. " + fifths, *_by_year(years, item_idx))
    yield Grouping(
        "time of the rating",
        "When the candidate was rated (UTC): quarters of the time from the first to the last of "
        "these rows.",
        *_by_quarter(predictions.timestamp),
    )


def cold_to_warm(
    folder: PreparedFolder,
    predictions: PredictionTable,
    main: str,
    seed: int,
    samples: int = BOOTSTRAP_SAMPLES,
) -> list[Breakdown]:
    """Return AUC, log loss and the lead of scorer ``main``, for every scorer.

    Rows are grouped by the ratings known of the user, and by those known of the item.
    """
    groupings = (
        Grouping(
            "ratings of the user",
            "Ratings of the user before the candidate; a prompt shows the newest of them.",
            *by_edges(predictions.position, USER_RATINGS),
        ),
        Grouping(
            "training ratings of the item",
            "Ratings of the candidate in the training data, as candidate or in a history.",
            *by_edges(training_ratings(folder, predictions), ITEM_RATINGS),
        ),
    )
    return [_measured(each, predictions, main, seed, samples, from_cold=True) for each in groupings]


def training_ratings(folder: PreparedFolder, predictions: PredictionTable) -> Ints:
    """Return the training ratings of each row's candidate."""
    item_idx = folder.timelines.item_idx
    count = np.bincount(item_idx[training_events(folder)], minlength=len(folder.items))
    return count[item_idx[predictions.event]].astype(np.int64)


def by_edges(values: Ints, edges: Sequence[int]) -> tuple[list[str], Ints]:
    """Return labels and groups of values, each from an edge to just below the next.

    >>> by_edges(np.array([0, 7, 1]), (0, 1, 5))
    (['0', '1 to 4', '5 and more'], array([0, 2, 1]))
    """
    labels = [
        str(low) if low == high else f"{low} to {high}"
        for low, high in ((low, following - 1) for low, following in pairwise(edges))
    ]
    group = np.searchsorted(edges, values, side="right") - 1
    return [*labels, f"{edges[-1]} and more"], group.astype(np.int64)


def training_events(folder: PreparedFolder) -> Labels:
    """Return which events a training prompt shows, as candidate or history, shape ``(events,)``."""
    examples = folder.examples(TRAIN)
    steps = np.zeros(len(folder.timelines) + 1, dtype=np.int64)
    np.add.at(steps, examples.start, 1)
    np.add.at(steps, examples.target + 1, -1)
    return np.cumsum(steps[:-1]) > 0


def by_quantile(values: Ints, most: int = QUANTILES) -> tuple[list[str], Ints]:
    """Return labels and groups of about equal size; rows of equal value are in the same group."""
    last = np.quantile(values, np.arange(1, most) / most, method="inverted_cdf")
    quantile = np.searchsorted(np.unique(last), values, side="left")
    _, group = np.unique(quantile, return_inverse=True)
    labels = []
    for i in range(int(group.max()) + 1):
        low, high = int(values[group == i].min()), int(values[group == i].max())
        labels.append(f"{low} to {high}" if low < high else str(low))
    return labels, group.astype(np.int64)


def _by_year(years: list[int | None], item_idx: npt.NDArray[np.integer]) -> tuple[list[str], Ints]:
    year = np.array([-1 if year is None else year for year in years], dtype=np.int64)[item_idx]
    known = year >= 0
    labels, group_of_known = by_quantile(year[known]) if known.any() else ([], year[known])
    group = np.full(len(year), len(labels), dtype=np.int64)
    group[known] = group_of_known
    return (labels if known.all() else [*labels, "unknown"]), group


def _by_quarter(timestamp: Ints) -> tuple[list[str], Ints]:
    first = int(timestamp.min())
    seconds = int(timestamp.max()) - first + 1
    edges = [first + seconds * i // QUARTERS for i in range(QUARTERS + 1)]
    days = [datetime.fromtimestamp(edge, tz=UTC).date().isoformat() for edge in edges]
    labels = [f"{i + 1}: {days[i]} to {days[i + 1]}" for i in range(QUARTERS)]
    return labels, np.searchsorted(edges[1:-1], timestamp, side="right").astype(np.int64)


def _seen(what: str, about: str, seen: Labels) -> Grouping:
    return Grouping(f"{what} in training", about, ["seen", "unseen"], (~seen).astype(np.int64))


def _measured(
    grouping: Grouping,
    predictions: PredictionTable,
    main: str,
    seed: int,
    samples: int,
    from_cold: bool = False,
) -> Breakdown:
    """Measure every group; from cold to warm also the log loss, and only groups of enough rows."""

    def group(label: str, rows: Labels) -> Group:
        liked, user_id = predictions.liked[rows], predictions.user_id[rows]
        scores = {name: p_yes[rows] for name, p_yes in predictions.p_yes.items()}
        undefined = _undefined(liked) if from_cold else ""
        scored = {} if undefined else scores
        resampled = bootstrap_auc(liked, user_id, scored, seed, samples, log_loss=from_cold)

        def intervals(metric: str) -> dict[str, Interval | None]:
            return {n: resampled.interval(n, metric) if n in scored else None for n in scores}

        return Group(
            label=label,
            rows=len(liked),
            users=resampled.users,
            positive_rate=float(liked.mean()) if len(liked) else None,
            auc=intervals("auc"),
            log_loss=intervals("log_loss") if from_cold else {},
            lead={n: resampled.difference(main, n, "auc") for n in scored if n != main},
            undefined=undefined,
        )

    groups = [group(label, grouping.group == i) for i, label in enumerate(grouping.labels)]
    return Breakdown(grouping.name, grouping.about, groups)


def _undefined(liked: Labels) -> str:
    """Return why rows have no metrics; nothing if they have."""
    if len(liked) < LEAST_ROWS:
        return f"fewer than {LEAST_ROWS} rows" if len(liked) else "no rows"
    return "all rows have one label" if liked.all() or not liked.any() else ""
