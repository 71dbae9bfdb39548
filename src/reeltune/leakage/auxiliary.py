"""Check: auxiliary ratings are none of these data's users, nor held out here or there."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Final

import numpy as np

from reeltune.data.columns import TEST, TRAIN
from reeltune.data.invariants import EventTable
from reeltune.data.timelines import SplitColumn, Timelines
from reeltune.domain import SIGNALS
from reeltune.leakage.features import differing, events_of_some_users, signals
from reeltune.leakage.outcomes import Check, Finding, Offenders, Outcome
from reeltune.seeds import sample_rows
from reeltune.signals.auxiliary import usable_ratings

AUXILIARY: Final = Check("auxiliary ratings", "Prepare the data again with --signals-from")


def auxiliary_ratings_are_of_others(table: EventTable, seed: int = 0) -> Outcome:
    """Look for ratings to leave out, and plant some: then no signal of these data may change.

    Planted are held-out rows, and copies of users: with their times, and a second later.
    """
    folder, events, stored = table.folder, table.timelines, table.folder.auxiliary
    if stored is None:
        return AUXILIARY.not_applicable("the data were prepared without --signals-from")
    left_out = usable_ratings(stored, table, events)[1]
    offenders = Offenders.of([Finding(f"{name}: {n:,}") for name, n in left_out.items() if n])
    sample = events_of_some_users(events.user_id, seed)
    own, some = events.take(sample), stored.take(events_of_some_users(stored.user_id, seed))
    users = np.unique(own.user_id, return_inverse=True)[1] + some.user_id.max() + 1
    other = replace(some, rating=some.rating.min() + some.rating.max() - some.rating)
    copy = replace(own, user_id=users, split=SplitColumn.of([TRAIN] * len(own)))
    planted = (
        replace(other, split=SplitColumn.of([TEST] * len(some))),
        copy,
        replace(copy, user_id=users + len(own), timestamp=copy.timestamp + 1),
    )
    chosen = usable_ratings(reduce(Timelines.followed_by, planted, some), table, own)[0]
    rows = sample_rows(len(own), 1000, seed, "events with auxiliary ratings")
    before, after = (
        signals(table, ratings)(own, folder.items, own.liked, rows) for ratings in (some, chosen)
    )
    offenders += differing(table, sample[rows], before, after, tuple(SIGNALS))
    about = f"{len(stored):,} ratings; signals of {len(rows):,} events with others planted"
    return AUXILIARY.result(about, offenders)
