"""What a folder is, and which data belong to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reeltune.config import config_tree
from reeltune.errors import ConfigError, DataError
from reeltune.leakage.suite import find_target
from reeltune.runs.folder import RunFolder
from tests.errors import raises_error
from tests.runs import tiny_config


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "run"
    RunFolder(path).write_record({"config": config_tree(tiny_config(path, folder, tmp_path))})
    return path


def predictions_in(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "predictions.parquet").touch()
    return folder / "predictions.parquet"


def test_prepared_folder(folder: Path):
    target = find_target(folder)
    assert (target.prepared.path, target.run, target.predictions) == (folder, None, None)


def test_run_folder(run: Path, folder: Path):
    target = find_target(run)
    assert (target.prepared.path, target.run, target.predictions) == (folder, RunFolder(run), None)


def test_predictions_of_a_run_are_found_from_both_folders(run: Path, folder: Path):
    predictions = predictions_in(run / "evaluation")
    for path in (run, run / "evaluation"):
        target = find_target(path)
        assert (target.prepared.path, target.run) == (folder, RunFolder(run))
        assert target.predictions == predictions


def test_data_can_be_named(run: Path, folder: Path, tmp_path: Path):
    moved = folder.rename(tmp_path / "moved")
    with raises_error(DataError, "not_a_prepared_folder", where=str(folder)):
        find_target(run)
    assert find_target(run, moved).prepared.path == moved


def test_predictions_without_a_run_need_their_data_named(folder: Path, tmp_path: Path):
    predictions = predictions_in(tmp_path / "alone")
    with raises_error(DataError, "data_not_named", where="alone", figures=["--data"]):
        find_target(tmp_path / "alone")
    target = find_target(tmp_path / "alone", folder)
    assert (target.run, target.predictions) == (None, predictions)


def test_other_folders_are_refused(tmp_path: Path):
    for path in (tmp_path, tmp_path / "absent"):
        with raises_error(DataError, "nothing_to_check", where=str(path)):
            find_target(path)


def test_other_data_for_prepared_data_are_refused(folder: Path, tmp_path: Path):
    with raises_error(ConfigError, "unneeded_data_flag", figures=["--data"]):
        find_target(folder, tmp_path)
