"""Data prepared with ``--min-history 0``: from training to answers about people without ratings."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reeltune.cli import main
from reeltune.config import load_config
from reeltune.data.folder import PreparedFolder
from reeltune.data.history import History
from reeltune.data.prepare import prepare
from reeltune.data.settings import PrepareSettings, SplitSettings
from reeltune.evaluation.predictions import read_predictions
from reeltune.models.loaded_model import load_model
from reeltune.models.prompt_record import read_prompt_record, write_prompt_record
from reeltune.scoring.predictor import Predictor, Query
from reeltune.training.train import train
from tests.data.editions import Rating, items, write_edition
from tests.runs import tiny_config, tiny_overrides

USERS, ITEMS, EACH = 24, 30, 6


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> PreparedFolder:
    """Users who come one after another, so that each split holds first ratings."""
    work, random = tmp_path_factory.mktemp("cold"), np.random.default_rng(0)
    ratings = [
        Rating(user, 10 * (item + 1), f"{2 + (item + user) % 3}.0", 1_000_000 + 100 * user + 40 * n)
        for user in range(1, USERS + 1)
        for n, item in enumerate(random.choice(ITEMS, EACH, replace=False).tolist())
    ]
    split = SplitSettings(kind="time", val_fraction=0.2, test_fraction=0.25)
    source = write_edition(work / "raw", ratings, items(ITEMS))
    out = work / "prepared"
    prepare(source, PrepareSettings(out, history_len=3, min_history=0, split=split, export=None))
    return PreparedFolder.open(out)


FORMS: dict[str, dict[str, Any]] = {
    "window": {},
    "interview": {
        "prompt__form": "interview",
        "prompt__signals": ["item", "user", "recent", "expected"],
        "train__pack_length": 2048,
        "train__batch_size": 1,
    },
}
SHORT = {"evaluation__bootstrap_samples": 20, "evaluation__ablation_examples": 12}


@pytest.fixture(scope="module", params=FORMS)
def run(request, cold, tiny_qwen3, tmp_path_factory) -> tuple[Path, list[str]]:
    """A run in each form, and its overrides."""
    work = tmp_path_factory.mktemp(request.param)
    chosen = {**SHORT, **FORMS[request.param]}
    folder = train(tiny_config(tiny_qwen3, cold.path, work, **chosen))
    return folder, tiny_overrides(tiny_qwen3, cold.path, work, **chosen)


def call(command: str, overrides: list[str], *flags: object) -> int:
    sets = [part for override in overrides for part in ("--set", override)]
    with pytest.raises(SystemExit) as left:
        main([command, "--config", os.devnull, *sets, *map(str, flags)])
    return int(left.value.code or 0)


def test_every_split_holds_first_ratings(cold: PreparedFolder):
    for split in ("train", "validation", "test"):
        examples = cold.examples(split)
        assert (examples.start == examples.target).any()
        assert (cold.timelines.position[examples.target] == 0).any()


@pytest.mark.slow
@pytest.mark.usefixtures("little_boosting")
def test_it_is_evaluated_with_baselines_and_ablations(run, cold: PreparedFolder):
    folder, overrides = run
    assert call("evaluate", overrides) == 0
    rows = read_predictions(folder / "evaluation" / "predictions.parquet")["test"]
    assert rows.event.tolist() == cold.examples("test").target.tolist()
    first = rows.position == 0
    assert first.any()
    for name, p_yes in rows.p_yes.items():
        assert ((p_yes >= 0) & (p_yes <= 1)).all(), name


@pytest.fixture(scope="module")
def warm(run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The run as if it had been trained on histories of two ratings or more."""
    folder, overrides = run
    copy = tmp_path_factory.mktemp("warm") / "run"
    shutil.copytree(folder, copy)
    record = replace(read_prompt_record(copy), min_history=2)
    write_prompt_record(copy, record)
    return copy, [*overrides, f"train.output_dir={copy}"]


def score_first_ratings(
    run: tuple[Path, list[str]], cold: PreparedFolder, work: Path
) -> tuple[list[float], dict[str, Any]]:
    """Score each user's first two ratings, and return the predictions and the record."""
    timelines = cold.timelines
    events = np.flatnonzero(timelines.position < 2)
    pairs = {"user_id": timelines.user_id[events], "item_id": cold.rated_item_id[events]}
    pq.write_table(pa.table(pairs), work / "in.parquet")
    folder, overrides = run
    assert call("score", overrides, work / "in.parquet", work / "out", "--adapter", folder) == 0
    scored = pq.read_table(work / "out" / "part-00000.parquet")["p_yes"].to_pylist()
    return scored, json.loads((work / "out" / "done.json").read_text())


@pytest.mark.slow
def test_first_ratings_are_scored_from_an_empty_history(run, cold: PreparedFolder, tmp_path: Path):
    scored, record = score_first_ratings(run, cold, tmp_path)
    assert (record["scored"], record["short_histories"]) == (2 * USERS, 0)
    predictor = Predictor(load_model(load_config(None, run[1]), run[0]))
    timelines = cold.timelines
    for index in (0, 2, 4):
        event = 3 * index
        nobody = History.of([], [])
        user = replace(nobody, user_id=int(timelines.user_id[event]))
        query = Query(user, timelines.item_idx[event : event + 1].astype(np.int64))
        (predicted,) = predictor.predict([query])
        assert timelines.position[event] == 0
        assert scored[index] == pytest.approx(predicted.p_yes[0], abs=1e-5)


@pytest.mark.slow
def test_what_training_has_not_seen_is_counted(warm, cold: PreparedFolder, tmp_path: Path, capsys):
    _, record = score_first_ratings(warm, cold, tmp_path)
    assert record["short_histories"] == 2 * USERS
    assert f"{2 * USERS} predictions" in capsys.readouterr().out
    folder, overrides = warm
    assert call("evaluate", overrides, "--no-baselines", "--ablations", 0) == 0
    shown = cold.timelines.position[cold.examples("test").target]
    written = json.loads((folder / "evaluation" / "metrics.json").read_text())
    short = int((shown < 2).sum())
    assert any(warning.startswith(f"{short} rows have shorter") for warning in written["warnings"])


@pytest.mark.slow
def test_the_adapter_knows_its_shortest_history(run, warm):
    for (folder, overrides), expected in ((run, 0), (warm, 2)):
        assert load_model(load_config(None, overrides), folder).trained_history == expected
