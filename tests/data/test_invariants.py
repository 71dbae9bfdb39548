"""``prepare`` notices tables that break an invariant, one way of breaking at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from reeltune.data.folder import PreparedFolder
from reeltune.data.invariants import INVARIANTS, EventTable
from reeltune.data.prepare import check_invariants, prepare
from reeltune.data.settings import PrepareSettings, SplitSettings
from reeltune.errors import DataError
from tests.errors import raises_error

from .editions import items as item_rows
from .editions import read_timelines, timeline, write_edition

VAL_FROM, TEST_FROM = 1_000_007, 1_000_010


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """The same good data with a user split and with a time split."""
    root = tmp_path_factory.mktemp("invariants")
    source = write_edition(root / "in", [*timeline(1, 12), *timeline(2, 8)], item_rows(12))
    splits = {
        "user": SplitSettings(val_fraction=0.2, test_fraction=0.2),
        "time": SplitSettings(kind="time", val_from=VAL_FROM, test_from=TEST_FROM),
        "items": SplitSettings(kind="items", val_fraction=0.2, test_fraction=0.2),
        "users": SplitSettings(kind="users", val_fraction=0.0, test_fraction=0.5),
    }
    for kind, split in splits.items():
        prepare(source, PrepareSettings(root / kind, history_len=3, split=split, export=None))
    return root


def checked(folder: Path, into: Path, change: Any = (), events: int = 20) -> list[str]:
    """Check the invariants of a copy in which some columns are changed."""
    meta = json.loads((folder / "meta.json").read_text())
    read_timelines(folder).with_columns(change).write_parquet(into / "timelines.parquet")
    (into / "items.parquet").write_bytes((folder / "items.parquet").read_bytes())
    return check_invariants(EventTable.read(PreparedFolder(into, meta)), events)


@pytest.mark.parametrize("kind", ["user", "time", "items", "users"])
def test_good_tables_pass(tmp_path, folders, kind) -> None:
    names = checked(folders / kind, tmp_path)
    assert names == json.loads((folders / kind / "meta.json").read_text())["checks"]
    assert len(names) == len(set(names)) == len(INVARIANTS) + 2


def at(row: int, column: str, value) -> pl.Expr:
    """The column with one value changed."""
    here = pl.int_range(pl.len()) == row
    return pl.when(here).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)


@pytest.mark.parametrize(
    ("kind", "change", "invariant"),
    [
        ("user", at(5, "timestamp", 1), "order in time"),
        ("user", [at(5, "timestamp", 1_000_005), at(5, "item_id", 45)], "order in time"),
        ("user", at(3, "user_id", 9), "order in time"),
        ("user", at(5, "item_id", 50), "items once per user"),
        ("user", at(5, "position", 7).cast(pl.Int32), "positions"),
        ("user", at(0, "position", 1).cast(pl.Int32), "positions"),
        ("user", at(3, "item_idx", 9).cast(pl.Int32), "item rows"),
        ("user", at(3, "item_idx", 99).cast(pl.Int32), "item rows"),
        ("user", at(4, "rating", 0.5).cast(pl.Float32), "labels"),
        ("user", at(4, "split", "other"), "one split per event"),
        ("user", at(4, "split", "context"), "context first"),
        ("user", at(1, "split", "train"), "context first"),
        ("user", at(11, "split", "train"), "splits in order"),
        ("user", at(3, "split", "test"), "splits in order"),
        ("time", at(11, "split", "train"), "splits in order"),
        ("time", at(4, "split", "validation"), "splits in order"),
        ("time", at(11, "split", "validation"), "splits in order"),
        ("time", at(4, "split", "test"), "splits in order"),
        ("items", at(4, "split", "test"), "splits in order"),
        ("items", at(11, "split", "train"), "splits in order"),
        ("items", at(11, "split", "context"), "context first"),
        ("users", at(4, "split", "validation"), "splits in order"),
    ],
)
def test_broken_tables_are_refused(tmp_path, folders, kind, change, invariant) -> None:
    with raises_error(DataError, "broken_invariant", figures=[invariant]):
        checked(folders / kind, tmp_path, change)


def test_missing_values_are_refused(tmp_path, folders) -> None:
    with raises_error(DataError, "missing_values", figures=["timestamp", "row 4"]):
        checked(folders / "user", tmp_path, at(4, "timestamp", None))


@pytest.mark.parametrize("events", [19, 21])
def test_lost_and_doubled_events_are_refused(tmp_path, folders, events) -> None:
    with raises_error(DataError, "broken_invariant", figures=["event count"]):
        checked(folders / "user", tmp_path, events=events)
