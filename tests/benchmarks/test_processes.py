"""The benchmark of several processes runs at a tiny size, and fails on differences."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import processes
from benchmarks.launching import Launch, finish
from benchmarks.render import problems, render
from reeltune.runs.folder import CHECKSUMS_FILE
from tests.helpers import write_prepared

TINY = """--processes 2 --parts rates weights --steps 5 --batch 1 --float32-steps 2 --eval-rows 20
--tolerance 1e-3 --set prompt.form=window --set train.block_size=8
--set train.pack_length=1024 --set lora.r=4 --set scoring.fusion=none"""


@pytest.mark.slow
@pytest.mark.usefixtures("forked_launches")
def test_it_writes_a_result(tiny_qwen3: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    # Enough users that no run reaches the end of an epoch, where rows are repeated.
    prepared = write_prepared(tmp_path / "prepared", users=24)
    file = tmp_path / "result.json"
    processes.main(
        f"--model {tiny_qwen3} --prepared {prepared} --work {tmp_path / 'work'} --result {file} "
        f"--note rough {TINY}".split()
    )
    # PyTorch warns if it searches for unused parameters and there are none.
    assert "find_unused_parameters" not in capfd.readouterr().err
    result = json.loads(file.read_text(encoding="utf-8"))
    assert problems(result) == []
    assert result["note"] == "rough"
    assert result["command"].startswith("python -m benchmarks.processes --model qwen3 --processes")
    assert str(tmp_path) not in json.dumps(result)
    cases = result["cases"]
    assert [(case["case"], case["processes"]) for case in cases] == [
        *(("train", 1), ("train", 2)),
        *(("train, float32", 1), ("train, float32, again", 1), ("train, float32", 2)),
    ]
    assert [case["steps_counted"] for case in cases[:2]] == [2, 2]
    single, several = (case["examples_per_s"] for case in cases[:2])
    assert [case["ratio_to_one_process"] for case in cases[:2]] == [1, several / single]
    assert [case["auc"] for case in cases[3:]] == pytest.approx([cases[2]["auc"]] * 2)
    float32 = [pair for pair in result["adapters"] if pair["case"] == "train, float32"]
    assert [pair["compared"] for pair in float32] == ["1 process and 1 again", "2 processes and 1"]
    assert all(pair["share_of_the_change"] < 1e-3 for pair in float32)
    tables = (cases, result["adapters"])
    assert render("processes", result).count("\n|") == sum(2 + len(rows) for rows in tables)


def without_commands(monkeypatch: pytest.MonkeyPatch, **replaced: Any) -> None:
    """Replace the commands, and some functions that read their output."""
    monkeypatch.setattr(Launch, "run", lambda *_: 1.0)
    monkeypatch.setattr(Launch, "start", lambda *_: None)
    monkeypatch.setattr(processes, "finish", lambda *_: None)
    monkeypatch.setattr(processes, "write_pairs", lambda *_: None)
    monkeypatch.setattr(processes, "nodes", lambda count: nullcontext(f"host:{count}"))
    monkeypatch.setattr(processes, "rate", lambda _, nodes: 2.0 * nodes)
    monkeypatch.setattr(processes, "training_rates", lambda *_: [{"case": "train"}] * 2)
    monkeypatch.setattr(processes, "validation_auc", lambda _: 0.5)
    for name, function in replaced.items():
        monkeypatch.setattr(processes, name, function)


def run_benchmark(tmp_path: Path, *more: str) -> dict[str, Any]:
    """Return the result and, under "error", the message it ended with."""
    file = tmp_path / "result.json"
    words = f"--model m --prepared p --work {tmp_path} --result {file} --tolerance 0.01".split()
    error = None
    try:
        processes.main([*words, *more])
    except SystemExit as stopped:
        error = str(stopped)
    return {**json.loads(file.read_text(encoding="utf-8")), "error": error}


@pytest.mark.parametrize(("difference", "error"), [(0.009, None), (0.02, "0.02")])
def test_predictions_that_differ_are_an_error(
    difference: float, error: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    without_commands(monkeypatch, largest_difference=lambda *_: {"largest_difference": difference})
    ran: list[str] = []
    monkeypatch.setattr(Launch, "run", lambda _, *words: ran.append(words[-1]) or 1.0)
    monkeypatch.setattr(processes, "settings", lambda *_: [])
    result = run_benchmark(tmp_path, "--parts", "nodes", "--nodes", "1", "3")
    assert ran[1:] == ["host:1", "host:3"]
    assert (result["error"] is None) == (error is None)
    assert error is None or error in result["error"]
    assert result["predictions"][0]["largest_difference"] == difference
    cases = [(case["case"], case["ratio_to_one_process"]) for case in result["cases"]]
    assert cases == [("score", 1), ("score, Ray", 1), ("score, Ray", 3)]


@pytest.mark.parametrize(
    ("again", "several", "error"),
    [
        (0.0, 0.009, None),
        (0.0, 0.02, "0.02"),
        (0.02, 0.03, None),  # two runs in one process differ as much
        (0.02, 0.05, "0.05"),
    ],
)
def test_weights_that_differ_are_an_error(
    again: float,
    several: float,
    error: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    def difference(first: Path, second: Path) -> dict[str, float]:
        assert first.name == "float32-1"
        return {"share_of_the_change": again if second.name == "again-1" else several}

    without_commands(monkeypatch, weight_difference=difference)
    actual = run_benchmark(tmp_path, "--parts", "weights")["error"]
    assert (actual is None) == (error is None)
    assert error is None or error in actual


@pytest.mark.parametrize(
    ("code", "saved", "passes"), [(1, False, False), (0, True, False), (-15, True, True)]
)
def test_a_run_is_resumed_only_if_it_was_terminated_after_its_checkpoint(
    code: int, saved: bool, passes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    checkpoint = tmp_path / "resumed-2" / "checkpoint-12"

    def start(*_: Any) -> Any:
        assert not checkpoint.exists()  # that of an earlier call
        if saved:
            checkpoint.mkdir(parents=True)
            (checkpoint / CHECKSUMS_FILE).touch()
        ended = None if saved else code
        return SimpleNamespace(poll=lambda: ended, terminate=lambda: None, wait=lambda: code)

    without_commands(
        monkeypatch,
        sharded_rates=lambda **_: [],
        largest_loss_difference=lambda *_: 0.0,
        weight_difference=lambda *_: {"share_of_the_change": 0.0},
    )
    monkeypatch.setattr(Launch, "start", start)
    resumed: list[bool] = []
    monkeypatch.setattr(Launch, "run", lambda _, *words: resumed.append("--resume" in words) or 1.0)
    checkpoint.mkdir(parents=True)
    (checkpoint / CHECKSUMS_FILE).touch()
    words = f"--model m --prepared p --work {tmp_path} --result {tmp_path / 'r.json'} --parts fsdp"
    with nullcontext() if passes else pytest.raises(SystemExit, match="resumed-2"):
        processes.main(words.split())
    assert resumed == [False, False, *[True] * passes]


def test_a_single_process_accumulates_the_batches_of_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ran: list[tuple[int, list[str]]] = []
    without_commands(monkeypatch, weight_difference=lambda *_: {"share_of_the_change": 0.0})
    monkeypatch.setattr(
        Launch, "run", lambda self, *words: ran.append((self.processes, [*map(str, words)])) or 1.0
    )
    run_benchmark(tmp_path, "--parts", "rates", "--processes", "3", "--batch", "4")
    batches = [
        (count, [word for word in words if "batch_size" in word or "accumulation" in word])
        for count, words in ran
        if words[0] == "train"
    ]
    size = "train.batch_size=4"
    assert batches == [
        (1, [size, "train.gradient_accumulation_steps=3"]),
        (3, [size, "train.gradient_accumulation_steps=1"]),
    ]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--model m --steps 3", ["--steps", "3"]),
        ("--model m --processes 1", ["--processes", "2"]),
        ("", ["--model", "--tokenizer"]),
    ],
)
def test_invalid_options_are_refused(
    words: str, named: list[str], capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        processes.main(["--prepared", "p", *words.split()])
    # The last line is the error, below the usage.
    error = capsys.readouterr().err.splitlines()[-1]
    assert all(word in error for word in named)


def test_a_failed_command_ends_the_benchmark(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match=r"\b2$"):
        finish(Launch(1).start("no-such-command"))
    capfd.readouterr()
