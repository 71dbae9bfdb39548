"""Every benchmark runs at a tiny size and writes a complete result."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import (
    float16,
    full_run,
    one_epoch,
    score_throughput,
    tokenize_throughput,
    train_throughput,
)
from benchmarks.render import problems, render
from reeltune.data.folder import PreparedFolder
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.scorer import Scorer
from tests import forked
from tests.helpers import tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def result_of(file: Path, name: str) -> dict[str, Any]:
    """The result, with the checks common to all benchmarks."""
    result = json.loads(file.read_text(encoding="utf-8"))
    assert problems(result) == []
    assert result["command"].startswith(f"python -m benchmarks.{name} --")
    assert str(file.parent) not in json.dumps(result)
    assert render(name, result).count("\n|") == 2 + len(result["cases"])
    return result


@pytest.mark.slow
def test_tokenizing(
    tokenizer: Path, prepared: PreparedFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "result.json"
    tokenize_throughput.main(
        f"--tokenizer {tokenizer} --prepared {prepared.path} --rows 40 --processes 1 --calls 2 "
        f"--result {file}".split()
    )
    result = result_of(file, "tokenize_throughput")
    train = len(prepared.examples("train"))
    assert [(case["form"], case["case"], case["rows"]) for case in result["cases"]] == [
        (form, case, rows)
        for form in ("window", "interview")
        for layout in ("blocks", "single")
        for case, rows in (
            (f"datasets.map, {layout}", 40),
            (f"{layout}, all included", train),
            (f"{layout}, assembling alone", train),
        )
    ]
    for mapped, included, alone in zip(*(result["cases"][i::3] for i in range(3)), strict=True):
        assert included["seconds"] > alone["seconds"]
        assert included["ratio_to_map"] == pytest.approx(
            included["examples_per_s"] / mapped["examples_per_s"]
        )
    assert capsys.readouterr().out.count("x map") == 8


def test_ids_that_differ_from_those_of_map_are_refused(
    tokenizer: Path, prepared: PreparedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def by_map(texts: list[str], *_: Any) -> tuple[float, list[list[int]]]:
        return 1.0, [[1, 2, 3] for _ in texts]

    monkeypatch.setattr(tokenize_throughput, "by_map", by_map)
    with pytest.raises(SystemExit, match=r"^blocks: "):
        tokenize_throughput.main(
            f"--tokenizer {tokenizer} --prepared {prepared.path} --rows 4 "
            f"--result {tmp_path / 'result.json'}".split()
        )
    assert not (tmp_path / "result.json").exists()


SCORED = "--rows 20 --one-at-a-time-rows 3 --tokens-per-batch 2048 --calls 1"


@pytest.mark.slow
def test_scoring(tokenizer: Path, prepared: PreparedFolder, tmp_path: Path):
    file = tmp_path / "result.json"
    score_throughput.main(
        f"--shape tiny --tokenizer {tokenizer} --dtype float32 --prepared {prepared.path} "
        f"--work {tmp_path} --result {file} --note rough {SCORED}".split()
    )
    result = result_of(file, "score_throughput")
    assert result["note"] == "rough"
    names = [(case["form"], case["case"], case["predictions"]) for case in result["cases"]]
    expected = [("in batches", 20), ("one at a time", 3), ("in blocks", 20)]
    expected.append(("rank", len(prepared.items)))
    assert names == [(form, *case) for form in ("window", "interview") for case in expected]
    # Constant predictions would be equal, too.
    assert all(case["deviation"] > 100 * case["largest_difference"] for case in result["cases"])
    tokens = [case["tokens_per_prediction"] for case in result["cases"]]
    assert tokens[2] < tokens[0] and tokens[6] < tokens[4]


@pytest.mark.slow
def test_scoring_real_weights_and_few_films(prepared: PreparedFolder, tmp_path: Path):
    model = tiny_model(tmp_path / "a-model", "llama")
    file = tmp_path / "result.json"
    score_throughput.main(
        f"--model {model} --dtype float32 --prepared {prepared.path} --rank-films 5 "
        f"--result {file} {SCORED}".split()
    )
    result = result_of(file, "score_throughput")
    assert "--model a-model --dtype float32" in result["command"]
    assert [c["predictions"] for c in result["cases"] if c["case"] == "rank"] == [5, 5]


@pytest.mark.slow
def test_predictions_that_differ_are_refused(
    prepared: PreparedFolder, tiny_qwen3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    score = Scorer.score

    def shifted(self: Scorer, sequences: Any, *args: Any) -> Predictions:
        predictions = score(self, sequences, *args)
        shift = 0.0 if sequences.plain else 1e-3
        return Predictions(predictions.yes_logit + shift, predictions.no_logit)

    monkeypatch.setattr(Scorer, "score", shifted)
    with pytest.raises(SystemExit, match=r"^window, in blocks: .*0\.0002"):
        score_throughput.main(
            f"--model {tiny_qwen3} --dtype float32 --prepared {prepared.path} "
            f"--result {tmp_path / 'result.json'} {SCORED}".split()
        )
    written = json.loads((tmp_path / "result.json").read_text())
    assert [case["case"] for case in written["cases"]] == ["in batches", "one at a time"]


@pytest.mark.slow
def test_a_full_run(
    tokenizer: Path, prepared: PreparedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(full_run, "subprocess", forked)
    file = tmp_path / "result.json"
    full_run.main(
        [
            *("--tokenizer", str(tokenizer), "--prepared", str(prepared.path), "--shape", "tiny"),
            *("--work", str(tmp_path), "--result", str(file), "--steps", "24", "--rows", "20"),
            *("--cases", "lora_bf16"),
            *("--set", "train.batch_size=1", "--set", "train.pack_length=1280"),
            *("--set", "train.gradient_checkpointing=false", "--set", "scoring.fusion=none"),
            *("--set", "evaluation.ablation_examples=0"),
        ]
    )
    (case,) = result_of(file, "full_run")["cases"]
    assert case["resumed_from"] == ["checkpoint-12"]
    assert case["steps"] == 24
    assert case["test_rows"] == 20


@pytest.mark.slow
@pytest.mark.usefixtures("forked_launches")
def test_number_types_side_by_side(
    tiny_qwen3: Path,
    prepared: PreparedFolder,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
):
    """In types that a CPU trains in."""
    file = tmp_path / "result.json"
    overrides = ("train.pack_length=1280", "train.eval_steps=2", "train.save_steps=2")
    overrides += ("scoring.fusion=none", "evaluation.ablation_examples=0")
    float16.main(
        [
            *("--model", str(tiny_qwen3), "--prepared", str(prepared.path)),
            *("--work", str(tmp_path), "--result", str(file), "--examples", "40"),
            *("--test-rows", "20", "--dtypes", "float32", "bfloat16"),
            *(part for value in overrides for part in ("--set", value)),
        ]
    )
    cases = result_of(file, "float16")["cases"]
    assert [case["case"] for case in cases] == ["float32", "bfloat16"]
    assert cases[0]["auc"] == pytest.approx(cases[1]["auc"], abs=0.1)
    shown = capfd.readouterr().out.splitlines()[-2:]
    for line, case in zip(shown, cases, strict=True):
        assert line.startswith(f"{case['case']} ") and f"AUC {case['auc']:.4f}" in line


@pytest.mark.slow
def test_training_beside_trl(tiny_qwen3: Path, prepared: PreparedFolder, tmp_path: Path):
    file = tmp_path / "result.json"
    train_throughput.main(
        [
            *("--model", str(tiny_qwen3), "--prepared", str(prepared.path), "--dtype", "float32"),
            *("--steps", "1", "--rows", "40", "--batch", "1", "--processes", "1"),
            *("--work", str(tmp_path), "--result", str(file)),
            *("--cases", "trl_default", "interview", "interview, adapter in the top half"),
            *("--set", "train.pack_length=1280"),
        ]
    )
    trl, interview, top = result_of(file, "train_throughput")["cases"]
    # Its adapter is in one of two layers: three products with a weight instead of four.
    rates = [case["matrix_tflop_per_s"] / case["tokens_per_s"] for case in (top, interview)]
    assert rates[0] / rates[1] == pytest.approx(3 / 4)
    ratio = interview["examples_per_s"] / trl["examples_per_s"]
    assert interview["ratio_to_trl_default"] == pytest.approx(ratio)
    assert trl["examples_per_step"] == 8


@pytest.mark.slow
@pytest.mark.usefixtures("forked_launches")
def test_one_epoch_of_each_version(tiny_qwen3: Path, prepared: PreparedFolder, tmp_path: Path):
    file, config = tmp_path / "result.json", Path("short.yaml")
    for folder in (tmp_path, tmp_path / "earlier"):
        folder.mkdir(exist_ok=True)
        (folder / config).write_text(f"model:\n  name_or_path: {tiny_qwen3}\n", encoding="utf-8")
    values = ("train.max_steps=2", "train.pack_length=1280", "train.batch_size=1")
    values += ("data.max_train_examples=60", "data.max_eval_examples=20", "scoring.fusion=none")
    with contextlib.chdir(tmp_path):
        one_epoch.main(
            [
                *("--prepared", str(prepared.path), "--configs", str(config), "--times", "2"),
                *("--before", "earlier", "--work", "work", "--result", str(file)),
                *(word for value in values for word in ("--set", value)),
            ]
        )
    cases = result_of(file, "one_epoch")["cases"]
    assert [case["case"] for case in cases] == ["short, before", "short", "short, time 2"]
    assert {case["evaluations"] for case in cases} == {2}
    assert all(case["whole_command_seconds"] > 0 for case in cases)
