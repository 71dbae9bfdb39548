"""What every row of a table may be, and a whole table hardly: named in a warning, not refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from reeltune.data.columns import TRAIN
from reeltune.data.invariants import EventTable
from reeltune.data.settings import iso_time

_YEAR: Final = 31_556_952  # seconds
_FIRST, _LAST = 1990 - 1970, 2040 - 1970  # in years, outside which no times are likely
_GAP: Final = 10  # years
_LIST_MARKS: Final = frozenset("[]{}/,")


def implausible(table: EventTable) -> Iterator[str]:
    """Yield what is unlikely of the events and items of a prepared folder, a sentence each."""
    yield from _times(table)
    liked = table.timelines.liked[table.is_in(TRAIN)]
    if len(liked) and liked.all() == liked.any():
        rating, threshold = table.timelines.rating, table.folder.prompt_settings.threshold
        yield (
            f"all {len(liked):,} training rows are {'liked' if liked.all() else 'not liked'}: "
            f"ratings run from {rating.min():g} to {rating.max():g}, and {threshold:g} or more is "
            "liked. Choose another --rating-threshold, or convert the ratings"
        )
    genres = {genre for item in table.folder.items for genre in item.genres}
    if odd := sorted(genre for genre in genres if _LIST_MARKS & set(genre)):
        yield f"{len(odd):,} genres look like lists, such as {odd[0][:60]!r}. Separate genres by |"


def _times(table: EventTable) -> Iterator[str]:
    time = table.timelines.timestamp
    first, last = int(time.min()), int(time.max())
    if last < _FIRST * _YEAR or first > _LAST * _YEAR:
        yield (
            f"timestamps run from {first} to {last}: as seconds since 1970, {iso_time(first)} to "
            f"{iso_time(last)}. If they are dates, row numbers or other units, convert them"
        )
    if table.continues.any() and (time[1:] == time[:-1])[table.continues[1:]].all():
        yield "all ratings of a user have the same timestamp, so their order is not known"
    count = np.bincount(time // _YEAR)
    years = np.flatnonzero(count)
    gaps = np.diff(years)
    if len(gaps) and gaps.max() > _GAP:
        before, after = np.split(count[years], [int(gaps.argmax()) + 1])
        event = int(time.argmin() if before.sum() <= after.sum() else time.argmax())
        yield (
            f"{min(before.sum(), after.sum()):,} of {len(time):,} ratings lie {gaps.max() - 1} "
            f"years or more from the others, such as that of film {table.item_id[event]} by user "
            f"{table.timelines.user_id[event]} at second {time[event]} "
            f"({iso_time(int(time[event]))}). Correct their timestamps"
        )
