"""Exports that are not those that ``prepare`` wrote, or have other rows than their split."""

from __future__ import annotations

from pathlib import Path

import pytest

from reeltune.data.settings import ExportFormat
from tests.leakage.plant import change_meta, export, failing

EXPORTS = ("train.json", "eval.json", "test_raw.jsonl")


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
def test_a_removed_export_is_no_fault(folder: Path, name: str):
    export(folder)
    (folder / name).unlink()
    assert failing(folder) == {}
