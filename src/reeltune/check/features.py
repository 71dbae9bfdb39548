"""Guard: features of a held-out event are made of what was known before it.

The features are computed twice: from all events, and from a copy in which everything that a
candidate's features may not depend on is another. Equal features do not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from reeltune.check.events import Bools, Events, Ints
from reeltune.check.findings import SHOWN, Guard, Offenders, Outcome
from reeltune.check.predictions import HELD_OUT
from reeltune.data.folder import Timelines
from reeltune.domain import Item
from reeltune.seeds import sample_rows, stream

PAST: Final = Guard(
    "features from the past",
    "Compute this feature from training events and the user's own earlier events alone",
)

_WORLD: Final = 1000
"""Users whose events are looked at: what is judged is how features are made, not each of them."""
_USERS: Final = 200
_EVENTS: Final = 8
_MIRROR: Final = 5.5
"""Stars go to this less themselves, which changes each: they are multiples of a half."""
_CLOSE: Final = 1e-9
"""Sums over other numbers of events may round otherwise; a leak is far larger."""


class FeatureFunction(Protocol):
    """Computes features of events."""

    def __call__(
        self, timelines: Timelines, items: list[Item], train_mask: Bools, events: Ints
    ) -> npt.NDArray[np.floating]:
        """Return the features of some events.

        Args:
            timelines: All events.
            items: All films.
            train_mask: Whether each event may be learned from, one entry per event.
            events: The events asked for, shape ``(n,)``.

        Returns:
            Shape ``(n, k)``.
        """
        ...


@dataclass(frozen=True)
class Copy:
    """Timelines in which what some events may not know is another.

    Attributes:
        timelines: The altered events, those after an asked one removed.
        train_mask: Whether each of them may be learned from.
        asked: Where the asked events are in them.
    """

    timelines: Timelines
    train_mask: Bools
    asked: Ints


def features_are_from_the_past(
    events: Events,
    train_mask: Bools,
    features: FeatureFunction,
    names: Sequence[str],
    seed: int = 0,
    guard: Guard = PAST,
) -> Outcome:
    """Features of held-out events do not change with what comes later or is held out.

    Of larger editions, the events of some users are taken for all there are.

    Args:
        events: The prepared events.
        train_mask: Whether each event may be learned from.
        features: What is judged.
        names: The names of the ``k`` features.
        seed: Decides which events are asked for and how the copies are altered.
        guard: What these features are called.
    """
    world = _events_of_some_users(events, seed)
    timelines, train_mask = _take(events.timelines, world), train_mask[world]
    items, groups = events.folder.items, list(_groups(timelines, seed))
    if not groups:
        return guard.not_applicable("no event is held out")
    random = stream(seed, "altered events")
    past = []
    for asked in groups:
        copy = without_the_future(timelines, train_mask, asked, len(items), random)
        past.append(features(copy.timelines, items, copy.train_mask, copy.asked))
    rows = np.concatenate(groups)
    whole = features(timelines, items, train_mask, rows)
    return guard.judge(
        f"{len(names)} features of {len(rows)} held-out events",
        _differing(events, world[rows], whole, np.concatenate(past), names),
    )


def without_the_future(
    timelines: Timelines, train_mask: Bools, asked: Ints, items: int, random: np.random.Generator
) -> Copy:
    """Return a copy that agrees with the events only in what the asked ones may know.

    They may know training events, their own user's earlier events, and their own film and time.
    Their own stars are altered; later events of their users are removed; every other event is of a
    random film with other stars.

    Args:
        timelines: All events.
        train_mask: Whether each event may be learned from.
        asked: Places of events of different users.
        items: How many films there are.
        random: Draws the films.
    """
    by_user = asked[np.argsort(timelines.user_id[asked])]
    users = timelines.user_id[by_user]
    at = np.minimum(np.searchsorted(users, timelines.user_id), len(users) - 1)
    own = users[at] == timelines.user_id
    place = np.arange(len(timelines))
    is_asked = own & (place == by_user[at])
    unknown = ~own & ~train_mask
    stars, liked = timelines.stars.copy(), timelines.liked.copy()
    stars[unknown | is_asked] = _MIRROR - stars[unknown | is_asked]
    liked[unknown | is_asked] = ~liked[unknown | is_asked]
    item_idx = timelines.item_idx.copy()
    item_idx[unknown] = random.integers(items, size=int(unknown.sum()))
    altered = replace(timelines, stars=stars, liked=liked, item_idx=item_idx)
    kept = ~own | (place <= by_user[at])
    return Copy(_take(altered, np.flatnonzero(kept)), train_mask[kept], (kept.cumsum() - 1)[asked])


def _events_of_some_users(events: Events, seed: int) -> Ints:
    """Return the places of all events of up to :data:`_WORLD` users, ascending."""
    begins = np.flatnonzero(~events.continues)
    chosen = np.zeros(len(begins), dtype=np.bool_)
    chosen[sample_rows(len(begins), _WORLD, seed, "users looked at")] = True
    return np.flatnonzero(np.repeat(chosen, np.diff(np.append(begins, len(events)))))


def _take(timelines: Timelines, places: Ints) -> Timelines:
    return timelines.take(places)


def _groups(timelines: Timelines, seed: int) -> Iterator[Ints]:
    """Yield events to ask for together.

    First the first held-out event of many users: nothing held out comes before any of them, so
    one copy serves all. Then single ones from further on.
    """
    held_out = np.flatnonzero(np.isin(timelines.split, HELD_OUT))
    first = np.unique(timelines.user_id[held_out], return_index=True)[1]
    further = np.delete(held_out, first)
    if len(first):
        yield held_out[np.sort(first)[sample_rows(len(first), _USERS, seed, "users asked for")]]
    for row in sample_rows(len(further), _EVENTS, seed, "events asked for"):
        yield further[row : row + 1]


def _differing(
    events: Events,
    asked: Ints,
    whole: npt.NDArray[np.floating],
    past: npt.NDArray[np.floating],
    names: Sequence[str],
) -> Offenders:
    """Name events with a feature that changed."""
    equal = np.isclose(whole, past, rtol=_CLOSE, atol=_CLOSE, equal_nan=True)
    bad = np.flatnonzero(~equal.all(axis=1))

    def say(row: int) -> str:
        changed = (
            f"{names[int(column)]} is {whole[row, column]:.6g}, and {past[row, column]:.6g} with "
            "other stars and films in events it may not know"
            for column in np.flatnonzero(~equal[row])
        )
        return "; ".join(changed)

    first = (events.name(int(asked[row]), say(int(row))) for row in bad[:SHOWN])
    return Offenders(len(bad), tuple(first))
