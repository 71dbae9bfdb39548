"""Guard: every event is in exactly one split, and training comes before what is held out."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from reeltune.check.events import Bools, Events
from reeltune.check.findings import PREPARE_AGAIN, Guard, Offenders, Outcome
from reeltune.data.columns import CONTEXT, EXAMPLE_SPLITS, TEST, TRAIN, VALIDATION

MEMBERS: Final = Guard("one split per event", PREPARE_AGAIN)
ORDER: Final = Guard("splits in order", PREPARE_AGAIN)
CONTEXT_FIRST: Final = Guard("context first", PREPARE_AGAIN)


def splits_are_known(events: Events) -> Outcome:
    """Every event is context, train, validation or test."""
    split = events.timelines.split
    return MEMBERS.judge(
        f"{len(events):,} events",
        events.offenders(
            ~events.is_in(CONTEXT, *EXAMPLE_SPLITS),
            lambda i: f"in the split {str(split[i])!r}, which does not exist",
        ),
    )


def context_comes_first(events: Events) -> Outcome:
    """A user's first events are context, as many as an example needs before it, and no others."""
    least = events.folder.min_history
    early = events.place < least
    context = events.is_in(CONTEXT)
    return CONTEXT_FIRST.judge(
        f"{int(context.sum()):,} context events",
        events.offenders(
            context & ~early,
            lambda i: f"context, though {events.place[i]} events of the user come before it",
        )
        + events.offenders(
            early & events.is_in(*EXAMPLE_SPLITS),
            lambda i: (
                f"{events.timelines.split[i]}, with {events.place[i]} events before it: "
                f"an example needs {least}"
            ),
        ),
    )


def splits_in_order(events: Events) -> Outcome:
    """Train comes before validation before test: within each user, or by one cut for everybody."""
    settings = events.folder.meta["settings"]
    if settings["split"] == "time":
        return ORDER.judge("cut at one moment for everybody", _across_cuts(events, settings))
    return ORDER.judge("cut within each user", _within_users(events))


def _within_users(events: Events) -> Offenders:
    """Name each example that follows one of a later split of the same user."""
    rank = np.select([events.is_in(name) for name in EXAMPLE_SPLITS], [1, 2, 3], 0)
    examples = np.flatnonzero(rank)
    user = events.timelines.user_id[examples]
    falls = (user[1:] == user[:-1]) & (rank[examples][1:] < rank[examples][:-1])
    above = dict(zip(examples[1:][falls].tolist(), examples[:-1][falls].tolist(), strict=True))
    bad = np.zeros(len(events), dtype=np.bool_)
    bad[examples[1:][falls]] = True
    split = events.timelines.split

    def say(event: int) -> str:
        before = above[event]
        return (
            f"{split[event]}, though event {before} above it (film {events.item_id[before]}) is "
            f"{split[before]}"
        )

    return events.offenders(bad, say)


def _across_cuts(events: Events, settings: dict[str, Any]) -> Offenders:
    """Name each example on the wrong side of a cut."""
    validation, test = (int(settings[name]["seconds"]) for name in ("val_from", "test_from"))
    time, split = events.timelines.timestamp, events.timelines.split

    def outside(name: str, bad: Bools) -> Offenders:
        return events.offenders(
            events.is_in(name) & bad,
            lambda i: (
                f"{split[i]}, at second {time[i]}; validation begins at {validation}, test "
                f"at {test}"
            ),
        )

    return (
        outside(TRAIN, time >= validation)
        + outside(VALIDATION, (time < validation) | (time >= test))
        + outside(TEST, time < test)
    )
