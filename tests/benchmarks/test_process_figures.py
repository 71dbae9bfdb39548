"""The benchmark of processes: launching commands and reading their output."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from benchmarks.launching import Launch, settings
from benchmarks.score_output import largest_difference, rate, write_pairs
from benchmarks.trained_runs import (
    largest_loss_difference,
    sharded_rates,
    training_rates,
    validation_auc,
    weight_difference,
)
from reeltune.data.folder import PreparedFolder
from reeltune.runs.folder import ADAPTER_WEIGHTS

PAIRS = {"user_id": [1, 1, 2, 2], "item_id": [4, 5, 4, 6]}


def write_shards(folder: Path, *shards: Mapping[str, Sequence[float]]) -> Path:
    folder.mkdir()
    for number, columns in enumerate(shards):
        pq.write_table(pa.table(columns), folder / f"part-{number:05}.parquet")
    return folder


def test_the_rate_is_that_of_the_second_half(tmp_path: Path):
    folder = write_shards(tmp_path / "out", *[{"p_yes": [0.5] * 10}] * 8)
    # Nodes write shards in any order.
    for number, second in enumerate((140, 100, 101, 120, 130, 161, 150, 160)):
        os.utime(folder / f"part-{number:05}.parquet", (second, second))
    assert rate(folder, 2) == pytest.approx(40 / (161 - 130))
    with pytest.raises(SystemExit, match=r"^8 .*3 "):
        rate(folder, 3)


def test_pairs_are_films_a_user_has_not_rated(prepared: PreparedFolder, tmp_path: Path):
    file = tmp_path / "made" / "pairs.parquet"
    write_pairs(file, prepared.path, users=3, items=7)
    pairs = list(zip(*pq.read_table(file).to_pydict().values(), strict=True))
    timelines = prepared.timelines
    rated = {
        (int(user), prepared.items[int(row)].item_id)
        for user, row in zip(timelines.user_id, timelines.item_idx, strict=True)
    }
    assert len(pairs) == len(set(pairs)) == 3 * 7
    assert not rated & set(pairs)
    known = sorted(set(timelines.user_id.tolist()))
    assert [user for user, _ in pairs] == [user for user in known[:3] for _ in range(7)]
    every = write_pairs(tmp_path / "all.parquet", prepared.path, users=1000, items=1000)
    unrated = len(known) * len(prepared.items) - len(rated)
    assert pq.read_metadata(every).num_rows == unrated


def test_the_difference_of_predictions(tmp_path: Path):
    table = tmp_path / "pairs.parquet"
    pq.write_table(pa.table(PAIRS), table)
    first = write_shards(tmp_path / "first", PAIRS | {"p_yes": [0.1, 0.5, 0.5, 0.9]})
    halves = [{name: values[i : i + 2] for name, values in PAIRS.items()} for i in (0, 2)]
    second = write_shards(
        tmp_path / "second", halves[0] | {"p_yes": [0.1, 0.4]}, halves[1] | {"p_yes": [0.7, 0.9]}
    )
    difference = largest_difference(table, first, second)
    assert difference["predictions"] == 4
    assert difference["largest_difference"] == pytest.approx(0.2)
    assert difference["deviation"] == pytest.approx(0.08**0.5)


@pytest.mark.parametrize("rows", [[0, 1, 2], [0, 1, 1, 2], [1, 0, 2, 3], [0, 1, 2, 3, 3]])
def test_rows_without_exactly_one_prediction_are_refused(rows: list[int], tmp_path: Path):
    table = tmp_path / "pairs.parquet"
    pq.write_table(pa.table(PAIRS), table)
    right = write_shards(tmp_path / "right", PAIRS | {"p_yes": [0.5] * 4})
    given = {name: [values[row] for row in rows] for name, values in PAIRS.items()}
    wrong = write_shards(tmp_path / "wrong", given | {"p_yes": [0.5] * len(rows)})
    with pytest.raises(SystemExit, match=r"^wrong: "):
        largest_difference(table, right, wrong)


def test_a_missing_prediction_is_refused(tmp_path: Path):
    table = tmp_path / "pairs.parquet"
    pq.write_table(pa.table(PAIRS), table)
    right = write_shards(tmp_path / "right", PAIRS | {"p_yes": [0.5] * 4})
    wrong = write_shards(tmp_path / "wrong", PAIRS)
    pq.write_table(pa.table(PAIRS | {"p_yes": [0.5, None, 0.5, 0.5]}), wrong / "part-00000.parquet")
    with pytest.raises(SystemExit, match=r"^wrong: "):
        largest_difference(table, right, wrong)


def write_run(folder: Path, examples: float, steps: float, **memory: float) -> Path:
    folder.mkdir()
    speed = {"steps_counted": 9, "steps_per_second": steps, "examples_per_second": examples}
    metrics = {"speed": speed, "best": {"eval_auc": 0.75}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "run.json").write_text(json.dumps({"peak_memory": memory}))
    return folder


def test_rates_of_training(tmp_path: Path):
    first = write_run(tmp_path / "first", 600.0, steps=2.0, resident_gib=1.0)
    # With several processes, examples are those of the first process.
    second = write_run(
        tmp_path / "second", examples=999.0, steps=3.0, resident_gib=1.0, gpu_gib=4.0
    )
    alone, together = training_rates(first, second, 2)
    assert (alone["processes"], together["processes"]) == (1, 2)
    assert (alone["examples_per_s"], together["examples_per_s"]) == (600.0, 900.0)
    assert (alone["ratio_to_one_process"], together["ratio_to_one_process"]) == (1.0, 1.5)
    assert (alone["peak_gib"], together["peak_gib"]) == (None, 4.0)
    assert validation_auc(first) == 0.75


def test_memory_of_each_process_and_the_difference_of_losses(tmp_path: Path):
    losses = {"first": [2.0, 1.0], "second": [2.0, 1.1], "third": [2.0]}
    for name, logged in losses.items():
        run = write_run(tmp_path / name, examples=9.0, steps=2.0)
        peaks = {"peak_memory_by_process": [{"gpu_gib": 4.0}, {"gpu_gib": 5.0}]}
        (run / "run.json").write_text(json.dumps(peaks))
        metrics = json.loads((run / "metrics.json").read_text())
        metrics["losses"] = [{"step": i, "loss": loss} for i, loss in enumerate(logged, 1)]
        (run / "metrics.json").write_text(json.dumps(metrics))
    (case,) = sharded_rates(sharded=tmp_path / "first")
    assert (case["case"], case["processes"], case["steps_per_s"]) == ("train, sharded", 2, 2.0)
    assert (case["lowest_peak_gib"], case["peak_gib"]) == (4.0, 5.0)
    difference = largest_loss_difference(tmp_path / "first", tmp_path / "second")
    assert difference == pytest.approx(0.1)
    with pytest.raises(SystemExit, match="first and third"):
        largest_loss_difference(tmp_path / "first", tmp_path / "third")


def test_the_difference_of_weights(tmp_path: Path):
    weights_of_first = {"layer.lora_A.weight": [[9.0, 1.0]], "layer.lora_B.weight": [[0.5], [-2.0]]}
    for name, change in (("first", 0.0), ("second", 0.25)):
        (tmp_path / name).mkdir()
        weights = {key: torch.tensor(values) for key, values in weights_of_first.items()}
        weights["layer.lora_A.weight"][0, 1] -= change
        save_file(weights, tmp_path / name / ADAPTER_WEIGHTS)
    assert weight_difference(tmp_path / "first", tmp_path / "second") == {
        "largest_difference_of_a_weight": 0.25,
        "largest_change_of_a_weight": 2.0,
        "share_of_the_change": 0.125,
    }
    save_file({"layer.lora_A.weight": torch.zeros(1)}, tmp_path / "second" / ADAPTER_WEIGHTS)
    with pytest.raises(SystemExit, match="first and second"):
        weight_difference(tmp_path / "first", tmp_path / "second")


@pytest.mark.parametrize("gpus", [0, 2])
def test_several_processes_have_a_launcher_and_see_every_gpu(
    gpus: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert Launch(1).command()[1:] == ["-m", "reeltune"]
    assert Launch(1).environment()["CUDA_VISIBLE_DEVICES"] == "0"
    assert Launch(1, device=-1).environment()["CUDA_VISIBLE_DEVICES"] == ("1" if gpus else "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert Launch(1).environment()["CUDA_VISIBLE_DEVICES"] == "3"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    several = Launch(3)
    launcher, count = {
        0: ("torch.distributed.run", "--nproc_per_node"),
        2: ("accelerate.commands.launch", "--num_processes"),
    }[gpus]
    words = several.command()
    assert words[1:3] == ["-m", launcher]
    assert words[words.index(count) + 1] == "3"
    assert words[-2:] == ["-m", "reeltune"]
    sharded = Launch(3, config=Path("fsdp.yaml")).command()
    assert ("fsdp.yaml" in sharded) == ("--multi_gpu" in words)
    assert "--multi_gpu" not in sharded
    assert several.environment()["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_overrides_come_last():
    assert settings({"a.b": 1}, ["a.b=2"]) == ["--set", "a.b=1", "--set", "a.b=2"]
