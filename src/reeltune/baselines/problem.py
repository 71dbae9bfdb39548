"""The input and output of a baseline: rows to learn from and to score, and P(Yes)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from reeltune.data.columns import TEST, TRAIN, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.data.tags import ItemTags
from reeltune.data.timelines import Ints, Timelines
from reeltune.domain import Item
from reeltune.errors import DataError
from reeltune.ragged import Floats, Labels
from reeltune.signals.item_statistics import training_ratings


@dataclass(frozen=True)
class Problem:
    """Rows to learn from and rows to score, as indices among the timelines' events.

    Attributes:
        train: Candidates whose labels are learned from, ascending.
        validation: The rows on which settings are chosen.
        test: The rows to score.
        tags: Of the items, if there are any.
        threshold: The least rating that is a like.
    """

    timelines: Timelines
    items: Sequence[Item]
    train: Ints
    validation: Ints
    test: Ints
    seed: int
    tags: ItemTags | None = None
    threshold: float = 4.0

    @cached_property
    def ratings(self) -> Ints:
        """Events whose ratings may be learned from, ascending."""
        return training_ratings(self.timelines, self.train)

    @cached_property
    def rating(self) -> Floats:
        """The rating of every event, shape ``(events,)``."""
        return self.timelines.rating.astype(np.float64)

    def liked(self, event: Ints) -> Labels:
        """Return the labels of events."""
        return self.timelines.liked[event]


@dataclass(frozen=True)
class BaselineScores:
    """P(Yes) of one baseline for the validation rows and the rows to score.

    Attributes:
        learned_from: Number of training rows, or of training ratings if it learns ratings.
        settings: Chosen on the validation rows.
        seconds: Time to fit, choose and score.
    """

    validation: Floats
    test: Floats
    learned_from: int
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


Baseline = Callable[[Problem], BaselineScores]


def make_problem(
    folder: PreparedFolder,
    validation_event: Ints,
    test_event: Ints,
    *,
    seed: int,
    train_event: Ints | None = None,
) -> Problem:
    """Return the problem of a prepared folder; arguments as :func:`score_baselines`.

    Raises:
        DataError: There is nothing to learn or choose from, or a row is of the wrong split.
    """
    known = folder.timelines
    train = np.flatnonzero(known.split == TRAIN) if train_event is None else np.unique(train_event)
    problem = Problem(
        timelines=known,
        items=folder.items,
        train=train.astype(np.int64),
        validation=np.asarray(validation_event, dtype=np.int64),
        test=np.asarray(test_event, dtype=np.int64),
        seed=seed,
        tags=folder.tags,
        threshold=folder.prompt_settings.threshold,
    )
    _refuse_wrong_rows(problem, folder.path)
    return problem


def _refuse_wrong_rows(problem: Problem, where: Path) -> None:
    split = problem.timelines.split
    for name, event, allowed in (
        (TRAIN, problem.train, (TRAIN,)),
        (VALIDATION, problem.validation, (VALIDATION,)),
        (TEST, problem.test, (VALIDATION, TEST)),
    ):
        wrong = np.setdiff1d(split[event], allowed)
        if len(wrong):
            raise DataError(
                f"a row of {str(wrong[0])!r} was given to the baselines as {name} row",
                code="wrong_split_for_baselines",
                where=str(where),
            )
    for name, event in ((TRAIN, problem.train), (VALIDATION, problem.validation)):
        if not len(event):
            raise DataError(
                f"baselines need {name} rows, and there are none",
                code="no_rows_for_baselines",
                where=str(where),
                hint="Prepare the data with a larger share for this split",
            )
    if len(np.unique(problem.liked(problem.train))) == 1:
        raise DataError(
            "all training rows have the same label, so there is nothing for baselines to learn",
            code="one_training_label",
            where=str(where),
            hint="Prepare the data with another --rating-threshold",
        )


def mean_log_loss(liked: Labels, p_yes: Floats) -> float:
    """Return the mean log loss in nats; one label alone is allowed."""
    right = np.where(liked, p_yes, 1 - p_yes)
    return float(-np.log(np.maximum(right, np.finfo(right.dtype).eps)).mean())
