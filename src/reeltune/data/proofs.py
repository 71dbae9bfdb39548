"""Proofs that a written timeline table is what it claims to be.

They read the file back and look at every row, so they hold for what later stages read, not for
what was meant to be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from reeltune.data.columns import CONTEXT, EXAMPLE_SPLITS, TEST, TRAIN, VALIDATION, Columns
from reeltune.data.settings import PrepareSettings
from reeltune.data.splits import Cuts
from reeltune.errors import DataError


def prove_timelines(
    timelines: Path, items: pl.DataFrame, settings: PrepareSettings, cuts: Cuts | None, events: int
) -> list[str]:
    """Prove the laws of a prepared timeline table, row by row.

    Args:
        timelines: The written ``timelines.parquet``.
        items: The table of ``items.parquet``.
        settings: What was asked for.
        cuts: The cuts of a time split.
        events: How many events there must be: ratings in the source less those dropped.

    Returns:
        The names of the laws, for ``meta.json``.

    Raises:
        DataError: A law does not hold, which is a fault of this program.
    """
    laws = {**_timeline_laws(items, settings, events), **_split_laws(settings, cuts)}
    table = pl.scan_parquet(timelines, glob=False)
    held = table.select(law.alias(name) for name, law in laws.items()).collect().row(0, named=True)
    broken = [name for name, holds in held.items() if holds is not True]
    if broken:
        raise DataError(
            f"the prepared data breaks its own law: {', '.join(broken)}",
            code="broken_invariant",
            where=timelines.name,
            hint="Nothing was written. This is a fault in reeltune: please report it with the "
            "command and the edition",
        )
    return list(laws)


def _timeline_laws(
    items: pl.DataFrame, settings: PrepareSettings, events: int
) -> Mapping[str, pl.Expr]:
    user, time, item = pl.col(Columns.USER), pl.col(Columns.TIMESTAMP), pl.col(Columns.ITEM)
    position = pl.col(Columns.POSITION)
    first = (user != user.shift()).fill_null(True)
    in_order = (time > time.shift()) | ((time == time.shift()) & (item > item.shift()))
    item_ids = items[Columns.ITEM]
    return {
        "no event is lost or doubled": pl.len() == events,
        "users ascend": (user >= user.shift()).all(),
        "each timeline is ordered by time, then film": (first | in_order).all(),
        "positions count up from 0": (
            pl.when(first).then(position == 0).otherwise(position == position.shift() + 1).all()
        ),
        "item_idx points at the film": (
            pl.lit(item_ids).gather(pl.col(Columns.ITEM_IDX), null_on_oob=True).eq_missing(item)
        ).all(),
        "liked means the threshold is reached": (
            pl.col(Columns.LIKED) == (pl.col(Columns.STARS) >= settings.rating_threshold)
        ).all(),
        "no value is missing": pl.all_horizontal(pl.all().is_not_null().all()),
    }


def _split_laws(settings: PrepareSettings, cuts: Cuts | None) -> Mapping[str, pl.Expr]:
    user, split = pl.col(Columns.USER), pl.col(Columns.SPLIT)
    laws = {
        "every event is context, train, validation or test": split.is_in(
            [CONTEXT, *EXAMPLE_SPLITS]
        ).all(),
        "examples are exactly the events with enough before them": (
            (split != CONTEXT) == (pl.col(Columns.POSITION) >= settings.least_history)
        ).all(),
    }
    if cuts is None:
        order = split.replace_strict(
            {CONTEXT: 0, TRAIN: 1, VALIDATION: 2, TEST: 3}, default=-1, return_dtype=pl.Int8
        )
        laws["within a user train comes before validation before test"] = (
            (user != user.shift()) | (order >= order.shift())
        ).all()
        return laws
    for name, low, high in (
        (TRAIN, None, cuts.val_from),
        (VALIDATION, cuts.val_from, cuts.test_from),
        (TEST, cuts.test_from, None),
    ):
        times = pl.col(Columns.TIMESTAMP).filter(split == name)
        bounds = [times.min() >= low] if low is not None else []
        bounds += [times.max() < high] if high is not None else []
        laws[f"{name} lies within its cuts"] = pl.all_horizontal(
            bound.fill_null(True) for bound in bounds
        )
    return laws
