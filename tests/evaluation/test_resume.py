"""A killed evaluation resumes with equal predictions, and never with those of anything else."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from reeltune.baselines.score import BASELINES
from reeltune.cli import main
from reeltune.config import Config
from reeltune.data.folder import PreparedFolder
from reeltune.errors import RunError
from reeltune.evaluation.ablations import UNALTERED
from reeltune.evaluation.collect import CollectedPredictions, collect_predictions
from reeltune.evaluation.evaluate import evaluate as evaluate_predictions
from reeltune.evaluation.model_predictions import PARTIAL_FOLDER, state_digest
from reeltune.evaluation.predictions import read_predictions
from reeltune.locks import exclusive
from reeltune.models.loaded_model import LoadedModel, load_model
from reeltune.prompts.sequences import Sequences
from reeltune.report.save_evaluation import predictions_key
from reeltune.scoring.scorer import Progress, Scorer
from reeltune.training.train import train
from tests import forked
from tests.errors import error_code
from tests.locked import elsewhere
from tests.runs import tiny_config, tiny_overrides

CHANGES = {
    "scoring__tokens_per_batch": 16,
    "evaluation__baselines": False,
    "evaluation__ablation_examples": 8,
    "evaluation__bootstrap_samples": 20,
}


@pytest.fixture(scope="module")
def run(tiny_qwen3, prepared, tmp_path_factory) -> tuple[Path, list[str]]:
    """A trained run and its overrides."""
    work = tmp_path_factory.mktemp("resumed")
    folder = train(tiny_config(tiny_qwen3, prepared.path, work, train__max_steps=2, **CHANGES))
    return folder, tiny_overrides(tiny_qwen3, prepared.path, work, **CHANGES)


@pytest.fixture
def load(run, tiny_qwen3, prepared, tmp_path):
    def loaded(**changes) -> LoadedModel:
        config = tiny_config(tiny_qwen3, prepared.path, tmp_path, **(CHANGES | changes))
        return load_model(config, run[0], calibrated=False)

    return loaded


def count_shards(patch: pytest.MonkeyPatch) -> list[int]:
    """Return where the predictions of each shard that a model computes are listed from now on."""
    counts: list[int] = []
    score = Scorer.score

    def counting(self: Scorer, sequences: Sequences, progress=None, **options):
        if progress is not None:
            counts.append(sequences.answer_count)
        return score(self, sequences, progress, **options)

    patch.setattr(Scorer, "score", counting)
    return counts


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The predictions of each shard that a model computes; checks are not counted."""
    return count_shards(monkeypatch)


class Whole(NamedTuple):
    """Predictions that were collected without interruption, and the folder with their shards."""

    collected: CollectedPredictions
    shards: list[int]
    folder: Path

    def copied(self, folder: Path) -> CollectedPredictions:
        """Copy the shards to a folder, as if they had been collected into it."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return self.collected


@pytest.fixture(scope="module")
def whole(run, tiny_qwen3, prepared, tmp_path_factory) -> Whole:
    folder = tmp_path_factory.mktemp("shards")
    loaded = load_model(tiny_config(tiny_qwen3, prepared.path, folder, **CHANGES), run[0])
    with pytest.MonkeyPatch.context() as patch:
        shards = count_shards(patch)
        return Whole(collect(loaded, folder), list(shards), folder)


def collect(loaded: LoadedModel, folder: Path | None) -> CollectedPredictions:
    return collect_predictions(loaded, "test", lambda name: lambda *_: None, folder=folder)


def arrays(collected: CollectedPredictions) -> list[np.ndarray]:
    return [*collected.validation.p_yes.values(), *collected.reported.p_yes.values()]


def equal(one: CollectedPredictions, other: CollectedPredictions) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(other), strict=True))


def interrupt_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    score, left = Scorer.score, [count]

    def failing(self: Scorer, sequences: Sequences, progress=None, **options):
        if progress is not None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        return score(self, sequences, progress, **options)

    monkeypatch.setattr(Scorer, "score", failing)


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 5])
def test_finished_shards_are_not_computed_again(
    load, whole, scored, tmp_path, monkeypatch, count: int
):
    loaded, shards = load(), whole.shards
    assert len(shards) > 6
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(count, patch)
        collect(loaded, tmp_path / "killed")
    scored.clear()
    resumed = collect(loaded, tmp_path / "killed")
    assert scored == shards[count:]
    assert equal(resumed, whole.collected)
    assert [info.seconds is None for info in resumed.scorers.values()] == [count > 0, False]
    scored.clear()
    assert equal(collect(loaded, tmp_path / "killed"), whole.collected)
    assert scored == []


@pytest.mark.slow
def test_damaged_shards_are_computed_again_in_one_line_each(load, whole, scored, tmp_path, caplog):
    loaded, expected = load(), whole.copied(tmp_path)
    files = sorted((tmp_path / PARTIAL_FOLDER).iterdir())
    content = files[3].read_bytes()
    files[0].write_bytes(files[0].read_bytes()[:-9])
    files[1].write_bytes(bytes(files[1].stat().st_size))
    files[2].write_bytes(b"")
    files[3].write_bytes(content[:-40] + bytes(8) + content[-32:])
    shutil.copy(files[4], files[5])  # whole, but of other rows or another model
    caplog.clear()
    assert equal(collect(loaded, tmp_path), expected)
    assert len(scored) == len([r for r in caplog.records if r.levelname == "WARNING"]) == 5
    scored.clear()
    assert equal(collect(loaded, tmp_path), expected)
    assert scored == []


@pytest.mark.slow
def test_an_evaluation_is_refused_while_another_writes_or_the_run_is_trained(
    run, scored, tmp_path, capsys
):
    folder, overrides = run
    for used in (tmp_path / "out", folder):
        with elsewhere(exclusive, used), pytest.raises(SystemExit) as left:
            main(evaluate(overrides, tmp_path / "out"))
        assert left.value.code == RunError.exit_code
        assert error_code(capsys.readouterr().err) == "folder_in_use"
    assert scored == []
    assert not any(path.name.startswith(".") for path in (*folder.iterdir(), *tmp_path.iterdir()))


@pytest.mark.slow
def test_one_shard_is_as_many_up_to_rounding(load, whole):
    for one, other in zip(arrays(collect(load(), None)), arrays(whole.collected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"scoring__share_history": False}, {"scoring__tokens_per_batch": 20}]
)
def test_shards_of_other_settings_are_not_used(load, whole, scored, tmp_path, changes):
    whole.copied(tmp_path)
    fresh = collect(load(**changes), None)
    expected = sum(scored)
    scored.clear()
    resumed = collect(load(**changes), tmp_path)
    assert sum(scored) == expected == 2 * (len(resumed.reported) + len(resumed.validation))
    for one, other in zip(arrays(resumed), arrays(fresh), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_sample_gets_the_predictions_of_its_rows(load, whole, scored, tmp_path):
    """Shards with the same rows are used, others are not."""
    whole.copied(tmp_path)
    changes = {"evaluation__max_examples": 9, "train__seed": 5}
    resumed, fresh = (collect(load(**changes), folder) for folder in (tmp_path, None))
    assert sum(scored) > 2 * (9 + 9)
    for one, other in zip(arrays(resumed), arrays(fresh), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_shards_of_another_adapter_are_not_used(load, whole, scored, tmp_path):
    before = whole.copied(tmp_path)
    other = load()
    weight = next(p for name, p in other.model.named_parameters() if "lora_B" in name)
    with torch.no_grad():
        weight[0, 0] += 0.5
    after = collect(other, tmp_path)
    assert sum(scored) == sum(whole.shards)
    assert not equal(before, after)


def test_the_digest_of_weights_depends_on_every_tensor_and_on_the_scaling(load):
    model = load().model
    digests = {state_digest(model)}
    for tensor in list(model.state_dict().values())[::7]:
        with torch.no_grad():
            tensor.view(-1)[-1] += 1
        digests.add(state_digest(model))
    assert len(digests) == 1 + len(list(model.state_dict().values())[::7])
    layers = (getattr(module, "scaling", None) for module in model.modules())
    scaling = next(each for each in layers if isinstance(each, dict))
    before = state_digest(model)
    scaling["default"] *= 2
    assert state_digest(model) != before


@pytest.mark.slow
def test_the_limit_bounds_reported_and_validation_rows(load):
    collected = collect(load(evaluation__max_examples=9), None)
    assert (len(collected.reported), len(collected.validation)) == (9, 9)
    limits = {"evaluation__max_examples": 9, "evaluation__validation_examples": 5}
    assert len(collect(load(**limits), None).validation) == 5
    limits = {"evaluation__max_examples": 5, "evaluation__validation_examples": 9}
    assert len(collect(load(**limits), None).validation) == 5


def work_line(caplog: pytest.LogCaptureFixture) -> str:
    """The line that names the work, logged before anything is scored."""
    (line,) = [r.getMessage() for r in caplog.records if r.funcName == "_log_work"]
    return line


@pytest.mark.slow
def test_the_log_names_rows_models_and_tokens_before_scoring(load, tmp_path, caplog):
    caplog.set_level("INFO", logger="reeltune")
    loaded = load()
    collected = collect(loaded, tmp_path)
    rows = (len(collected.validation), len(collected.reported))
    sequences = [loaded.held_out(split, None).rows.sequences for split in ("validation", "test")]
    tokens = 2 * sum(len(each.ids.values) for each in sequences)
    for figure in (*rows, f" {2 * sum(rows):,} ", f" {tokens:,} ", "tuned", "base"):
        assert str(figure) in work_line(caplog)
    caplog.clear()
    collect(loaded, tmp_path)
    assert f" {2 * sum(rows):,} " not in work_line(caplog)
    assert " 0 " in work_line(caplog)


@pytest.mark.slow
@pytest.mark.usefixtures("little_boosting")
def test_every_phase_reports_its_progress(load, caplog):
    """Off a terminal, the heartbeat repeats the last line while a phase is silent."""
    caplog.set_level("INFO", logger="reeltune")
    loaded = load(evaluation__baselines=True)
    tasks: dict[str, list[int]] = {}

    def progress_for(name: str) -> Progress:
        return lambda done, total: tasks.setdefault(name, []).append(done)

    collected = collect_predictions(loaded, "test", progress_for)
    evaluation = evaluate_predictions(loaded, collected, progress_for)
    assert evaluation.gain is not None
    (expected,) = [d.metrics for d in evaluation.differences if d.other == "base"]
    assert evaluation.gain.difference == expected
    assert next(iter(tasks)) == "tuned and base"
    scored = sum(len(rows) for rows in (collected.validation, collected.reported))
    assert tasks["tuned and base"][-1] == 2 * scored
    assert {UNALTERED, "history shuffled"} <= set(tasks)
    assert all(done == sorted(done) and done[-1] > 0 for done in tasks.values())
    text = caplog.text
    assert all(f"fitting baseline: {name}" in text for name in BASELINES)
    assert "intervals (20 bootstrap samples, " in text


def evaluate(overrides: list[str], output: Path) -> list[str]:
    sets = [part for override in overrides for part in ("--set", override)]
    return ["evaluate", "--config", os.devnull, *sets, "--output", str(output)]


def kill_after(count: int) -> None:
    """Kill this process once a model has computed some shards."""
    score, left = Scorer.score, [count]

    def killing(self: Scorer, sequences: Sequences, progress=None, **options):
        if progress is not None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return score(self, sequences, progress, **options)

    Scorer.score = killing  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def completed(run, tmp_path_factory) -> tuple[Path, list[int]]:
    """The folder of a command that was not killed, and the predictions of each shard."""
    folder = tmp_path_factory.mktemp("completed")
    with pytest.MonkeyPatch.context() as patch:
        shards = count_shards(patch)
        with pytest.raises(SystemExit):
            main(evaluate(run[1], folder))
    assert not (folder / PARTIAL_FOLDER).exists()
    return folder, shards


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["models", "ablations"])
def test_a_killed_command_resumes(run, completed, scored, tmp_path, phase: str):
    (_, overrides), (completed_folder, shards) = run, completed
    count = 3 if phase == "models" else len(shards) - 2
    killed = forked.Popen(
        [sys.executable, "-m", "reeltune", *evaluate(overrides, tmp_path / "killed")],
        stdout=forked.PIPE,
        stderr=forked.STDOUT,
        before=partial(kill_after, count),
    )
    shown, _ = killed.communicate(300)
    assert killed.returncode == -9, shown
    assert len(list((tmp_path / "killed" / PARTIAL_FOLDER).glob("*.npy"))) == count
    with pytest.raises(SystemExit) as left:
        main(evaluate(overrides, tmp_path / "killed"))
    assert not left.value.code
    assert scored == shards[count:]
    whole, resumed = (
        read_predictions(folder / "predictions.parquet")
        for folder in (completed_folder, tmp_path / "killed")
    )
    for split, rows in whole.items():
        for name, p_yes in rows.p_yes.items():
            assert np.array_equal(resumed[split].p_yes[name], p_yes)
    assert not (tmp_path / "killed" / PARTIAL_FOLDER).exists()


def test_predictions_of_a_base_model_depend_on_the_length_of_histories(prepared):
    settings, config = prepared.prompt_settings, Config()
    longer = PreparedFolder(
        prepared.path,
        {**prepared.meta, "settings": {**prepared.meta["settings"], "history_len": 99}},
    )
    keys = [
        predictions_key(LoadedModel(config, folder, None, None, settings), None)  # type: ignore[arg-type]
        for folder in (prepared, longer)
    ]
    assert keys[1].changed_from(keys[0].parts) == ["history"]
