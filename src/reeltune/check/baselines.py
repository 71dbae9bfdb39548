"""The baselines' features, in the form in which the guard asks for them."""

from __future__ import annotations

from typing import Final

import numpy as np

from reeltune.baselines.features import FEATURES, feature_table
from reeltune.baselines.problem import Floats, Problem
from reeltune.check.events import Bools, Events, Ints
from reeltune.data.columns import TRAIN
from reeltune.data.folder import Timelines
from reeltune.domain import Item

BASELINE_FEATURES: Final = tuple(FEATURES)

_NO_ROWS: Final = np.empty(0, dtype=np.int64)


def learned_from(events: Events) -> Bools:
    """Return which events the baselines may learn from: their training ratings."""
    train = np.flatnonzero(events.is_in(TRAIN))
    mask = np.zeros(len(events), dtype=np.bool_)
    mask[_problem(events.timelines, events.folder.items, train).ratings] = True
    return mask


def baseline_features(
    timelines: Timelines, items: list[Item], train_mask: Bools, events: Ints
) -> Floats:
    """Compute the features of some events: a :class:`reeltune.check.features.FeatureFunction`."""
    train = np.flatnonzero(train_mask & (timelines.split == TRAIN))
    return feature_table(_problem(timelines, items, train), events)


def _problem(timelines: Timelines, items: list[Item], train: Ints) -> Problem:
    """Return the baselines' problem; features depend on no rows but those learned from."""
    return Problem(timelines, items, train, validation=_NO_ROWS, test=_NO_ROWS, seed=0)
