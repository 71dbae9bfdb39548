"""A ``meta.json`` that does not match the files beside it, or exports that were changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from reeltune.data.folder import PreparedFolder
from tests.leakage.plant import change_meta, failing, read_events, write_events


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("counts", "train", 1),
        ("counts", "users", 13),
        ("counts", "items_without_year", 0),
        ("counts", "ratings_in_source", 1),
        ("label_rates", "test", 0.123456),
        ("span", "last", "2030-01-01T00:00:00+00:00"),
    ],
)
def test_counts_that_are_not_those_of_the_tables_are_named(
    folder: Path, section: str, name: str, value: object
):
    change_meta(folder, lambda meta: meta[section].update({name: value}))
    failed = failing(folder)
    assert list(failed) == ["counts"]
    (found,) = failed["counts"].offenders.first
    assert str(value) in found.message


@pytest.mark.parametrize("name", ["timelines.parquet", "items.parquet"])
def test_rows_of_a_file_are_counted(folder: Path, name: str):
    change_meta(folder, lambda meta: meta["files"][name].update({"rows": 1}))
    failed = failing(folder)
    assert list(failed) == ["counts"]
    assert failed["counts"].offenders.first[0].message.startswith(f"{name} has 1 rows")


def test_a_file_that_was_exchanged_is_named(folder: Path):
    rows = read_events(folder)
    rating = 5.5 - rows[40]["rating"]
    rows[40] |= {"rating": rating, "liked": rating >= 4.0}
    before = (folder / "meta.json").read_bytes()
    write_events(folder, rows)
    described = PreparedFolder.open(folder).meta
    (folder / "meta.json").write_bytes(before)
    change_meta(folder, lambda meta: meta.update(label_rates=described["label_rates"]))
    failed = failing(folder)
    assert list(failed) == ["checksums"]
    assert str(failed["checksums"].offenders.first[0]).startswith("timelines.parquet is not")


def test_an_export_nobody_knows_of_is_named(folder: Path):
    (folder / "test_raw.jsonl").write_text("", encoding="utf-8")
    (found,) = failing(folder)["checksums"].offenders.first
    assert "test_raw.jsonl" in found.message
