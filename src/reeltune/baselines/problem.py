"""What a baseline is asked, what it may learn from, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from reeltune.data.columns import TEST, TRAIN, VALIDATION
from reeltune.data.folder import PreparedFolder, Timelines
from reeltune.domain import Item
from reeltune.errors import DataError
from reeltune.signals.item_statistics import training_ratings

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Problem:
    """Rows to learn from and rows to judge; events are places in the timelines.

    Attributes:
        timelines: Every event of every user.
        items: As ``item_idx`` counts them.
        train: The training rows, ascending: candidates whose labels are learned from.
        validation: The rows every choice is made on.
        test: The rows to judge.
        seed: Decides whatever is random.
    """

    timelines: Timelines
    items: Sequence[Item]
    train: Ints
    validation: Ints
    test: Ints
    seed: int

    @cached_property
    def ratings(self) -> Ints:
        """The training ratings, ascending: events whose stars may be learned from."""
        return training_ratings(self.timelines, self.train)

    @cached_property
    def rating(self) -> Floats:
        """The stars of every event, shape ``(events,)``."""
        return self.timelines.rating.astype(np.float64)

    def liked(self, event: Ints) -> Labels:
        """Return the labels of events."""
        return self.timelines.liked[event]


@dataclass(frozen=True)
class Answers:
    """What one baseline says.

    Attributes:
        validation: P(Yes) on the validation rows, shape ``(len(problem.validation),)``.
        test: P(Yes) on the rows to judge, shape ``(len(problem.test),)``.
        learned_from: How many events it learned from.
        settings: What was chosen on the validation rows.
    """

    validation: Floats
    test: Floats
    learned_from: int
    settings: dict[str, Any] = field(default_factory=dict)


Baseline = Callable[[Problem], Answers]


def make_problem(
    folder: PreparedFolder,
    validation_event: Ints,
    test_event: Ints,
    *,
    seed: int,
    train_event: Ints | None = None,
) -> Problem:
    """Return the problem of a prepared folder.

    Args:
        folder: The prepared data.
        validation_event: The rows every choice is made on.
        test_event: The rows to judge, of ``test`` or ``validation``.
        seed: Decides whatever is random.
        train_event: The rows to learn from; None for all of ``train``.

    Raises:
        DataError: There is nothing to learn or to choose from, or a row belongs to a split it must
            not come from.
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
        strange = np.setdiff1d(split[event], allowed)
        if len(strange):
            raise DataError(
                f"a row of {str(strange[0])!r} was given to the baselines as {name} row",
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
