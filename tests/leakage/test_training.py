"""A run that has learned from other data, from other rows, or from held-out ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from reeltune.config import Config, config_tree
from reeltune.data.folder import PreparedFolder
from reeltune.data.invariants import EventTable
from reeltune.domain import Renderer
from reeltune.evaluation.predictions import PredictionTable, write_predictions
from reeltune.leakage.suite import Target, find_target, run_checks
from reeltune.leakage.training import training_rows_are_not_held_out
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import TokenRows, choose_blocks, tokenize, train_rows
from reeltune.runs.folder import RunFolder
from tests.helpers import chat_tokenizer
from tests.leakage.plant import failing, named, read_events, row_of, write_events
from tests.runs import tiny_config

ROWS = 64
"""What the configuration limits training to."""


@pytest.fixture
def config(folder: Path, tmp_path: Path) -> Config:
    return tiny_config(tmp_path / "model", folder, tmp_path)


@pytest.fixture
def run(folder: Path, config: Config) -> RunFolder:
    """The record of a run on the sound data."""
    run = RunFolder(config.train.output_dir)
    files = PreparedFolder.open(folder).meta["files"]
    run.write_record(
        {
            "config": config_tree(config),
            "data": {"files": files},
            "rows": {"train": ROWS, "validation": 36},
        }
    )
    return run


def statuses(target: Target) -> dict[str, str]:
    return {outcome.check: outcome.status for outcome in run_checks(target)}


def record(run: RunFolder, **changes: Any) -> None:
    run.write_record(run.record() | changes)


def test_valid_run_passes(run: RunFolder):
    found = statuses(find_target(run.path))
    assert found["the run's data"] == found["training rows"] == "ok"
    assert found["cached training rows"] == "not applicable"
    assert "failed" not in found.values()


def test_run_on_other_data_fails_and_its_rows_are_not_checked(run: RunFolder, folder: Path):
    rows = read_events(folder)
    rows[40]["timestamp"] += 1
    write_events(folder, rows)
    assert list(failing(run.path)) == ["the run's data"]
    found = statuses(find_target(run.path))
    assert found["training rows"] == found["cached training rows"] == "not applicable"


def test_run_on_data_of_an_older_format_fails(run: RunFolder):
    files = run.record()["data"]["files"]
    files["films.parquet"] = files.pop("items.parquet")
    record(run, data={"files": files})
    failed = failing(run.path)
    assert list(failed) == ["the run's data"]
    assert "items.parquet" in failed["the run's data"].offenders.first[0].message


def test_more_training_rows_than_selected_fail(run: RunFolder):
    record(run, rows={"train": ROWS + 1})
    failed = failing(run.path)
    assert list(failed) == ["training rows"]
    for rows in (ROWS + 1, ROWS):
        assert str(rows) in failed["training rows"].offenders.first[0].message


def test_a_held_out_event_in_a_training_history_is_named(
    run: RunFolder, folder: Path, config: Config
):
    rows = read_events(folder)
    event = next(i for i, row in enumerate(rows) if row["split"] == "train")
    rows[event]["split"] = "test"
    write_events(folder, rows)
    events = EventTable.read(PreparedFolder.open(folder, verify=False))
    whole = config.model_copy(
        update={"data": config.data.model_copy(update={"max_train_examples": None})}
    )
    count = int(events.is_in("train").sum())
    found = training_rows_are_not_held_out(events, whole, {"rows": {"train": count}})
    assert found.status == "failed"
    assert named(found)[0] == row_of(folder, event + 1)


def token_rows(folder: Path, config: Config) -> TokenRows:
    prepared = PreparedFolder.open(folder)
    selection = train_rows(config)
    tokens = PromptTokens(chat_tokenizer(), Renderer(prepared.prompt_settings), prepared.items)
    return tokenize(prepared, tokens, choose_blocks(prepared, selection), selection)


def cache(folder: Path, config: Config, rows: TokenRows) -> None:
    """Store rows as training does."""
    from reeltune.training.cache import TRAIN_CACHE, key_of_rows, store

    prepared = PreparedFolder.open(folder)
    key = key_of_rows(prepared, prepared.prompt_settings, chat_tokenizer(), train_rows(config))
    store(config.data.cache_dir / TRAIN_CACHE, key, rows)


def test_cached_training_rows_pass(run: RunFolder, folder: Path, config: Config):
    cache(folder, config, token_rows(folder, config))
    outcomes = {outcome.check: outcome for outcome in run_checks(find_target(run.path))}
    assert outcomes["cached training rows"].status == "ok"
    assert outcomes["cached training rows"].about == f"{ROWS} rows"


@pytest.mark.parametrize("split", ["validation", "test", "context"])
def test_a_cached_row_of_another_split_is_named(
    run: RunFolder, folder: Path, config: Config, split: str
):
    rows = token_rows(folder, config)
    events = EventTable.read(PreparedFolder.open(folder, verify=False))
    event = int(np.flatnonzero(events.is_in(split))[5])
    user_id, item_id, liked = rows.user_id.copy(), rows.item_id.copy(), rows.liked.copy()
    user_id[7], item_id[7] = events.timelines.user_id[event], events.item_id[event]
    liked[7] = events.timelines.liked[event]
    cache(folder, config, replace(rows, user_id=user_id, item_id=item_id, liked=liked))
    failed = failing(run.path)
    assert list(failed) == ["cached training rows"]
    assert named(failed["cached training rows"]) == [row_of(folder, event)]
    assert f" {split} " in failed["cached training rows"].offenders.first[0].message


@pytest.mark.slow
def test_cached_rows_with_other_label_or_unknown_user_are_named(
    run: RunFolder, folder: Path, config: Config
):
    rows = token_rows(folder, config)
    user_id, liked = rows.user_id.copy(), rows.liked.copy()
    user_id[3], liked[9] = 5555, ~liked[9]
    cache(folder, config, replace(rows, user_id=user_id, liked=liked))
    nobody, other = failing(run.path)["cached training rows"].offenders.first
    assert (nobody.user_id, nobody.event) == (5555, None)
    assert (other.user_id, other.item_id) == (rows.user_id[9], rows.item_id[9])
    assert "label" in other.message


@pytest.mark.slow
def test_cache_of_other_data_is_not_checked(run: RunFolder, folder: Path, config: Config):
    cache(folder, config, token_rows(folder, config))
    rows = read_events(folder)
    rows[40]["timestamp"] += 1
    write_events(folder, rows)
    record(run, data={"files": PreparedFolder.open(folder).meta["files"]})
    assert failing(run.path) == {}
    assert statuses(find_target(run.path))["cached training rows"] == "not applicable"


def test_cache_of_another_format_is_not_checked(run: RunFolder, folder: Path, config: Config):
    files = PreparedFolder.open(folder).meta["files"]
    path = config.data.cache_dir / "train_preprocessed"
    path.mkdir(parents=True)
    key = {"prepared data": {name: file["sha256"] for name, file in files.items()}}
    (path / "cache_key.json").write_text(json.dumps(key), encoding="utf-8")
    table = pa.table({"user_id": [1], "item_id": [1], "liked": [True]})
    with pa.ipc.new_stream(path / "data.arrow", table.schema) as stream:
        stream.write_table(table)
    (found,) = (o for o in run_checks(find_target(run.path)) if o.check == "cached training rows")
    assert found.status == "not applicable"


def test_predictions_beside_a_run_are_checked(run: RunFolder, folder: Path):
    prepared = PreparedFolder.open(folder)
    rows = PredictionTable.of_events(prepared, "test", prepared.examples("test").target)
    rows = rows.scored("tuned", rows.liked.astype(np.float64))
    path = run.path / "evaluation" / "predictions.parquet"
    write_predictions(path, [rows])
    assert list(failing(run.path)) == list(failing(path.parent)) == ["predictions are not labels"]
