"""Check: the tags in the prompt of an event were given before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from reeltune.data.invariants import EventTable
from reeltune.data.tags import ItemTags, Tag
from reeltune.leakage.outcomes import Check, Offenders, Outcome, event_finding
from reeltune.seeds import sample_rows
from reeltune.signals.folder import with_signals

TAGS_FROM_THE_PAST: Final = Check(
    "tags from the past", "Show an event the tags alone that were given before it"
)

_EVENTS: Final = 2000
"""Events of tagged items that are checked at most."""


def tags_are_from_the_past(table: EventTable, seed: int = 0) -> Outcome:
    """Compare what prompts show of tags with texts made of the earlier tags of the item alone."""
    folder, known = table.folder, table.timelines
    if folder.tags is None:
        return TAGS_FROM_THE_PAST.not_applicable("the data were prepared without tags")
    codes = with_signals(folder, ()).context.of_all_events()
    assert codes is not None
    shown = [folder.tags.texts[code] for code in codes[:, 0].tolist()]
    rows = folder.tag_rows
    first = np.searchsorted([tag.item_idx for tag in rows], np.arange(len(folder.items) + 1))
    events = np.flatnonzero(np.diff(first)[known.item_idx])
    events = events[sample_rows(len(events), _EVENTS, seed, "tags")]

    def expected(event: int) -> str:
        item, time = known.item_idx[event], int(known.timestamp[event])
        return text_before(rows[first[item] : first[item + 1]], time)

    wrong = [event for event in events.tolist() if shown[event] != expected(event)]
    return TAGS_FROM_THE_PAST.result(
        f"{len(events):,} events of tagged items",
        Offenders.of_rows(
            wrong,
            lambda event: event_finding(
                table,
                event,
                f"its prompt shows the tags {shown[event]!r}, those given before it are "
                f"{expected(event)!r}",
            ),
        ),
    )


def text_before(tags: Sequence[Tag], time: int) -> str:
    """Return the text of one item's tags that were given before a time."""
    earlier = [tag._replace(item_idx=0) for tag in tags if tag.timestamp < time]
    return ItemTags.of(earlier, 1).texts[-1]
