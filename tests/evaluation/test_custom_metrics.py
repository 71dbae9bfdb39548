"""Custom metrics: intervals as those of built-in metrics, and errors that name the metric."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score

from reeltune.errors import ConfigError
from reeltune.evaluation.collect import collect_predictions
from reeltune.evaluation.evaluate import evaluate
from reeltune.evaluation.intervals import bootstrap
from reeltune.evaluation.metrics import measure
from reeltune.evaluation.tables import difference_lines, scorers_table
from reeltune.models.loaded_model import load_model
from reeltune.report.save_evaluation import save_evaluation
from tests.errors import raises_error
from tests.runs import tiny_config

SAMPLES = 60


def random_rows(users: int = 12, rows: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    labels = random.random(rows) < 0.5
    p_yes = np.clip(0.4 * labels + random.normal(0.3, 0.2, rows), 0, 1).round(2)
    return labels, random.integers(0, users, rows) * 7 + 3, p_yes


def auc(labels: np.ndarray, p_yes: np.ndarray, users: np.ndarray) -> float:
    return float(roc_auc_score(labels, p_yes)) if 0 < labels.mean() < 1 else np.nan


def auc_per_user(labels: np.ndarray, p_yes: np.ndarray, users: np.ndarray) -> float:
    aucs = [auc(labels[users == user], p_yes[users == user], users) for user in np.unique(users)]
    return float(np.nanmean(aucs))


def brier(labels: np.ndarray, p_yes: np.ndarray, users: np.ndarray) -> np.floating:
    return ((p_yes - labels) ** 2).mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "builtin"), [(auc, "auc"), (auc_per_user, "auc_per_user_mean"), (brier, "brier")]
)
def test_intervals_equal_those_of_the_built_in_metric(metric: Callable, builtin: str):
    labels, user_id, p_yes = random_rows()
    scores = {"one": p_yes, "two": 1 - p_yes}
    result = bootstrap(labels, user_id, scores, {}, 5, SAMPLES, {"mine": metric})
    assert result.metrics[-1] == "mine"
    for scorer in scores:
        mine, expected = (result.samples[scorer][name] for name in ("mine", builtin))
        assert mine == pytest.approx(expected, abs=1e-12)
    mine, expected = (result.difference("one", "two", name) for name in ("mine", builtin))
    assert mine is not None and expected is not None
    assert (mine.low, mine.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_nan_is_undefined():
    labels, user_id, p_yes = random_rows()
    args = (labels, user_id, {"one": p_yes}, {}, 5, SAMPLES)
    assert bootstrap(*args, {"mine": lambda *_: np.nan}).interval("one", "mine") is None


def test_built_in_metrics_do_not_change():
    labels, user_id, p_yes = random_rows()
    args = (labels, user_id, {"one": p_yes}, {"one": 0.4}, 5, SAMPLES)
    plain, more = bootstrap(*args), bootstrap(*args, {"mine": brier})
    assert [plain.interval("one", name) for name in plain.metrics] == [
        more.interval("one", name) for name in plain.metrics
    ]


def test_arrays_that_a_metric_changes_are_copies():
    def destructive(labels: np.ndarray, p_yes: np.ndarray, users: np.ndarray) -> float:
        value = float(p_yes.mean())
        labels[:], p_yes[:], users[:] = False, 0, 0
        return value

    labels, user_id, p_yes = random_rows()
    before = p_yes.copy()
    result = bootstrap(labels, user_id, {"one": p_yes}, {}, 5, SAMPLES, {"mine": destructive})
    assert result.values["one"]["mine"] == before.mean()
    assert (p_yes == before).all()
    assert len(set(result.samples["one"]["mine"].tolist())) > 1


@pytest.mark.parametrize("value", [None, "0.5", True, np.inf, np.ones(2), 1j])
def test_a_metric_that_returns_no_number_is_an_error(value):
    labels, user_id, p_yes = random_rows()
    with raises_error(ConfigError, "metric_returned_no_number", where="'mine'", figures=["'one'"]):
        bootstrap(labels, user_id, {"one": p_yes}, {}, 5, SAMPLES, {"mine": lambda *_: value})


def test_a_metric_that_raises_is_an_error():
    def failing(labels: np.ndarray, p_yes: np.ndarray, users: np.ndarray) -> float:
        raise KeyError("weight")

    labels, user_id, p_yes = random_rows()
    figures = ["KeyError", "weight", 90, 12]
    with raises_error(ConfigError, "metric_failed", where="'mine'", figures=figures) as caught:
        bootstrap(labels, user_id, {"one": p_yes}, {}, 5, SAMPLES, {"mine": failing})
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(
    ("name", "metric", "code"),
    [
        ("auc", brier, "invalid_metric_name"),
        (" ", brier, "invalid_metric_name"),
        ("mine", 0.5, "metric_not_callable"),
    ],
)
def test_names_and_values_are_checked(name: str, metric, code: str):
    labels, user_id, p_yes = random_rows()
    with raises_error(ConfigError, code, figures=[repr(name)] if code.startswith("inv") else []):
        bootstrap(labels, user_id, {"one": p_yes}, {}, 5, SAMPLES, {name: metric})


@pytest.mark.slow
def test_a_custom_metric_is_in_result_table_lines_and_report(tiny_qwen3, prepared, tmp_path):
    changes = {"evaluation__bootstrap_samples": 20, "evaluation__baselines": False}
    loaded = load_model(tiny_config(tiny_qwen3, prepared.path, tmp_path, **changes), None)
    collected = collect_predictions(loaded, "test", lambda name: None)
    evaluation = evaluate(loaded, collected, lambda name: None, {"<my Brier>": brier})
    rows = collected.reported
    interval = evaluation.scorers[0].metrics["<my Brier>"]
    assert interval is not None
    expected = measure(rows.liked, rows.p_yes["base"], rows.user_id).brier
    assert interval.value == pytest.approx(expected)
    stream = io.StringIO()
    Console(file=stream, width=200).print(scorers_table(evaluation))
    text = stream.getvalue()
    assert "<my Brier>" in text and f"{interval.value:.3f}" in text
    assert difference_lines(evaluation) == []  # there is one scorer
    save_evaluation(tmp_path / "out", loaded, collected, evaluation, None)
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["custom_metrics"] == ["<my Brier>"]
    assert written["scorers"][0]["metrics"]["<my Brier>"]["value"] == interval.value
    assert "&lt;my Brier&gt;" in (tmp_path / "out" / "report.html").read_text()
