"""The proofs notice tables that break a law, one way of breaking at a time."""

import polars as pl
import pytest

from reeltune.data.items import items_frame
from reeltune.data.prepare import prepare
from reeltune.data.proofs import prove_timelines
from reeltune.data.settings import PrepareSettings, SplitSettings
from reeltune.data.splits import Cuts
from reeltune.domain import Item
from reeltune.errors import DataError
from tests.errors import raises_error

from .editions import items as item_rows
from .editions import read_timelines, timeline, write_edition

ITEMS = items_frame([Item(10 * n, f"Film {n}", None, ()) for n in range(1, 13)])
CUTS = Cuts(1_000_007, 1_000_010)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The same good data in a user split and in a time split."""
    root = tmp_path_factory.mktemp("proofs")
    source = write_edition(root / "in", [*timeline(1, 12), *timeline(2, 8)], item_rows(12))
    splits = {
        "user": SplitSettings(val_fraction=0.2, test_fraction=0.2),
        "time": SplitSettings(kind="time", val_from=CUTS.val_from, test_from=CUTS.test_from),
    }
    found = {}
    for kind, split in splits.items():
        settings = PrepareSettings(root / kind, history_len=3, split=split, export=None)
        prepare(source, settings)
        found[kind] = (read_timelines(root / kind), settings)
    return found


def prove(tmp_path, table: pl.DataFrame, settings: PrepareSettings, events: int = 20) -> list[str]:
    table.write_parquet(tmp_path / "timelines.parquet")
    cuts = CUTS if settings.split.kind == "time" else None
    return prove_timelines(tmp_path / "timelines.parquet", ITEMS, settings, cuts, events)


@pytest.mark.parametrize("kind", ["user", "time"])
def test_good_tables_pass(tmp_path, tables, kind) -> None:
    laws = prove(tmp_path, *tables[kind])
    assert len(laws) == len(set(laws)) >= 10


def at(row: int, column: str, value) -> pl.Expr:
    """The column with one value changed."""
    here = pl.int_range(pl.len()) == row
    return pl.when(here).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)


@pytest.mark.parametrize(
    ("kind", "change", "law"),
    [
        ("user", at(5, "timestamp", 1), "each timeline is ordered"),
        ("user", [at(5, "timestamp", 1_000_005), at(5, "item_id", 50)], "each timeline is ordered"),
        ("user", at(5, "position", 7).cast(pl.Int32), "positions count up"),
        ("user", at(0, "position", 1).cast(pl.Int32), "positions count up"),
        ("user", at(3, "user_id", 9), "users ascend"),
        ("user", at(3, "item_idx", 9).cast(pl.Int32), "item_idx points at the film"),
        ("user", at(3, "item_idx", 99).cast(pl.Int32), "item_idx points at the film"),
        ("user", at(4, "stars", 0.5).cast(pl.Float32), "liked means the threshold"),
        ("user", at(4, "timestamp", None), "no value is missing"),
        ("user", at(4, "split", "other"), "every event is context, train"),
        ("user", at(4, "split", "context"), "examples are exactly the events"),
        ("user", at(1, "split", "train"), "examples are exactly the events"),
        ("user", at(11, "split", "train"), "within a user train comes before"),
        ("user", at(3, "split", "test"), "within a user train comes before"),
        ("time", at(11, "split", "train"), "train lies within its cuts"),
        ("time", at(4, "split", "validation"), "validation lies within its cuts"),
        ("time", at(11, "split", "validation"), "validation lies within its cuts"),
        ("time", at(4, "split", "test"), "test lies within its cuts"),
    ],
)
def test_broken_tables_are_caught(tmp_path, tables, kind, change, law) -> None:
    table, settings = tables[kind]
    with raises_error(DataError, "broken_invariant", figures=[law]):
        prove(tmp_path, table.with_columns(change), settings)


def test_lost_events_are_caught(tmp_path, tables) -> None:
    table, settings = tables["user"]
    with raises_error(DataError, "broken_invariant", figures=["no event is lost"]):
        prove(tmp_path, table.head(19), settings)
