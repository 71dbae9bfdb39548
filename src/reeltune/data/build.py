"""Sorting ratings into timelines: events per user, oldest first, each film once."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from reeltune.data.badrows import DroppedRows
from reeltune.data.columns import Columns
from reeltune.data.layouts import Layout
from reeltune.data.ratings import FAULT, FAULTS, FIRST_LINE, LINE, count_faults, describe_faults
from reeltune.data.settings import PrepareSettings
from reeltune.errors import DataError

EVENTS: Final = "events"
FIRST_ROW: Final = "first_row"

_DUPLICATE: Final = FAULTS.index("duplicate_rating")


def build_timelines(
    path: Path, layout: Layout, ratings: pl.DataFrame, *, skip_bad_rows: bool
) -> tuple[pl.DataFrame, DroppedRows]:
    """Sort the good ratings by user, timestamp and film id.

    Of several ratings of one film by one user, the first in the file is kept.

    Args:
        path: The ratings file, read again for the text of bad rows.
        layout: Its layout.
        ratings: What ``read_ratings`` returns.
        skip_bad_rows: Drop bad rows instead of stopping at the first.

    Returns:
        The events (``user_id``, ``item_id``, ``item_idx``, ``rating``, ``timestamp``), and the rows
        dropped.

    Raises:
        DataError: There is a bad row that is not to be skipped.
    """
    bad = ratings.filter(pl.col(FAULT) > 0).select(
        LINE, FAULT, pl.lit(None, dtype=pl.UInt32).alias(FIRST_LINE)
    )
    events = (ratings.filter(pl.col(FAULT) == 0) if len(bad) else ratings).drop(FAULT)
    events = events.sort(Columns.USER, Columns.TIMESTAMP, Columns.ITEM)
    duplicates = find_duplicates(events)
    bad = pl.concat([bad, duplicates])
    dropped = DroppedRows()
    if len(bad):
        rows = describe_faults(path, layout, bad)
        dropped.refuse_or_add(rows, count_faults(bad), skip=skip_bad_rows)
        if len(duplicates):
            events = events.join(duplicates, on=LINE, how="anti", maintain_order="left")
    return events.drop(LINE), dropped


def find_duplicates(events: pl.DataFrame) -> pl.DataFrame:
    """Find ratings of a film that the same user has rated on an earlier line.

    User and film are packed into one integer and sorted, which takes a fraction of the time and
    memory of grouping.

    Args:
        events: Events sorted by user, with their lines.

    Returns:
        One row per rating to drop: ``line``, ``fault``, ``first_line``.
    """
    user = pl.col(Columns.USER).rle_id().cast(pl.UInt64)
    pair = user * 2**32 + pl.col(Columns.ITEM_IDX).cast(pl.UInt64)
    pairs = events.select(pair.alias("pair").sort())["pair"]
    twice = pairs.filter(pairs == pairs.shift()).unique()
    repeated = events.select(LINE, pair.alias("pair")).filter(pl.col("pair").is_in(twice.implode()))
    return (
        repeated.with_columns(pl.col(LINE).min().over("pair").alias(FIRST_LINE))
        .filter(pl.col(LINE) > pl.col(FIRST_LINE))
        .select(LINE, pl.lit(_DUPLICATE, dtype=pl.UInt8).alias(FAULT), FIRST_LINE)
    )


def users_table(events: pl.DataFrame) -> pl.DataFrame:
    """Return ``user_id``, ``events`` and ``first_row`` (int64) of each user of sorted events."""
    count = pl.col("len").cast(pl.Int64)
    return (
        events.select(pl.col(Columns.USER).rle().alias("run"))
        .unnest("run")
        .select(
            pl.col("value").alias(Columns.USER),
            count.alias(EVENTS),
            (count.cum_sum() - count).alias(FIRST_ROW),
        )
    )


def check_lengths(users: pl.DataFrame, settings: PrepareSettings) -> None:
    """Raise a DataError if no user has rated enough films for a single example."""
    if users.is_empty():
        raise DataError(
            "no rating is left",
            code="no_ratings",
            hint="Run without --skip-bad-rows to see what is wrong with the first bad row",
        )
    longest = users.sort(EVENTS, Columns.USER, descending=[True, False]).row(0, named=True)
    if longest[EVENTS] <= settings.least_history:
        flag = "--history-len" if settings.min_history is None else "--min-history"
        raise DataError(
            f"no user has more than {settings.least_history} ratings, so there is no example; the "
            f"longest timeline is that of user {longest[Columns.USER]} with {longest[EVENTS]}",
            code="timelines_too_short",
            hint=f"Lower {flag} to at most {longest[EVENTS] - 1}"
            if longest[EVENTS] > 1
            else "An example needs a user with at least two ratings",
        )
