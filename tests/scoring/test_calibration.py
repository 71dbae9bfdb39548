"""Calibration changes P(Yes), keeps the order of rows, and lowers the fitted log loss."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.metrics import log_loss, roc_auc_score

from reeltune.domain import Form
from reeltune.errors import DataError, ModelError
from reeltune.models.calibration import (
    CALIBRATED,
    Calibration,
    Method,
    calibrate_with,
    fit_calibration,
    load_calibration,
    write_calibration,
)
from reeltune.scoring.predictions import Predictions
from tests.errors import raises_error

SLOPED: tuple[Method, ...] = ("temperature", "platt")
GRID = np.linspace(0, 1, 401)

# Few values, so that ties are frequent; predictions can be as good as certain, and certain.
DOUBTED = [0.01, 0.2, 0.21, 0.5, 0.6, 0.93]
CERTAIN = [0.0, 1e-9, 0.999, 1 - 1e-9, 1.0]


def rows_saying(values: list[float]) -> st.SearchStrategy[list[tuple[bool, float]]]:
    """Labels of both kinds with P(Yes)."""
    row = st.tuples(st.booleans(), st.sampled_from(values))
    some = st.lists(row, min_size=2, max_size=40)
    return some.filter(lambda rows: len({liked for liked, _ in rows}) == 2)


ROWS = rows_saying(DOUBTED + CERTAIN)

Rows = tuple[np.ndarray, np.ndarray]


def columns(rows: list[tuple[bool, float]]) -> Rows:
    liked, p_yes = map(np.array, zip(*rows, strict=True))
    return liked, p_yes


def fitted(liked: np.ndarray, p_yes: np.ndarray) -> Calibration:
    return fit_calibration(liked, p_yes, form="interview", share_history=True)


def loss(liked: np.ndarray, p_yes: np.ndarray) -> float:
    return float(log_loss(liked, p_yes, labels=[False, True]))


@pytest.fixture
def some() -> Calibration:
    random = np.random.default_rng(0)
    p_yes = random.random(200)
    return fitted(random.random(200) < p_yes**2, p_yes)


@given(ROWS)
def test_calibration_is_monotone(rows):
    calibration = fitted(*columns(rows))
    for method in CALIBRATED:
        assert (np.diff(calibration.apply(GRID, method)) >= -1e-15).all()


@pytest.mark.slow
@pytest.mark.parametrize("method", SLOPED)
@given(ROWS)
def test_slopes_keep_the_order_of_rows(method, rows):
    liked, p_yes = columns(rows)
    calibrated = fitted(liked, p_yes).apply(p_yes, method)
    assert roc_auc_score(liked, calibrated) == roc_auc_score(liked, p_yes)


@pytest.mark.slow
@pytest.mark.parametrize("method", SLOPED)
@given(ROWS)
def test_slopes_do_not_raise_the_fitted_log_loss(method, rows):
    liked, p_yes = columns(rows)
    calibrated = fitted(liked, p_yes).apply(p_yes, method)
    assert loss(liked, calibrated) <= loss(liked, p_yes) + 1e-12


@pytest.mark.slow
@given(rows_saying(DOUBTED))
def test_platt_has_at_most_the_log_loss_of_temperature(rows):
    liked, p_yes = columns(rows)
    calibration = fitted(liked, p_yes)
    both, one = (calibration.apply(p_yes, method) for method in ("platt", "temperature"))
    assert loss(liked, both) <= loss(liked, one) + 1e-6


@pytest.mark.slow
@given(ROWS)
def test_isotonic_has_the_lowest_log_loss_of_bounded_curves(rows):
    """The model's own predictions are one such curve, once they stay as far from 0 and 1."""
    liked, p_yes = columns(rows)
    calibrated = fitted(liked, p_yes).apply(p_yes, "isotonic")
    margin = 1 / (len(rows) + 2)
    assert margin - 1e-15 <= calibrated.min() <= calibrated.max() <= 1 - margin + 1e-15
    assert loss(liked, calibrated) <= loss(liked, np.clip(p_yes, margin, 1 - margin)) + 1e-12


@given(ROWS)
def test_no_prediction_becomes_certain(rows):
    calibration = fitted(*columns(rows))
    for method in CALIBRATED:
        calibrated = calibration.apply(GRID, method)
        assert calibrated.min() > 0
        assert calibrated.max() < 1


def test_a_temperature_worked_out_by_hand():
    """Three of four are right at P(Yes) 0.9: log-odds of ln 9 should be ln 3, half as large."""
    liked = np.array([True, True, True, False, False, False, False, True])
    calibration = fitted(liked, np.repeat([0.9, 0.1], 4))
    assert calibration.temperature == pytest.approx(2.0, rel=1e-6)
    told = calibration.apply(np.array([0.9, 0.1, 0.5]), "temperature")
    assert told == pytest.approx([0.75, 0.25, 0.5], rel=1e-6)


def test_a_shift_worked_out_by_hand():
    """Yes shares of 0.75 and 0.9 at P(Yes) 0.5 and 0.9: log-odds 0, ln 9 become ln 3, ln 9."""
    liked = np.array([True] * 3 + [False] + [True] * 9 + [False])
    calibration = fitted(liked, np.repeat([0.5, 0.9], [4, 10]))
    assert calibration.platt == pytest.approx([0.5, np.log(3)], rel=1e-4)
    assert calibration.apply(np.array([0.5, 0.9]), "platt") == pytest.approx([0.75, 0.9], rel=1e-4)


def test_platt_lowers_predictions_that_are_too_high_everywhere():
    random = np.random.default_rng(3)
    true = random.uniform(0.05, 0.7, 4000)
    liked = random.random(4000) < true
    told = fitted(liked, expit(logit(true) + 0.8)).apply(expit(logit(true) + 0.8), "platt")
    assert np.abs(told - true).max() < 0.05


def test_an_underconfident_model_gets_a_temperature_below_1():
    liked = np.repeat([True, False], [9, 1])
    calibration = fitted(np.append(liked, ~liked), np.repeat([0.75, 0.25], 10))
    assert calibration.temperature == pytest.approx(0.5, rel=1e-6)


def test_calibrated_predictions_keep_temperature_1():
    liked = np.array([True, True, True, False, False, False, False, True])
    calibration = fitted(liked, np.repeat([0.75, 0.25], 4))
    assert calibration.temperature == pytest.approx(1.0, abs=1e-6)


def test_separable_rows_keep_finite_log_odds():
    p_yes = np.array([0.1, 0.3, 0.6, 0.95])
    told = fitted(p_yes > 0.5, p_yes).apply(p_yes, "temperature")
    assert np.abs(logit(told)).max() <= 20 + 1e-6
    assert (np.diff(told) > 0).all()


def test_uninformative_predictions_approach_one_half():
    liked = np.array([True, False])
    told = fitted(liked, np.array([0.2, 0.8])).apply(np.array([0.01, 0.99]), "temperature")
    assert told == pytest.approx([0.5, 0.5], abs=0.02)


def test_a_curve_worked_out_by_hand():
    """No, Yes, No, Yes: the two in the middle are in the wrong order and share their mean."""
    p_yes = np.array([0.4, 0.1, 0.3, 0.2])
    calibration = fitted(np.array([True, False, False, True]), p_yes)
    told = calibration.apply(np.array([0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 1.0]), "isotonic")
    low, high = 1 / 6, 5 / 6
    assert told == pytest.approx([low, low, (low + 0.5) / 2, 0.5, 0.5, 0.5, high, high])


def test_equal_predictions_share_their_mean_on_the_curve():
    calibration = fitted(np.array([True, False, False, False]), np.full(4, 0.7))
    assert calibration.apply(np.array([0.1, 0.7, 0.9]), "isotonic") == pytest.approx([0.25] * 3)


def test_without_a_method_nothing_changes(some):
    assert some.apply(GRID, "none").tolist() == GRID.tolist()


@pytest.mark.parametrize("liked", [[], [True], [False, False, False]])
def test_rows_without_both_labels_are_refused(liked: list[bool]):
    with raises_error(DataError, "labels_all_equal", figures=[len(liked)]):
        fitted(np.array(liked, dtype=bool), np.full(len(liked), 0.4))


def test_a_written_calibration_is_read_back(some, tmp_path):
    file = write_calibration(tmp_path, some)
    assert file == tmp_path / "calibration.json"
    assert load_calibration(tmp_path) == some
    written = json.loads(file.read_text())
    assert (written["rows"], written["form"], written["layout"]) == (200, "interview", "blocks")
    assert written["temperature"] == some.temperature


def test_a_missing_calibration_names_the_file_and_the_command(tmp_path):
    file, command = tmp_path / "calibration.json", f"reeltune evaluate --adapter {tmp_path}"
    with raises_error(ModelError, "calibration_missing", where=str(file), figures=[command]):
        calibrate_with(tmp_path, "temperature", "interview", True)


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"format_version": 2, "rows": 3}'])
def test_a_broken_calibration_is_refused(tmp_path: Path, text: str):
    (tmp_path / "calibration.json").write_text(text)
    with raises_error(ModelError, "not_a_calibration", where="calibration.json"):
        load_calibration(tmp_path)


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": float("nan")},
        {"temperature": 0},
        {"temperature": -1.0},
        {"platt": {"slope": -1.0, "shift": 0.0}},
        {"platt": {"slope": 1.0, "shift": float("inf")}},
        {"isotonic": {"from": [0.1, 0.9], "to": [0.8, 0.2]}},
        {"isotonic": {"from": [0.9, 0.1], "to": [0.2, 0.8]}},
        {"isotonic": {"from": [0.1, 0.9], "to": [0.2, 1.8]}},
        {"isotonic": {"from": [0.1, 0.9], "to": [0.2]}},
        {"isotonic": {"from": [], "to": []}},
    ],
)
def test_a_calibration_that_maps_to_no_probabilities_is_refused(values, some, tmp_path):
    file = write_calibration(tmp_path, some)
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    with raises_error(ModelError, "not_a_calibration", where="calibration.json"):
        load_calibration(tmp_path)


def test_another_format_is_refused(some, tmp_path):
    file = write_calibration(tmp_path, some)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format_version": 9}))
    with raises_error(ModelError, "other_calibration_format", figures=[9, 2]):
        load_calibration(tmp_path)


def test_a_calibration_of_other_prompts_is_refused(some, tmp_path):
    write_calibration(tmp_path, some)
    others: list[tuple[Form, bool, str]] = [
        ("window", True, "blocks"),
        ("interview", False, "single"),
    ]
    for form, shared, layout in others:
        with raises_error(ModelError, "other_calibration_prompt", figures=[form, layout]):
            calibrate_with(tmp_path, "temperature", form, shared)


def test_no_file_is_needed_without_calibration(tmp_path):
    assert calibrate_with(tmp_path, "none", "interview", True) is None


@pytest.mark.parametrize("method", CALIBRATED)
def test_calibration_changes_p_yes_and_not_the_logits(some, tmp_path, method):
    write_calibration(tmp_path, some)
    yes, no = np.array([3.0, -1.0, 0.5], np.float32), np.zeros(3, np.float32)
    plain = Predictions(yes, no)
    told = replace(plain, calibrate=calibrate_with(tmp_path, method, "interview", True))
    assert told.p_yes.tolist() == some.apply(plain.p_yes, method).tolist()
    assert np.abs(told.p_yes - plain.p_yes).max() > 0.01
    assert told.log_odds.tolist() == plain.log_odds.tolist()
