"""Guard: a film stands in a timeline once, so that no candidate is in its own history."""

from __future__ import annotations

from typing import Final

import numpy as np

from reeltune.check.events import Events
from reeltune.check.findings import PREPARE_AGAIN, Guard, Outcome

ONCE: Final = Guard("films once per user", PREPARE_AGAIN)
ROWS: Final = Guard("film rows", PREPARE_AGAIN)


def items_once(events: Events) -> Outcome:
    """No user has two events of one film: the stars of the first would give away the second."""
    user, item = events.timelines.user_id, events.item_id
    order = np.lexsort((item, user))  # stable: events of one film stay in order
    same = (user[order][1:] == user[order][:-1]) & (item[order][1:] == item[order][:-1])
    earlier = dict(zip(order[1:][same].tolist(), order[:-1][same].tolist(), strict=True))
    twice = np.zeros(len(events), dtype=np.bool_)
    twice[order[1:][same]] = True
    return ONCE.judge(
        f"{len(events):,} events",
        events.offenders(
            twice, lambda i: f"the user has rated this film before, in event {earlier[i]}"
        ),
    )


def item_rows_point_right(events: Events) -> Outcome:
    """The row of ``items.parquet`` an event points at is the film it names."""
    row = events.timelines.item_idx
    listed = np.array([item.item_id for item in events.folder.items], dtype=np.int64)
    inside = (row >= 0) & (row < len(listed))
    pointed = listed[np.where(inside, row, 0)]
    return ROWS.judge(
        f"{len(events):,} events, {len(listed):,} films",
        events.offenders(
            ~inside | (pointed != events.item_id),
            lambda i: (
                f"points at row {row[i]}, "
                + (f"which is film {pointed[i]}" if inside[i] else "which does not exist")
            ),
        ),
    )
