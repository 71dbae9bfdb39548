"""Splitting examples into train, validation and test, by time."""

from __future__ import annotations

from fractions import Fraction

import polars as pl

from reeltune.data.build import EVENTS, FIRST_ROW, users_table
from reeltune.data.columns import CONTEXT, TEST, TRAIN, VALIDATION, Columns
from reeltune.data.settings import Cuts, PrepareSettings, SplitSettings

_FIRST_VALIDATION = "first_validation"
_FIRST_TEST = "first_test"


def split_events(
    events: pl.DataFrame, settings: PrepareSettings
) -> tuple[pl.LazyFrame, Cuts | None]:
    """Add position, label and split to every event.

    An event with fewer than ``least_history`` events before it is ``context``; every other one is
    an example.

    Args:
        events: Events sorted by user, timestamp and film id.
        settings: What to do.

    Returns:
        The table of ``timelines.parquet``, and the cuts of a time split.
    """
    split, least = settings.split, settings.least_history
    numbered = _with_positions(events, _user_cuts(users_table(events), split, least))
    example = pl.col(Columns.POSITION) >= least
    cuts: Cuts | None = None
    if split.kind == "user":
        is_train = pl.col(Columns.POSITION) < pl.col(_FIRST_VALIDATION)
        is_validation = pl.col(Columns.POSITION) < pl.col(_FIRST_TEST)
    else:
        cuts = _time_cuts(numbered.filter(example), split)
        is_train = pl.col(Columns.TIMESTAMP) < cuts.val_from
        is_validation = pl.col(Columns.TIMESTAMP) < cuts.test_from
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


def _user_cuts(users: pl.DataFrame, split: SplitSettings, least_history: int) -> pl.DataFrame:
    """Add the positions at which each user's validation and test begin.

    Of a user's n examples the last floor(n * test share) are test and the floor(n * validation
    share) before them validation. Integers only: 20 * 0.05 must be 1 on every machine.
    """
    examples = (pl.col(EVENTS) - least_history).clip(lower_bound=0)
    first_test = pl.col(EVENTS) - _share_of(examples, split.test_share)
    return users.with_columns(
        first_test.alias(_FIRST_TEST),
        (first_test - _share_of(examples, split.val_share)).alias(_FIRST_VALIDATION),
    )


def _share_of(count: pl.Expr, share: Fraction) -> pl.Expr:
    return count * share.numerator // share.denominator


def _with_positions(events: pl.DataFrame, users: pl.DataFrame) -> pl.LazyFrame:
    """Number each user's events from 0 and add the columns of the user."""
    return (
        events.lazy()
        .with_row_index("row")
        .join(users.lazy(), on=Columns.USER, how="left", maintain_order="left")
        .with_columns(
            (pl.col("row").cast(pl.Int64) - pl.col(FIRST_ROW))
            .cast(pl.Int32)
            .alias(Columns.POSITION)
        )
    )


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
    after_all = int(times[-1]) + 1
    test_from = int(times[total - test]) if test else after_all
    first_validation = total - test - validation
    val_from = min(int(times[first_validation]), test_from) if validation else test_from
    return Cuts(val_from, test_from)
