"""Column names and split names of prepared data."""

from __future__ import annotations

from typing import Final


class Columns:
    """Column names of ``timelines.parquet`` and ``items.parquet``.

    ``timelines.parquet`` holds one row per event, sorted by user and then by position: ``user_id``
    and ``item_id`` (int64: keys, as in :class:`reeltune.data.ids.Ids`), ``position`` (int32: 0 for
    the user's oldest event; ties in time are broken by item id), ``item_idx`` (int32: the row of
    the item in ``items.parquet``), ``rating`` (float32), ``timestamp`` (int64: seconds since 1970,
    UTC), ``liked`` (bool: whether the rating reaches the threshold) and ``split`` (string).

    ``items.parquet`` holds one row per item, sorted by ``item_id`` (int64, or string):
    ``title`` (string, without the year), ``year`` (int16, null when the title has none), ``genres``
    (list of string) and, if prepared with item text, ``text`` (list of string: one per column,
    empty if unknown).

    ``users.parquet`` exists if user ids are text. It holds one row per user, sorted by ``user_id``
    (string).

    ``tags.parquet``, if prepared with tags, holds one row per tag, sorted by ``item_idx`` (int32),
    ``timestamp`` (int64) and ``tag`` (string).

    ``auxiliary.parquet`` holds ``user_id`` (from 0), ``item_idx``, ``rating`` and ``timestamp`` of
    ratings of other data, if prepared with any.
    """

    USER: Final = "user_id"
    ITEM: Final = "item_id"
    POSITION: Final = "position"
    ITEM_IDX: Final = "item_idx"
    RATING: Final = "rating"
    TIMESTAMP: Final = "timestamp"
    LIKED: Final = "liked"
    SPLIT: Final = "split"
    TITLE: Final = "title"
    YEAR: Final = "year"
    GENRES: Final = "genres"
    TEXT: Final = "text"
    TAG: Final = "tag"


TAGS: Final = "tags"
"""The column of item text whose texts come from tags."""

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"
CONTEXT: Final = "context"
"""An event with too few events before it to be predicted; it only appears in histories."""

NO_TIMES: Final = "order of rows"
"""The unit of times, in ``meta.json``, of ratings without any."""

YEAR_2100: Final = 4_102_444_800
"""Seconds from 1970 to 2100; larger timestamps are in milliseconds or wrong."""

EXAMPLE_SPLITS: Final = (TRAIN, VALIDATION, TEST)
SPLITS: Final = (CONTEXT, *EXAMPLE_SPLITS)
