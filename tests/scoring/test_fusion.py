"""The fusion of a trained run: kept beside the adapter, used by queries and by evaluation alike."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import shutil
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit

from reeltune.cli import main
from reeltune.config import load_config
from reeltune.data.history import History
from reeltune.errors import ModelError, RunError
from reeltune.evaluation.collect import CollectedPredictions, collect_predictions
from reeltune.evaluation.model_predictions import (
    BASE,
    SHIPPED,
    TUNED,
    WITH_MODEL,
    WITHOUT_MODEL,
)
from reeltune.models.calibration import load_calibration
from reeltune.models.loaded_model import LoadedModel, load_model
from reeltune.runs.folder import ADAPTER_WEIGHTS, RunFolder
from reeltune.runs.log import LOGGER
from reeltune.scoring import fusion as module
from reeltune.scoring.combiner import Combination
from reeltune.scoring.fusion import (
    ARRAYS_FILE,
    FUSION_FILE,
    Fusion,
    Parts,
    describe,
    event_inputs,
    fit_fusion,
    fusion_key,
    load_fusion,
    write_fusion,
)
from reeltune.scoring.predictor import Predictor, Query
from reeltune.training import fusion_parts
from reeltune.training import train as training
from reeltune.training.fusion_parts import parts_process, validation_events
from reeltune.training.train import train
from tests import forked
from tests.errors import raises_error
from tests.runs import tiny_config, tiny_overrides

SETTINGS: dict[str, Any] = {
    "scoring__fusion": "auto",
    # Events and queries have the same prompts.
    "scoring__share_history": False,
    "train__share_history": False,
    "prompt__signals": "[recent, expected]",
    "evaluation__baselines": False,
    "evaluation__ablation_examples": 0,
    "evaluation__bootstrap_samples": 20,
}

pytestmark = pytest.mark.slow

PARTS_BESIDE = training._parts_beside


@pytest.fixture(scope="module", autouse=True)
def few_rows():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MIN_ROWS", 10)
        yield


@pytest.fixture(scope="module")
def run(tiny_qwen3, prepared, tmp_path_factory, few_rows) -> tuple[Path, list[str]]:
    """A run with a fusion with the model, which may not be better on few rows; and overrides."""
    work = tmp_path_factory.mktemp("fused")
    with pytest.MonkeyPatch.context() as patch:  # as on a GPU, and nowhere else
        patch.setattr(training, "_parts_beside", lambda *_, **__: parts_process())
        patch.delattr(module.Parts, "fit")
        folder = train(tiny_config(tiny_qwen3, prepared.path, work, **SETTINGS))
    fusion = load_fusion(folder)
    assert fusion is not None
    losses = {**fusion.validation, "without_model": fusion.validation["fusion"] + 0.1}
    write_fusion(folder, replace(fusion, used=True, validation=losses))
    return folder, tiny_overrides(tiny_qwen3, prepared.path, work, **SETTINGS)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    LOGGER.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, LOGGER.name):
        yield caplog
    LOGGER.removeHandler(caplog.handler)


@pytest.fixture(scope="module")
def loaded(run) -> LoadedModel:
    return load_model(load_config(None, run[1]), run[0])


@pytest.fixture(scope="module")
def collected(loaded) -> CollectedPredictions:
    return collect_predictions(loaded, "test", lambda _: None)


def copied(loaded: LoadedModel, target: Path) -> LoadedModel:
    """Return the model with a copy of its run's folder, whose files may be changed."""
    assert loaded.adapter is not None
    shutil.copytree(loaded.adapter, target)
    return replace(loaded, adapter=target)


def queries(loaded: LoadedModel, events: np.ndarray) -> list[Query]:
    """Return each event as a query: its user's ratings before it, at its time."""
    known = loaded.folder.ratings
    asked = []
    for event in events.tolist():
        before = range(event - int(known.position[event]), event)
        history = History.from_timelines(known, before, int(known.user_id[event]))
        candidates = known.item_idx[[event]].astype(np.int64)
        asked.append(Query(history, candidates, asked_at=known.timestamp[[event]]))
    return asked


def log_of(predictor_of: LoadedModel, logged: pytest.LogCaptureFixture) -> str:
    assert Predictor(predictor_of).fusion is None
    return logged.text


def test_training_fits_it_on_the_validation_rows_of_the_kept_step(run, loaded, prepared):
    fusion = load_fusion(run[0])
    assert fusion is not None
    assert fusion.rows == prepared.counts["validation"]
    assert fusion.key == fusion_key(loaded)
    named = ["model", "boosting", "sequence", "recent", "expected", "intercept"]
    assert list(fusion.full.weights) == named
    assert list(fusion.without_model.weights) == list(fusion.full.weights)[1:]
    best = json.loads((run[0] / "metrics.json").read_text())["best"]
    assert fusion.validation["model"] == pytest.approx(best["eval_log_loss"], abs=1e-6)


def test_a_run_interrupted_in_its_fusion_is_resumed(tiny_qwen3, prepared, tmp_path, monkeypatch):
    config, wanted = tiny_config(tiny_qwen3, prepared.path, tmp_path, **SETTINGS), {}

    def interrupt(_: Path, record: dict[str, Any]) -> None:
        wanted.update(record)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "write_json", interrupt)  # the last file of the fusion
        train(config)
    folder = config.train.output_dir
    weights = (folder / ADAPTER_WEIGHTS).read_bytes()
    assert not RunFolder(folder).finished and load_fusion(folder) is None
    with raises_error(RunError, "run_exists"):
        train(config)
    train(config, resume=True)
    assert RunFolder(folder).finished and load_fusion(folder) is not None
    assert json.loads((folder / FUSION_FILE).read_text()) == wanted
    assert (folder / ADAPTER_WEIGHTS).read_bytes() == weights


def test_the_shipped_predictor_is_first_and_each_query_has_its_p_yes(loaded, collected):
    assert list(collected.scorers) == [SHIPPED, TUNED, BASE, WITHOUT_MODEL]
    assert not collected.new_fusion
    predictor = Predictor(loaded)
    assert predictor._scorer.model is not loaded.model
    asked = queries(loaded, collected.reported.event)
    fused = np.concatenate([found.p_yes for found in predictor.predict(asked)])
    np.testing.assert_allclose(fused, collected.reported.p_yes[SHIPPED], atol=1e-5)
    assert np.abs(fused - collected.reported.p_yes[TUNED]).max() > 0.01
    base = np.concatenate([found.p_yes for found in predictor.predict(asked, base=True)])
    np.testing.assert_allclose(base, collected.reported.p_yes[BASE], atol=1e-5)


def test_validation_rows_have_cross_fitted_predictions(loaded, collected):
    rows, fusion = collected.validation, collected.fusion
    assert fusion is not None
    inputs = event_inputs(loaded, fusion.parts, rows.event, rows.p_yes[TUNED])
    expected = expit(fusion.full.log_odds(inputs, rows.user_id))
    np.testing.assert_array_equal(rows.p_yes[SHIPPED], expected)
    reported = collect_predictions(loaded, "validation", lambda _: None).reported
    np.testing.assert_allclose(reported.p_yes[SHIPPED], expected, atol=1e-6)
    losses = -np.log(np.where(rows.liked, expected, 1 - expected))
    assert fusion.validation["fusion"] == pytest.approx(losses.mean(), abs=1e-6)


def test_a_moved_run_has_its_fusion_and_no_fusion_leaves_the_model_alone(
    loaded, collected, tmp_path
):
    moved = copied(loaded, tmp_path / "moved")
    asked = queries(loaded, collected.reported.event[:5])
    fused = [found.p_yes for found in Predictor(moved).predict(asked)]
    np.testing.assert_allclose(
        np.concatenate(fused), collected.reported.p_yes[SHIPPED][:5], atol=1e-5
    )
    scoring = loaded.config.scoring.model_copy(update={"fusion": "none"})
    config = loaded.config.model_copy(update={"scoring": scoring})
    alone = [found.p_yes for found in Predictor(replace(moved, config=config)).predict(asked)]
    np.testing.assert_allclose(
        np.concatenate(alone), collected.reported.p_yes[TUNED][:5], atol=1e-5
    )


@pytest.mark.parametrize("name", ["adapter", "data", "form", "layout"])
def test_for_other_weights_data_or_prompts_the_model_alone_answers(
    loaded, tmp_path, logged, name: str
):
    other = copied(loaded, tmp_path / "other")
    fusion = load_fusion(tmp_path / "other")
    assert fusion is not None
    write_fusion(tmp_path / "other", replace(fusion, key={**fusion.key, name: "0" * 64}))
    assert f"no fusion (it was fitted for other {name}): the model alone" in log_of(other, logged)


def test_without_one_or_if_it_was_not_better_the_model_alone_answers(loaded, tmp_path, logged):
    other = copied(loaded, tmp_path / "other")
    assert other.adapter is not None
    fusion = load_fusion(other.adapter)
    assert fusion is not None
    write_fusion(other.adapter, replace(fusion, used=False))
    assert "not clearly better" in log_of(other, logged)
    scored = collect_predictions(other, "test", lambda _: None)
    assert list(scored.scorers) == [TUNED, BASE] and scored.fusion is not None
    write_fusion(other.adapter, None)
    assert not (other.adapter / ARRAYS_FILE).exists()
    assert "there is none" in log_of(other, logged)
    assert collect_predictions(other, "test", lambda _: None).new_fusion


def test_a_model_that_does_not_help_is_left_out_and_not_run(loaded, collected, tmp_path):
    other = copied(loaded, tmp_path / "other")
    fusion = load_fusion(tmp_path / "other")
    assert fusion is not None and fusion.uses_model
    losses = {**fusion.validation, "without_model": fusion.validation["fusion"] - 0.1}
    write_fusion(tmp_path / "other", replace(fusion, validation=losses))
    scored = collect_predictions(other, "test", lambda _: None)
    assert list(scored.scorers) == [SHIPPED, TUNED, BASE, WITH_MODEL]
    for now, before in ((SHIPPED, WITHOUT_MODEL), (WITH_MODEL, SHIPPED)):
        p_yes = scored.reported.p_yes[now]
        np.testing.assert_allclose(p_yes, collected.reported.p_yes[before], atol=1e-6)
    predictor = Predictor(other)
    assert predictor._scorer.model is other.model  # no merged copy of what is not run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictor._scorer, "score", None)
        found = predictor.predict(queries(other, scored.reported.event))
    p_yes = np.concatenate([each.p_yes for each in found])
    np.testing.assert_allclose(p_yes, scored.reported.p_yes[SHIPPED], atol=1e-5)
    assert scored.fusion is not None
    shipped, other_fit = describe(scored.fusion.summary())
    assert "model" not in shipped.split(", without the model")[0] and "does not help" in other_fit


def test_as_baselines_the_parts_are_not_fitted_again(loaded, collected):
    scored = collect_predictions(with_baselines(loaded), "test", lambda _: None)
    given = [scored.scorers[name] for name in ("gradient boosting with signals", "sequence model")]
    assert [info.seconds for info in given] == [None, None]
    config = with_baselines(loaded).config
    scoring = config.scoring.model_copy(update={"fusion": "none"})
    fitted = replace(loaded, config=config.model_copy(update={"scoring": scoring}))
    again = collect_predictions(fitted, "test", lambda _: None)
    assert set(again.scorers) == set(scored.scorers) - {SHIPPED, WITHOUT_MODEL}
    for name in again.scorers.keys() - {TUNED}:
        for table, other in (
            (again.validation, scored.validation),
            (again.reported, scored.reported),
        ):
            np.testing.assert_allclose(
                table.p_yes[name], other.p_yes[name], atol=1e-6, err_msg=name
            )


def with_baselines(loaded: LoadedModel) -> LoadedModel:
    section = loaded.config.evaluation.model_copy(update={"baselines": True})
    return replace(loaded, config=loaded.config.model_copy(update={"evaluation": section}))


def test_fewer_events_in_prompts_than_prepared_leave_the_model_alone(loaded):
    assert Predictor(loaded, loaded.folder.history_len - 1).fusion is None


@pytest.mark.parametrize(
    ("file", "content", "code"),
    [
        (FUSION_FILE, b"{", "fusion_damaged"),
        (FUSION_FILE, b'{"format_version": 1}', "fusion_damaged"),
        (FUSION_FILE, b'{"format_version": 99}', "fusion_damaged"),
        (ARRAYS_FILE, b"PK", "fusion_damaged"),
        (ARRAYS_FILE, None, "fusion_damaged"),
    ],
)
def test_damaged_files_are_an_error_with_the_remedy(loaded, tmp_path, file, content, code):
    other = copied(loaded, tmp_path / "other")
    if content is None:
        (tmp_path / "other" / file).unlink()
    else:
        (tmp_path / "other" / file).write_bytes(content)
    with pytest.raises(ModelError) as raised:
        Predictor(other)
    assert raised.value.code == code
    assert "reeltune evaluate" in str(raised.value) and "--no-fusion" in str(raised.value)
    assert collect_predictions(other, "test", lambda _: None).new_fusion


@pytest.mark.parametrize("least", [9, 10**6])
def test_the_command_of_the_remedy_works_as_printed(run, tmp_path, monkeypatch, least):
    """It fits another fusion and the calibration, or removes what it cannot replace."""
    monkeypatch.setattr(module, "MIN_ROWS", least)
    monkeypatch.chdir(tmp_path)  # without a configuration that names the data
    adapter = shutil.copytree(run[0], tmp_path / "a run")
    (adapter / FUSION_FILE).write_text("{")
    with raises_error(ModelError, "fusion_damaged") as damaged:
        load_fusion(adapter)
    with raises_error(ModelError, "calibration_missing") as missing:
        load_calibration(adapter)
    command, other = (
        str(raised.value.hint).removeprefix("Run: ").partition(", or ")[0]
        for raised in (damaged, missing)
    )
    assert command == other
    with pytest.raises(SystemExit) as left:
        main(shlex.split(command)[1:])
    assert not left.value.code
    assert (load_fusion(adapter) is None) == (least == 10**6)
    load_calibration(adapter)


def test_an_earlier_name_of_a_signal_is_translated(run, tmp_path):
    fusion = load_fusion(run[0])
    assert fusion is not None

    def kept_as(name: str) -> Fusion | None:
        """Keep and read the fusion as if its signal recent had this name."""
        boosting = fusion.parts.boosting
        settings, record = (
            json.loads(json.dumps(each).replace('"recent"', f'"{name}"'))
            for each in (boosting.settings, fusion.summary())
        )
        parts = fusion.parts._replace(boosting=replace(boosting, settings=settings))
        full, rest = (Combination(**record[each]) for each in ("full", "without_model"))
        write_fusion(tmp_path, replace(fusion, full=full, without_model=rest, parts=parts))
        return load_fusion(tmp_path)

    old, new = kept_as("film"), kept_as("item")
    assert old is not None and new is not None
    assert old.summary() == new.summary() and "item" in old.full.weights
    assert old.parts.boosting.settings == new.parts.boosting.settings


@pytest.mark.parametrize("liked", [True, False, None])
def test_few_rows_or_one_label_give_none(loaded, collected, liked):
    rows = collected.validation
    some = rows.liked == liked if liked is not None else np.arange(len(rows)) < 9
    assert fit_fusion(loaded, rows.event[some], rows.p_yes[TUNED][some]) is None


def test_the_command_reports_what_is_shipped(run, capsys):
    folder, overrides = run
    kept = (folder / FUSION_FILE).read_bytes()
    sets = [part for override in overrides for part in ("--set", override)]
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "--config", os.devnull, *sets])
    assert not left.value.code
    assert (folder / FUSION_FILE).read_bytes() == kept
    out = " ".join(capsys.readouterr().out.split())
    assert "AUC, shipped minus tuned" in out and "What the model adds: " in out
    written = json.loads((folder / "evaluation" / "metrics.json").read_text())
    pairs = [(each["scorer"], each["other"]) for each in written["differences"]]
    others = [BASE, WITHOUT_MODEL]
    assert pairs == [(SHIPPED, name) for name in (TUNED, *others)] + [(TUNED, n) for n in others]
    assert written["reliability"][0]["name"] == SHIPPED
    assert written["fusion"]["full"] == json.loads(kept)["full"]
    card = (folder / "README.md").read_text()
    auc = written["scorers"][0]["metrics"]["auc"]["value"]
    assert "### Fusion" in card and f"value: {auc}"[:14] in card
    report = (folder / "evaluation" / "report.html").read_text()
    assert "The shipped log-odds are" in report and "<h1>Shipped: " in report


def test_the_process_beside_the_training_fits_the_same_parts(run, loaded):
    kept = load_fusion(run[0])
    assert kept is not None
    event = validation_events(loaded.config, loaded.folder)
    seed = loaded.config.train.seed
    here = Parts.fit(loaded.folder, loaded.settings, event, seed).to_arrays()
    at_once = fusion_parts.fit(loaded.config, loaded.folder).to_arrays()
    beside = kept.parts.to_arrays()
    assert here.keys() == at_once.keys() == beside.keys()
    for name, values in here.items():
        np.testing.assert_array_equal(at_once[name], values)
        if values.dtype.kind == "f":
            np.testing.assert_allclose(beside[name], values, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(beside[name], values)


def test_gradient_boosting_waits_for_signals_and_the_sequence_model_does_not(loaded, monkeypatch):
    begun, order = threading.Event(), []
    monkeypatch.setattr(fusion_parts.SequenceModel, "fit", lambda *_: begun.set())
    monkeypatch.setattr(fusion_parts.BoostingModel, "fit", lambda *_: order.append("boosting"))
    fusion_parts.fit(loaded.config, loaded.folder, lambda: order.append(begun.wait(30)))
    assert order == [True, "boosting"]


def fit_beside(file: Path) -> None:
    """Be the process beside a training that writes the lines of a file, and then is killed."""
    with file.open(encoding="utf-8") as sys.stdin:
        fusion_parts._main()
    os._exit(0)


@pytest.mark.parametrize("lines", [0, 1, 2])
def test_the_process_ends_with_a_killed_training(run, tmp_path, lines):
    text = load_config(None, run[1]).model_dump_json() + "\n"
    file = tmp_path / "input"
    file.write_text(("", text, text + "\n")[lines], encoding="utf-8")
    command = [sys.executable, "-m", "reeltune"]
    alone = forked.Popen(command, stdout=forked.PIPE, before=partial(fit_beside, file))
    assert alone.communicate(300) == ("", None)
    assert alone.returncode == 1


def test_the_process_ends_with_a_failed_training():
    with pytest.raises(KeyError), parts_process() as beside:
        raise KeyError
    assert beside is not None
    assert beside.process.returncode < 0


def test_a_process_that_fails_or_cannot_start_is_a_warning(run, tmp_path, logged, monkeypatch):
    config = load_config(None, run[1])
    data = config.data.model_copy(update={"prepared_dir": tmp_path / "moved"})
    with parts_process() as failed:
        assert failed is not None
        failed.begin(config.model_copy(update={"data": data}))
        failed.read_signals()
        assert failed.result() is None
    assert "the process beside the training failed" in logged.text
    assert "no prepared data here" in logged.text
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with parts_process() as not_started:
        assert not_started is None
    assert "no process can be started beside the training" in logged.text


def test_parts_are_fitted_beside_the_training_on_a_gpu_only(loaded, monkeypatch):
    begun = contextlib.nullcontext()
    monkeypatch.setattr(training, "parts_process", lambda: begun)

    def is_begun(device: str, main: bool = True, fusion: str = "auto", most: int = 10**6) -> bool:
        monkeypatch.setattr(training, "MOST_EVENTS", most)
        state = SimpleNamespace(device=torch.device(device))
        monkeypatch.setattr(training, "process_state", lambda: state)
        scoring = loaded.config.scoring.model_copy(update={"fusion": fusion})
        config = loaded.config.model_copy(update={"scoring": scoring})
        return PARTS_BESIDE(config, loaded.folder, main=main) is begun

    assert is_begun("cuda")
    assert not is_begun("cpu")
    assert not is_begun("cuda", main=False)
    assert not is_begun("cuda", fusion="none")
    assert not is_begun("cuda", most=len(loaded.folder.ratings) - 1)
