"""Check: features and signals of held-out events depend on the past alone.

Features are computed twice: from all events, and from a copy in which everything that a
candidate's features must not depend on is altered. If both are equal, they do not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from reeltune.baselines.features import FEATURES, feature_table
from reeltune.baselines.problem import Problem
from reeltune.data.columns import TEST, TRAIN, VALIDATION
from reeltune.data.invariants import EventTable
from reeltune.data.timelines import Bools, Ints, Timelines
from reeltune.domain import SIGNALS, Item
from reeltune.leakage.outcomes import Check, Finding, Offenders, Outcome, event_finding
from reeltune.seeds import sample_rows, stream
from reeltune.signals.source import SignalSource

HELD_OUT: Final = (VALIDATION, TEST)

FEATURES_FROM_THE_PAST: Final = Check(
    "features from the past",
    "Compute this feature from training events and the user's own earlier events alone",
)
SIGNALS_FROM_THE_PAST: Final = Check(
    "signals from the past",
    "Compute this signal from other users' training ratings and the user's own earlier events "
    "alone",
)
HIDDEN: Final = Check(
    "held-out ratings hidden",
    "Leave this rating out of what training rows, their features and their signals are made of",
)
BASELINE_FEATURES: Final = tuple(FEATURES)

_SAMPLED_USERS: Final = 1000
"""Users whose events are used: how features are computed is checked, not every feature."""
_USERS: Final = 200
_TRAINING_ROWS: Final = 1000
_EVENTS: Final = 8
_TOLERANCE: Final = 1e-9
"""Sums over other numbers of events may round differently; a leak is far larger."""

_NO_ROWS: Final = np.empty(0, dtype=np.int64)


class FeatureFunction(Protocol):
    """Computes ``k`` features of ``n`` events; ``train_mask`` is true where learning is allowed."""

    def __call__(
        self, timelines: Timelines, items: list[Item], train_mask: Bools, events: Ints
    ) -> npt.NDArray[np.floating]:
        """Return the features of the events at some indices, shape ``(n, k)``."""
        ...


@dataclass(frozen=True)
class AlteredTimelines:
    """Timelines in which everything that the events at ``targets`` must not depend on is altered.

    Events after a target of the same user are removed.
    """

    timelines: Timelines
    train_mask: Bools
    targets: Ints


def learned_from(table: EventTable) -> Bools:
    """Return which events the baselines may learn from: their training ratings."""
    train = np.flatnonzero(table.is_in(TRAIN))
    mask = np.zeros(len(table), dtype=np.bool_)
    mask[_problem(table.timelines, table.folder.items, train).ratings] = True
    return mask


def baseline_features(
    timelines: Timelines, items: list[Item], train_mask: Bools, events: Ints
) -> npt.NDArray[np.floating]:
    """Compute the baselines' features: a :class:`FeatureFunction`."""
    train = np.flatnonzero(train_mask & (timelines.split == TRAIN))
    return feature_table(_problem(timelines, items, train), events)


def _problem(timelines: Timelines, items: list[Item], train: Ints) -> Problem:
    # Features depend on training rows only.
    return Problem(timelines, items, train, validation=_NO_ROWS, test=_NO_ROWS, seed=0)


def signals_are_from_the_past(table: EventTable) -> Outcome:
    """Check every signal, whether or not a prompt shows it.

    Signals choose their own training events: the training mask is not passed to them.
    """
    mask = learned_from(table)
    return features_are_from_the_past(
        table, mask, signals(table), tuple(SIGNALS), check=SIGNALS_FROM_THE_PAST
    )


def signals(table: EventTable, auxiliary: Timelines | None = None) -> FeatureFunction:
    """Return the function that computes all signals, with auxiliary ratings of some users."""
    if auxiliary is None and (auxiliary := table.folder.auxiliary) is not None:
        auxiliary = auxiliary.take(events_of_some_users(auxiliary.user_id, seed=0))
    settings, process = table.folder.prompt_settings, table.folder.gaussian_process
    settings = replace(settings, signals=tuple(SIGNALS), gaussian_process=process)

    def compute(
        timelines: Timelines, items: list[Item], train_mask: Bools, events: Ints
    ) -> npt.NDArray[np.floating]:
        source = SignalSource(timelines, items, settings, auxiliary=auxiliary)
        return source.of_events(events).astype(np.float64)

    return compute


def held_out_ratings_are_hidden(table: EventTable, seed: int = 0) -> Outcome:
    """No held-out rating is learned from, and none changes a feature or signal of a training row.

    Held out are validation and test rows, and every rating of a held-out item or user. Only a
    sample of users is used for the features.
    """
    mask, items = learned_from(table), table.folder.items
    learned = np.flatnonzero(mask & table.held_out)
    offenders = Offenders.of_rows(
        learned, lambda event: event_finding(table, event, "is held out, but learned from")
    )
    sample = events_of_some_users(table.timelines.user_id, seed)
    timelines, mask = table.timelines.take(sample), mask[sample]
    altered = _altered(timelines, ~mask, len(items), stream(seed, "altered events"))
    train = np.flatnonzero(timelines.split == TRAIN)
    rows = train[sample_rows(len(train), _TRAINING_ROWS, seed, "training rows")]
    for names, features in (
        (BASELINE_FEATURES, baseline_features),
        (tuple(SIGNALS), signals(table)),
    ):
        before, after = (features(t, items, mask, rows) for t in (timelines, altered))
        offenders += differing(table, sample[rows], before, after, names)
    about = f"features and signals of {len(rows):,} training rows"
    return HIDDEN.result(about, offenders)


def _altered(
    timelines: Timelines, events: Bools, items: int, random: np.random.Generator
) -> Timelines:
    """Return a copy in which some events have a random item and another rating and label."""
    item_idx = timelines.item_idx.copy()
    item_idx[events] = random.integers(items, size=int(events.sum()))
    return replace(_with_other_ratings(timelines, events), item_idx=item_idx)


def _with_other_ratings(timelines: Timelines, events: Bools) -> Timelines:
    rating, liked = timelines.rating, timelines.liked.copy()
    lowest, highest = rating.min(), rating.max()
    mirrored = lowest + highest - rating
    rating = np.where(events, np.where(mirrored == rating, highest, mirrored), rating)
    liked[events] = ~liked[events]
    return replace(timelines, rating=rating, liked=liked)


def features_are_from_the_past(
    table: EventTable,
    train_mask: Bools,
    features: FeatureFunction,
    names: Sequence[str],
    seed: int = 0,
    check: Check = FEATURES_FROM_THE_PAST,
) -> Outcome:
    """Check that features of held-out events do not change with later or held-out events.

    Only a sample of users is used. ``names`` are those of the ``k`` features; ``seed`` determines
    the sampled events and the alterations.
    """
    sample = events_of_some_users(table.timelines.user_id, seed)
    timelines, train_mask = table.timelines.take(sample), train_mask[sample]
    items, groups = table.folder.items, list(_target_groups(timelines, seed))
    if not groups:
        return check.not_applicable("no event is held out")
    random = stream(seed, "altered events")
    altered = []
    for targets in groups:
        copy = without_the_future(timelines, train_mask, targets, len(items), random)
        altered.append(features(copy.timelines, items, copy.train_mask, copy.targets))
    rows = np.concatenate(groups)
    original = features(timelines, items, train_mask, rows)
    return check.result(
        f"{len(names)} features of {len(rows)} held-out events",
        differing(table, sample[rows], original, np.concatenate(altered), names),
    )


def without_the_future(
    timelines: Timelines, train_mask: Bools, targets: Ints, items: int, random: np.random.Generator
) -> AlteredTimelines:
    """Return a copy that agrees with the events only in what the targets may depend on.

    They may depend on training events, on earlier events of their user, and on their item and
    time. Their ratings are altered; later events of their users are removed; every other event
    gets a random item and another rating.

    Args:
        timelines: All events.
        train_mask: Whether each event may be learned from.
        targets: Indices of events of different users.
        items: The number of items.
        random: Draws the items.
    """
    by_user = targets[np.argsort(timelines.user_id[targets])]
    users = timelines.user_id[by_user]
    at = np.minimum(np.searchsorted(users, timelines.user_id), len(users) - 1)
    same_user = users[at] == timelines.user_id
    index = np.arange(len(timelines))
    is_target = same_user & (index == by_user[at])
    hidden = ~same_user & ~train_mask
    altered = _with_other_ratings(_altered(timelines, hidden, items, random), is_target)
    remains = ~same_user | (index <= by_user[at])
    return AlteredTimelines(
        altered.take(np.flatnonzero(remains)), train_mask[remains], (remains.cumsum() - 1)[targets]
    )


def events_of_some_users(user_id: Ints, seed: int) -> Ints:
    """Return the indices of all events of up to :data:`_SAMPLED_USERS` users, ascending."""
    users, user = np.unique(user_id, return_inverse=True)
    chosen = sample_rows(len(users), _SAMPLED_USERS, seed, "users looked at")
    return np.flatnonzero(np.isin(user, chosen))


def _target_groups(timelines: Timelines, seed: int) -> Iterator[Ints]:
    """Yield groups of target events that one altered copy serves.

    First the first held-out event of many users: no held-out event precedes any of them, so one
    copy serves all. Then single later events.
    """
    held_out = np.flatnonzero(timelines.split.is_in(*HELD_OUT))
    first = np.unique(timelines.user_id[held_out], return_index=True)[1]
    further = np.delete(held_out, first)
    if len(first):
        yield held_out[np.sort(first)[sample_rows(len(first), _USERS, seed, "users asked for")]]
    for row in sample_rows(len(further), _EVENTS, seed, "events asked for"):
        yield further[row : row + 1]


def differing(
    table: EventTable,
    targets: Ints,
    original: npt.NDArray[np.floating],
    altered: npt.NDArray[np.floating],
    names: Sequence[str],
) -> Offenders:
    """Name events with a feature that changed."""
    equal = np.isclose(original, altered, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)

    def explain(row: int) -> Finding:
        message = "; ".join(
            f"{names[column]} is {original[row, column]:.6g}, but {altered[row, column]:.6g} with "
            "other ratings in events it must not depend on"
            for column in np.flatnonzero(~equal[row]).tolist()
        )
        return event_finding(table, int(targets[row]), message)

    return Offenders.of_rows(np.flatnonzero(~equal.all(axis=1)), explain)
