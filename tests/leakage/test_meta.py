"""A ``meta.json`` that does not match the files beside it, or exports that were changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from reeltune.data.folder import PreparedFolder
from reeltune.data.settings import ExportFormat
from tests.leakage.plant import export, failing, read_events, write_events
from tests.prepared_data import change_meta

EXPORTS = ("train.json", "eval.json", "test_raw.jsonl")


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
def test_wrong_counts_are_named(folder: Path, section: str, name: str, value: object):
    change_meta(folder, lambda meta: meta[section].update({name: value}))
    failed = failing(folder)
    assert list(failed) == ["counts"]
    (found,) = failed["counts"].offenders.first
    assert str(value) in found.message


@pytest.mark.parametrize("name", ["timelines.parquet", "items.parquet"])
def test_wrong_number_of_rows_is_named(folder: Path, name: str):
    change_meta(folder, lambda meta: meta["files"][name].update({"rows": 1}))
    failed = failing(folder)
    assert list(failed) == ["counts"]
    assert failed["counts"].offenders.first[0].message.startswith(f"{name} has 1 rows")


def test_replaced_file_is_named(folder: Path):
    rows = read_events(folder)
    rating = 5.5 - rows[40]["rating"]
    rows[40] |= {"rating": rating, "liked": rating >= 4.0}
    before = (folder / "meta.json").read_bytes()
    write_events(folder, rows)
    described = PreparedFolder.open(folder, verify=False).meta
    (folder / "meta.json").write_bytes(before)
    change_meta(folder, lambda meta: meta.update(label_rates=described["label_rates"]))
    failed = failing(folder)
    assert list(failed) == ["checksums"]
    assert str(failed["checksums"].offenders.first[0]).startswith("timelines.parquet is not")


def test_export_missing_from_meta_is_named(folder: Path):
    (folder / "test_raw.jsonl").write_text("", encoding="utf-8")
    (found,) = failing(folder)["checksums"].offenders.first
    assert "test_raw.jsonl" in found.message


@pytest.mark.parametrize("form", ["chat", "alpaca"])
def test_exports_as_prepared_pass(folder: Path, form: ExportFormat):
    export(folder, form)
    assert failing(folder) == {}


@pytest.mark.parametrize("name", EXPORTS)
def test_a_changed_export_is_named(folder: Path, name: str):
    export(folder)
    path = folder / name
    path.write_text(path.read_text(encoding="utf-8").replace("Yes", "No", 1), encoding="utf-8")
    failed = failing(folder)
    assert list(failed) == ["checksums"]
    (found,) = failed["checksums"].offenders.first
    assert found.message.split()[0] == name


def test_a_row_moved_into_the_training_export_is_found(folder: Path):
    export(folder)
    held_out = (folder / "eval.json").read_text(encoding="utf-8").split("\n")[1].rstrip(",")
    training = (folder / "train.json").read_text(encoding="utf-8")
    (folder / "train.json").write_text("[\n" + held_out + "," + training[1:], encoding="utf-8")
    assert list(failing(folder)) == ["checksums"]


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_with_other_rows_than_its_split_is_named(folder: Path, name: str):
    export(folder)
    change_meta(folder, lambda meta: meta["files"][name].update(rows=7))
    failed = failing(folder)
    assert list(failed) == ["counts"]
    (found,) = failed["counts"].offenders.first
    assert found.message.startswith(f"{name} has 7 rows")


@pytest.mark.parametrize("name", EXPORTS)
def test_removed_export_passes(folder: Path, name: str):
    export(folder)
    (folder / name).unlink()
    assert failing(folder) == {}
