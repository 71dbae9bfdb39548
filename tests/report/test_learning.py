from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import reeltune
from reeltune.config import Config, config_tree
from reeltune.errors import RunError
from reeltune.files import write_json
from reeltune.report.learning import TrainingCurves, learning_charts, spread
from tests.errors import raises_error

METRICS: dict[str, Any] = {
    "steps": 12,
    "best_step": 10,
    "evaluations": [
        {"eval_auc": 0.6, "eval_log_loss": 0.69, "eval_rows": 100.0, "epoch": 0.04, "step": 5},
        {"eval_log_loss": 0.68, "eval_f1": None, "eval_rows": 100.0, "epoch": 0.08, "step": 10},
    ],
    "losses": [{"step": 1, "loss": 0.9}, {"step": 5, "loss": 0.8}, {"step": 10, "loss": 0.7}],
}


def read(folder: Path, metrics: dict[str, Any]) -> TrainingCurves:
    path = folder / "metrics.json"
    path.write_text(json.dumps(metrics), encoding="utf-8")
    return TrainingCurves.read(path)


def test_curves_are_read_from_metrics(tmp_path: Path):
    curves = read(tmp_path, METRICS)
    assert curves.loss == [(1, 0.9), (5, 0.8), (10, 0.7)]
    assert curves.validation["log_loss"] == [(5, 0.69), (10, 0.68)]
    assert curves.kept_step == 10


def test_undefined_metrics_are_left_out(tmp_path: Path):
    curves = read(tmp_path, METRICS)
    assert curves.validation["auc"] == [(5, 0.6)]
    assert "f1" not in curves.validation


def test_no_evaluation_means_no_kept_step(tmp_path: Path):
    curves = read(tmp_path, {**METRICS, "evaluations": [], "best_step": 0})
    assert curves.validation == {}
    assert curves.kept_step is None
    drawn = {chart.title: chart for chart in learning_charts(curves)}
    assert drawn["Training loss"].drawing is not None
    assert drawn["Validation AUC"].drawing is None
    assert drawn["Validation AUC"].missing


def test_missing_metrics_are_refused(tmp_path: Path):
    path = tmp_path / "metrics.json"
    with raises_error(RunError, "no_training_metrics", where=str(path), figures=["reeltune train"]):
        TrainingCurves.read(path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"evaluations": [{"eval_auc": "x"}]}'])
def test_invalid_metrics_are_refused(tmp_path: Path, content: str):
    path = tmp_path / "metrics.json"
    path.write_text(content, encoding="utf-8")
    with raises_error(RunError, "invalid_training_metrics", where=str(path)):
        TrainingCurves.read(path)


def test_an_evaluation_refuses_invalid_metrics_before_it_loads_anything(tmp_path: Path):
    write_json(tmp_path / "run.json", {"config": config_tree(Config())})
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "metrics.json").write_text("[1]")
    with raises_error(RunError, "invalid_training_metrics", figures=["Copy the file again"]):
        reeltune.evaluate(tmp_path)


@given(st.integers(0, 2000), st.integers(2, 300))
def test_spread_keeps_ends_and_order(length: int, points: int):
    curve = [(step, step / 7) for step in range(length)]
    kept = spread(curve, points)
    assert len(kept) == min(length, points)
    assert kept == sorted(set(kept))
    assert set(kept) <= set(curve)
    if curve:
        assert (kept[0], kept[-1]) == (curve[0], curve[-1])


def test_curve_of_one_step_is_drawn():
    drawn = learning_charts(TrainingCurves([(1, 0.9)], {"auc": [(1, 0.5)]}, 1))
    assert [chart.drawing is not None for chart in drawn] == [True, True, False]
    assert drawn[0].table is not None
    assert [cell.text for cell in drawn[0].table.rows[0]] == ["1", "0.9000"]
