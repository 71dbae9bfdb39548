"""Guard: each timeline runs forward in time, and every event knows its place in it."""

from __future__ import annotations

from typing import Final

import numpy as np

from reeltune.check.events import Events
from reeltune.check.findings import PREPARE_AGAIN, Guard, Outcome

ORDER: Final = Guard("order in time", PREPARE_AGAIN)
POSITIONS: Final = Guard("positions", PREPARE_AGAIN)


def order_in_time(events: Events) -> Outcome:
    """Users ascend; within a user time does not go back; events of one second ascend by film."""
    user, time = events.timelines.user_id, events.timelines.timestamp
    item = events.item_id
    user_before, time_before, item_before = np.roll(user, 1), np.roll(time, 1), np.roll(item, 1)
    again = user < user_before
    again[:1] = False
    back = events.continues & (time < time_before)
    swapped = events.continues & (time == time_before) & (item < item_before)
    return ORDER.judge(
        f"{len(events):,} events",
        events.offenders(back, lambda i: f"at second {time[i]}, after one at {time_before[i]}")
        + events.offenders(
            swapped, lambda i: f"in the same second as film {item_before[i]}, and behind it"
        )
        + events.offenders(again, lambda i: f"behind events of user {user_before[i]}"),
    )


def positions_count_up(events: Events) -> Outcome:
    """Positions are 0, 1, 2, ... within each user."""
    position = events.timelines.position
    return POSITIONS.judge(
        f"{len(events):,} events",
        events.offenders(
            position != events.place,
            lambda i: f"position {position[i]}, with {events.place[i]} events before it",
        ),
    )
