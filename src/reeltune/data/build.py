"""Building timelines: events per user, oldest first, each item once, each event in one split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Final

import numpy as np
import polars as pl

from reeltune.data.badrows import BadRow, DroppedRows
from reeltune.data.columns import CONTEXT, TEST, TRAIN, VALIDATION, Columns
from reeltune.data.holdout import follows_later_split, rank_items, rank_users
from reeltune.data.ids import Ids
from reeltune.data.ratings import FAULT, FAULTS, FIRST_LINE, LINE, count_faults
from reeltune.data.settings import Cuts, PrepareSettings, SplitSettings
from reeltune.errors import DataError

_DUPLICATE: Final = FAULTS.index("duplicate_rating")
_REPLACED: Final = "replaced_rating"
_OFF_SCALE: Final = FAULTS.index("rating_off_scale")


def build_timelines(
    ratings: pl.DataFrame,
    describe: Callable[[pl.DataFrame], list[BadRow]],
    *,
    skip_bad_rows: bool,
    keep_last: bool = False,
) -> tuple[pl.DataFrame, DroppedRows]:
    """Sort the good ratings by user, timestamp and item key.

    Of several ratings of one item by one user, the first in the file is kept; with ``keep_last``
    the last in time, and the others are dropped without being bad rows.

    Returns:
        The events (``user_id``, ``item_id``, ``item_idx``, ``rating``, ``timestamp``), and the rows
        dropped.

    Raises:
        DataError: There is a bad row that is not to be skipped.
    """
    total = len(ratings)
    bad = ratings.filter(pl.col(FAULT) > 0).select(
        LINE, FAULT, pl.lit(None, dtype=pl.UInt32).alias(FIRST_LINE)
    )
    events = (ratings.filter(pl.col(FAULT) == 0) if len(bad) else ratings).drop(FAULT)
    del ratings
    events = events.sort(Columns.USER, Columns.TIMESTAMP, Columns.ITEM)
    duplicates = _find_duplicates(events, keep_last=keep_last)
    bad = pl.concat([bad, duplicates])
    if bad.is_empty():
        return events.drop(LINE), DroppedRows()
    rows, counts = describe(bad), count_faults(bad)
    replaced = [row for row in rows if keep_last and row.reason == FAULTS[_DUPLICATE]]
    rows = [row for row in rows if row not in replaced]
    earlier = counts.pop(FAULTS[_DUPLICATE]) if replaced else 0
    # If the others are all alike, those off the scale are the other half of two.
    alike = _OFF_SCALE in bad[FAULT] and events[Columns.RATING].n_unique() == 1
    dropped = DroppedRows.of(rows, total, skip=skip_bad_rows, keep=alike, counts=counts)
    if replaced:
        counts = dropped.counts + Counter({_REPLACED: earlier})
        listed = [replace(row, reason=_REPLACED) for row in replaced]
        dropped = DroppedRows([*dropped.rows, *listed], counts)
    if len(duplicates):
        events = events.join(duplicates, on=LINE, how="anti", maintain_order="left")
    return events.drop(LINE), dropped


def _find_duplicates(events: pl.DataFrame, *, keep_last: bool) -> pl.DataFrame:
    """Return ``line``, ``fault`` and ``first_line`` of ratings to drop; events sorted by user.

    ``first_line`` is that of the rating that is kept. User and item are packed into one integer and
    sorted, which takes a fraction of the time and memory of grouping.
    """
    user = pl.col(Columns.USER).rle_id().cast(pl.UInt64)
    pair = user * 2**32 + pl.col(Columns.ITEM_IDX).cast(pl.UInt64)
    pairs = events.select(pair.alias("pair").sort())["pair"]
    twice = pairs.filter(pairs == pairs.shift()).unique()
    repeated = events.select(LINE, Columns.TIMESTAMP, pair.alias("pair")).filter(
        pl.col("pair").is_in(twice.implode())
    )
    line = pl.col(LINE)
    last = line.sort_by(Columns.TIMESTAMP, LINE).last()
    kept = (last if keep_last else line.min()).over("pair")
    return (
        repeated.with_columns(kept.alias(FIRST_LINE))
        .filter(pl.col(LINE) != pl.col(FIRST_LINE))
        .select(LINE, pl.lit(_DUPLICATE, dtype=pl.UInt8).alias(FAULT), FIRST_LINE)
    )


def split_events(
    events: pl.DataFrame, settings: PrepareSettings, user_ids: Ids
) -> tuple[pl.LazyFrame, Cuts | None]:
    """Add position, label and split to events sorted by user, timestamp and item id.

    An event with fewer than ``least_history`` events before it is ``context``. With held-out items,
    so is an event after one of its user whose item is held out for a later split: its history would
    show that item. Every other event is an example.

    Returns:
        The table of ``timelines.parquet``, and the cuts of a time split, or when the first
        validation and test items were first rated.

    Raises:
        DataError: No user has rated enough items for a single example.
    """
    split, least = settings.split, settings.least_history
    users = _users_table(events)
    _check_lengths(users, settings)
    cuts: Cuts | None = None
    if split.kind == "items":
        events, cuts = _with_item_ranks(events, split)
    elif split.kind == "users":
        users = users.with_columns(
            rank=rank_users(user_ids.ids(users[Columns.USER].to_numpy()), split)
        )
    numbered = _with_user_columns(events, _add_user_cuts(users, split, least))
    example = pl.col(Columns.POSITION) >= least
    if split.kind == "user":
        is_train = pl.col(Columns.POSITION) < pl.col("first_validation")
        is_validation = pl.col(Columns.POSITION) < pl.col("first_test")
    elif split.kind == "time":
        cuts = _time_cuts(numbered.filter(example), split)
        is_train = pl.col(Columns.TIMESTAMP) < cuts.val_from
        is_validation = pl.col(Columns.TIMESTAMP) < cuts.test_from
    else:
        is_train, is_validation = pl.col("rank") == 0, pl.col("rank") == 1
        if split.kind == "items":
            example &= ~pl.col("follows_later_split")
    named = (
        pl.when(~example)
        .then(pl.lit(CONTEXT))
        .when(is_train)
        .then(pl.lit(TRAIN))
        .when(is_validation)
        .then(pl.lit(VALIDATION))
        .otherwise(pl.lit(TEST))
    )
    return numbered.select(
        Columns.USER,
        Columns.ITEM,
        Columns.POSITION,
        Columns.ITEM_IDX,
        Columns.RATING,
        Columns.TIMESTAMP,
        (pl.col(Columns.RATING) >= settings.rating_threshold).alias(Columns.LIKED),
        named.alias(Columns.SPLIT),
    ), cuts


def _users_table(events: pl.DataFrame) -> pl.DataFrame:
    """Return ``user_id``, ``events`` and ``first_row`` (int64) of each user of sorted events."""
    runs = events.select(pl.col(Columns.USER).rle()).unnest(Columns.USER)
    count = pl.col("len").cast(pl.Int64)
    return runs.select(
        pl.col("value").alias(Columns.USER),
        count.alias("events"),
        (count.cum_sum() - count).alias("first_row"),
    )


def _check_lengths(users: pl.DataFrame, settings: PrepareSettings) -> None:
    if users.is_empty():
        raise DataError(
            "no rating is left",
            code="no_ratings",
            hint="Run without --skip-bad-rows to see what is wrong with the first bad row",
        )
    user, longest, _ = users.sort("events", Columns.USER, descending=[True, False]).row(0)
    if longest <= settings.least_history:
        flag = "--history-len" if settings.min_history is None else "--min-history"
        raise DataError(
            f"no user has more than {settings.least_history} ratings, so there is no example; the "
            f"longest timeline is that of user {user} with {longest}",
            code="timelines_too_short",
            hint=f"Lower {flag} to at most {longest - 1}"
            if longest > 1 or flag == "--min-history"
            else "Add --min-history 0: an example then needs no earlier rating",
        )


def _add_user_cuts(users: pl.DataFrame, split: SplitSettings, least_history: int) -> pl.DataFrame:
    """Add the positions at which each user's validation and test begin.

    Of a user's n examples the last floor(n * test share) are test and the floor(n * validation
    share) before them validation. Integers only: 20 * 0.05 must be 1 on every machine.
    """

    def share_of(count: pl.Expr, share: Fraction) -> pl.Expr:
        return count * share.numerator // share.denominator

    examples = (pl.col("events") - least_history).clip(lower_bound=0)
    first_test = pl.col("events") - share_of(examples, split.test_share)
    return users.with_columns(
        first_test.alias("first_test"),
        (first_test - share_of(examples, split.val_share)).alias("first_validation"),
    )


def _with_user_columns(events: pl.DataFrame, users: pl.DataFrame) -> pl.LazyFrame:
    """Number each user's events from 0 and add the columns of the user."""
    position = pl.col("row").cast(pl.Int64) - pl.col("first_row")
    return (
        events.lazy()
        .with_row_index("row")
        .join(users.lazy(), on=Columns.USER, how="left", maintain_order="left")
        .with_columns(position.cast(pl.Int32).alias(Columns.POSITION))
    )


def _with_item_ranks(events: pl.DataFrame, split: SplitSettings) -> tuple[pl.DataFrame, Cuts]:
    """Add ``rank`` and ``follows_later_split``, and return when held-out items begin."""
    time, user = events[Columns.TIMESTAMP].to_numpy(), events[Columns.USER].rle_id().to_numpy()
    rank = rank_items(events[Columns.ITEM_IDX].to_numpy(), time, split)
    after_all = int(time.max()) + 1
    cuts = Cuts(*(int(time[rank >= least].min(initial=after_all)) for least in (1, 2)))
    follows = follows_later_split(user.astype(np.int64), rank)
    return events.with_columns(rank=rank, follows_later_split=follows), cuts


def _time_cuts(examples: pl.LazyFrame, split: SplitSettings) -> Cuts:
    """Return the cuts of a time split: the given dates, or those that give the wanted shares.

    Events with equal timestamps stay together, so a share may come out larger.
    """
    if split.val_from is not None and split.test_from is not None:
        return Cuts(split.val_from, split.test_from)
    times = examples.select(pl.col(Columns.TIMESTAMP).sort()).collect().to_series()
    total = len(times)
    test = total * split.test_share.numerator // split.test_share.denominator
    validation = total * split.val_share.numerator // split.val_share.denominator
    test_from = int(times[total - test]) if test else int(times[-1]) + 1
    val_from = min(int(times[total - test - validation]), test_from) if validation else test_from
    return Cuts(val_from, test_from)
