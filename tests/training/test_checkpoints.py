"""A damaged checkpoint is passed over, and a resumed run has the figures of a whole one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reeltune.config import Config
from reeltune.errors import FileError, RunError
from reeltune.files import file_digest, write_json
from reeltune.models.loaded_model import load_model
from reeltune.runs.folder import ADAPTER_WEIGHTS, CHECKSUMS_FILE, TRAINER_STATE, RunFolder
from reeltune.training.checkpoints import newest_whole
from reeltune.training.train import _space, train
from tests.errors import raises_error
from tests.runs import tiny_config

# A checkpoint every second step; losses are logged at the first and at every third one.
SETTINGS: dict[str, Any] = {
    "train__max_steps": 7,
    "train__batch_size": 2,
    "train__logging_steps": 3,
    "train__save_total_limit": 9,
    "train__learning_rate": 1e-3,
}


@pytest.fixture(scope="module")
def config(tiny_qwen3, prepared, tmp_path_factory) -> Config:
    return tiny_config(tiny_qwen3, prepared.path, tmp_path_factory.mktemp("whole"), **SETTINGS)


@pytest.fixture(scope="module")
def whole(config) -> Path:
    """A run that was never interrupted; read it, never write to it."""
    return train(config)


def interrupted(whole: Path, target: Path) -> RunFolder:
    """Copy a run as a kill just before its end, and a move of its folder, would leave it."""
    shutil.copytree(whole, target)
    run = RunFolder(target)
    for checkpoint in run.checkpoints():
        state, digests = read(checkpoint / TRAINER_STATE), read(checkpoint / CHECKSUMS_FILE)
        state["best_model_checkpoint"] = f"gone/checkpoint-{state['best_global_step']}"
        write_json(checkpoint / TRAINER_STATE, state)
        digests[TRAINER_STATE] = file_digest(checkpoint / TRAINER_STATE)
        write_json(checkpoint / CHECKSUMS_FILE, digests)
    run.write_record(run.record() | {"status": "running"})
    for path in target.iterdir():
        if path.is_file() and path.name not in ("run.json", "training.log"):
            path.unlink()
    return run


def resumed(config: Config, run: RunFolder) -> str:
    """Resume a run; return what it added to its log."""
    section = config.train.model_copy(update={"output_dir": run.path})
    before = len((run.path / "training.log").read_text())
    train(config.model_copy(update={"train": section}), resume=True)
    return (run.path / "training.log").read_text()[before:]


def read(path: Path) -> Any:
    return json.loads(path.read_text())


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "flipped bit": lambda path: flip(path, path.stat().st_size // 2),
    "folder": lambda path: (path.unlink(), path.mkdir()),
}
FILES = (
    ADAPTER_WEIGHTS,
    "adapter_config.json",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "training_args.bin",
    "tokenizer.json",
    "tokenizer_config.json",
    "prompt.json",
    TRAINER_STATE,
)


def flip(path: Path, index: int) -> None:
    content = bytearray(path.read_bytes())
    content[index] ^= 4
    path.write_bytes(content)


@pytest.fixture
def run(whole, tmp_path) -> RunFolder:
    return interrupted(whole, tmp_path / "run")


def names(checkpoints: list[Path]) -> list[str]:
    return [path.name for path in checkpoints]


@pytest.mark.slow
def test_every_file_of_a_checkpoint_has_a_checksum(whole):
    for checkpoint in RunFolder(whole).checkpoints():
        present = {path.name for path in checkpoint.iterdir()}
        assert set(FILES) < present
        assert read(checkpoint / CHECKSUMS_FILE).keys() == present - {CHECKSUMS_FILE}


@pytest.mark.parametrize("name", [*FILES, CHECKSUMS_FILE])
def test_a_damaged_file_is_named_and_its_checkpoint_passed_over(run, name):
    newest = run.path / "checkpoint-7"
    copy = run.path.parent / "copy"
    shutil.copytree(newest, copy)
    assert newest_whole(run) == (newest, {})
    for kind, damage in DAMAGES.items():
        if (name, kind) == (CHECKSUMS_FILE, "missing"):
            continue  # as in a checkpoint of version 0.1.0
        damage(newest / name)
        used, unusable = newest_whole(run)
        assert used == run.path / "checkpoint-6", kind
        assert unusable.keys() == {newest}
        assert name in unusable[newest] or (name, kind) == (CHECKSUMS_FILE, "flipped bit")
        shutil.rmtree(newest)
        shutil.copytree(copy, newest)


@pytest.mark.parametrize("name", FILES)
def test_without_checksums_what_the_formats_show_is_found(run, name):
    newest = run.path / "checkpoint-7"
    (newest / CHECKSUMS_FILE).unlink()
    copy = run.path.parent / "copy"
    shutil.copytree(newest, copy)
    assert newest_whole(run) == (newest, {})
    for kind, damage in DAMAGES.items():
        if name.startswith(("token", "training_args")) and kind == "missing":
            continue  # not read
        if kind == "flipped bit" and name != "optimizer.pt":
            continue  # it is in padding, or in a format without checksums
        if (name, kind) == (TRAINER_STATE, "missing"):
            continue  # an incomplete checkpoint
        damage(newest / name)
        used, unusable = newest_whole(run)
        assert used == run.path / "checkpoint-6", kind
        assert name in unusable[newest], kind
        shutil.rmtree(newest)
        shutil.copytree(copy, newest)


def test_a_checkpoint_whose_best_one_is_damaged_is_passed_over(run):
    best = read(run.path / "checkpoint-7" / TRAINER_STATE)["best_global_step"]
    assert best < 6
    flip(run.path / f"checkpoint-{best}" / ADAPTER_WEIGHTS, 700)
    used, unusable = newest_whole(run)
    assert used is None or int(used.name.rpartition("-")[2]) < best
    assert {run.path / "checkpoint-6", run.path / "checkpoint-7"} <= unusable.keys()


def test_a_checkpoint_of_another_run_is_passed_over(run):
    run.write_record(run.record() | {"started": "2026-01-01T00:00:00+00:00"})
    used, unusable = newest_whole(run)
    assert used is None
    assert len(unusable) == 4


def as_written_with_fsdp(checkpoint: Path) -> None:
    """Rename the optimizer's state, and add the file that FSDP writes beside it."""
    digests = read(checkpoint / CHECKSUMS_FILE)
    digests["optimizer.bin"] = digests["pytorch_model_fsdp.bin"] = digests.pop("optimizer.pt")
    shutil.copy(checkpoint / "optimizer.pt", checkpoint / "pytorch_model_fsdp.bin")
    (checkpoint / "optimizer.pt").rename(checkpoint / "optimizer.bin")
    write_json(checkpoint / CHECKSUMS_FILE, digests)


def test_a_checkpoint_is_resumed_by_the_kind_of_launch_that_wrote_it(run, monkeypatch):
    newest = run.path / "checkpoint-7"
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with raises_error(RunError, "resume_other_launch", where=str(run.path), figures=["without"]):
        newest_whole(run)
    as_written_with_fsdp(newest)
    assert newest_whole(run) == (newest, {})
    monkeypatch.delenv("ACCELERATE_USE_FSDP")
    with raises_error(RunError, "resume_other_launch", figures=["with FSDP"]):
        newest_whole(run)
    for name in ("optimizer.bin", "pytorch_model_fsdp.bin"):
        kept = (newest / name).rename(run.path / name)
        used, unusable = newest_whole(run)
        assert used == run.path / "checkpoint-6"
        assert name in unusable[newest]
        kept.rename(newest / name)


def test_a_finished_run_stays_as_it_is_under_another_launch(config, whole, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    train(config, resume=True)
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


@pytest.mark.parametrize("damage", ["cut optimizer", "no trainer state", "nothing", "all"])
@pytest.mark.slow
def test_a_resumed_run_has_the_adapter_and_the_figures_of_a_whole_one(damage, config, whole, run):
    expected, used = read(whole / "metrics.json"), {"nothing": 7, "all": None}.get(damage, 4)
    for step in (6, 7):
        checkpoint = run.path / f"checkpoint-{step}"
        if damage == "cut optimizer":
            DAMAGES["cut"](checkpoint / "optimizer.pt")
        if damage == "no trainer state":
            DAMAGES["missing"](checkpoint / TRAINER_STATE)
    if damage == "all":
        for checkpoint in run.checkpoints():
            DAMAGES["zeros"](checkpoint / ADAPTER_WEIGHTS)
    log = resumed(config, run)
    aside = {path.name for path in run.path.glob("unusable-*")}
    if used == 4:
        assert aside == {"unusable-checkpoint-6", "unusable-checkpoint-7"}
        file = "optimizer.pt" if damage == "cut optimizer" else TRAINER_STATE
        assert log.count(f" WARNING checkpoint-7 cannot be resumed from: {file} ") == 1
    assert (f"resuming from checkpoint-{used}" in log) == (used is not None)

    assert (run.path / ADAPTER_WEIGHTS).read_bytes() == (whole / ADAPTER_WEIGHTS).read_bytes()
    metrics = read(run.path / "metrics.json")
    assert metrics.keys() == expected.keys()
    for key in expected.keys() - {"train_seconds", "speed"}:
        assert metrics[key] == expected[key], key
    if used is not None:
        totals = read(run.path / f"checkpoint-{used}" / TRAINER_STATE)["stateful_callbacks"]
        earlier = totals["reeltune"]["args"]
        assert metrics["train_seconds"] > earlier["train_seconds"] > 0
        assert metrics["speed"]["steps_counted"] >= earlier["clock"][1]
        assert run.record()["seconds"] > earlier["seconds"] > earlier["train_seconds"]
        assert run.record()["started"] == RunFolder(whole).record()["started"]
        peak = run.record()["peak_memory"]["resident_gib"]
        assert peak >= earlier["peak_memory"]["resident_gib"] > 0
    last = run.path / "checkpoint-7"
    assert same(read(last / TRAINER_STATE), read(whole / "checkpoint-7" / TRAINER_STATE))
    # The last report of the killed process, after its last step, is not hidden.
    summary = {"train/train_loss", "train/total_flos", "train/epoch"} if used == 7 else set()
    shown, wanted = events(run.path), events(whole)
    assert shown.keys() == wanted.keys()
    for name in wanted.keys() - summary:
        assert shown[name] == wanted[name], name


TIMES = ("tokens_per_second", "peak_resident_gib", "train_runtime")


def same(state: dict[str, Any], other: dict[str, Any]) -> bool:
    """Compare two states of the trainer without paths and times."""
    for values in (state, other):
        values["stateful_callbacks"].pop("reeltune")
        values["best_model_checkpoint"] = Path(values["best_model_checkpoint"]).name
        for entry in values["log_history"]:
            for name in TIMES:
                entry.pop(name, None)
    assert state == other
    return True


def events(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Return what TensorBoard shows, by name, without times."""
    read = EventAccumulator(str(run / "logs"))
    read.Reload()
    timed = ("_per_second", "runtime", "gib")
    scalars = [name for name in read.Tags()["scalars"] if not name.endswith(timed)]
    return {name: [(e.step, e.value) for e in read.Scalars(name)] for name in scalars}


@pytest.mark.slow
def test_a_run_that_stopped_early_does_no_further_step(tiny_qwen3, prepared, tmp_path):
    stop = {"train__early_stopping_patience": 2, "train__early_stopping_min_delta": 1.0}
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path, **SETTINGS, **stop)
    whole = train(config)
    expected = read(whole / "metrics.json")
    assert (expected["steps"], expected["stopped_early"]) == (6, True)
    run = interrupted(whole, tmp_path / "interrupted")
    assert "resuming from checkpoint-6" in resumed(config, run)
    metrics = read(run.path / "metrics.json")
    for key in expected.keys() - {"train_seconds", "speed"}:
        assert metrics[key] == expected[key], key
    assert (run.path / ADAPTER_WEIGHTS).read_bytes() == (whole / ADAPTER_WEIGHTS).read_bytes()


@pytest.mark.slow
def test_a_run_that_filled_the_disk_can_be_resumed(config, whole, tmp_path, monkeypatch):
    section = config.train.model_copy(update={"output_dir": tmp_path / "run"})
    config = config.model_copy(update={"train": section})
    save = torch.save

    def fail(value: Any, file: Any, *args: Any, **kwargs: Any) -> None:
        if str(file).endswith("checkpoint-4/optimizer.pt"):
            raise RuntimeError("basic_ios::clear: iostream error")  # as on a full disk
        save(value, file, *args, **kwargs)

    monkeypatch.setattr(torch, "save", fail)
    with raises_error(FileError, "disk_full", where=str(section.output_dir), figures=[" MB "]):
        train(config)
    monkeypatch.undo()
    train(config, resume=True)
    assert (tmp_path / "run" / ADAPTER_WEIGHTS).read_bytes() == (
        whole / ADAPTER_WEIGHTS
    ).read_bytes()
    assert not (tmp_path / "run" / "unusable-checkpoint-4").exists()


@pytest.mark.slow
def test_far_too_little_space_ends_a_run_before_it_trains(config, tmp_path, monkeypatch):
    section = config.train.model_copy(update={"output_dir": tmp_path / "run"})
    monkeypatch.setattr(
        "reeltune.training.train.shutil.disk_usage", lambda _: SimpleNamespace(free=0, total=1e6)
    )
    with raises_error(FileError, "disk_full", where=str(section.output_dir), figures=[" MB "]):
        train(config.model_copy(update={"train": section}))
    assert not list(section.output_dir.glob("checkpoint-*"))


def test_the_space_of_a_run_has_every_copy_of_adapter_and_tokenizer(
    config, tiny_qwen3, monkeypatch
):
    loaded, adapter = load_model(config, trainable=True), 10**6
    checkpoints = config.train.save_total_limit + 1
    tokenizer = (tiny_qwen3 / "tokenizer.json").stat().st_size
    alone = _space(loaded, adapter)
    assert alone > (3 * checkpoints + 1) * adapter + (checkpoints + 1) * tokenizer
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert _space(loaded, adapter) == alone + checkpoints * adapter


@pytest.mark.slow
def test_totals_that_a_checkpoint_lacks_are_null(config, run):
    for name in ("checkpoint-6", "checkpoint-7"):
        shutil.rmtree(run.path / name)
    checkpoint = run.path / "checkpoint-4"
    (checkpoint / CHECKSUMS_FILE).unlink()
    state = read(checkpoint / TRAINER_STATE)
    del state["stateful_callbacks"]["reeltune"]
    (checkpoint / TRAINER_STATE).write_text(json.dumps(state))
    log = resumed(config, run)
    metrics = read(run.path / "metrics.json")
    assert (metrics["train_loss"], metrics["train_seconds"]) == (None, None)
    assert log.count(" WARNING the checkpoint is of version 0.1.0") == 1
