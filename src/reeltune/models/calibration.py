"""Calibration: P(Yes) brought in line with how often the answer is Yes, on validation rows.

Three ways, all monotone, so that no order of films is turned round:

* *temperature*: the log-odds are divided by one number (Guo et al. 2017,
  https://arxiv.org/abs/1706.04599). It has hardly anything to overfit, and leaves 0.5 where it is.
* *platt*: the log-odds are multiplied by one number, and another is added (Platt 1999,
  "Probabilistic outputs for support vector machines"). It mends a P(Yes) that is too high or too
  low everywhere.
* *isotonic*: the non-decreasing curve nearest to the labels (Zadrozny and Elkan 2002,
  https://doi.org/10.1145/775047.775151). It can mend more than a slope, needs more rows, and makes
  ties where the curve is flat.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from reeltune.domain import Form
from reeltune.errors import DataError, ModelError
from reeltune.files import write_json
from reeltune.prompts.rows import Layout

CALIBRATION_FILE: Final = "calibration.json"
FORMAT_VERSION: Final = 2

Method = Literal["none", "temperature", "platt", "isotonic"]
"""How P(Yes) is told: as the model gives it, or calibrated in one of three ways."""

CALIBRATED: Final[tuple[Method, ...]] = ("temperature", "platt", "isotonic")

Floats = npt.NDArray[np.float64]
Calibrate = Callable[[Floats], Floats]
"""Takes P(Yes) as the model gives it and returns it calibrated."""

HIGHEST_TEMPERATURE: Final = 100.0
"""All but P(Yes) = 0.5 for every row, which is best where the model is of no use."""

SHARPEST: Final = 20.0
"""The largest log-odds a slope may make of those it is fitted on; a shift has half of it.

Rows that are told apart without a mistake have no lowest loss. And much larger log-odds would all
become the same number next to 1, which would change the order of rows.
"""

_EPSILON: Final = float(np.finfo(np.float64).eps)
"""What stands in for 0, as it does in scikit-learn's log loss."""


@dataclass(frozen=True)
class Calibration:
    """What was learned on validation rows.

    Attributes:
        rows: On how many.
        form: The form of the prompt they were asked in.
        layout: How they shared their histories.
        temperature: What log-odds are divided by; above 1 where the model is too sure of itself.
        platt: What log-odds are multiplied by, and what is added to them then.
        isotonic_from: P(Yes) as the model gives it at the curve's knots, ascending, shape ``(k,)``.
        isotonic_to: What the curve makes of each, never falling, shape ``(k,)``.
    """

    rows: int
    form: Form
    layout: Layout
    temperature: float
    platt: tuple[float, float]
    isotonic_from: tuple[float, ...]
    isotonic_to: tuple[float, ...]

    def apply(self, p_yes: npt.NDArray[np.floating[Any]], method: Method) -> Floats:
        """Return P(Yes) calibrated.

        Args:
            p_yes: As the model gives it, any shape.
            method: ``none`` returns it as it is.
        """
        given = np.asarray(p_yes, dtype=np.float64)
        if method == "temperature":
            return _inside(expit(logit(_inside(given)) / self.temperature))
        if method == "platt":
            slope, shift = self.platt
            return _inside(expit(logit(_inside(given)) * slope + shift))
        if method == "isotonic":
            return np.interp(given, self.isotonic_from, self.isotonic_to)
        return given


def fit_calibration(
    liked: npt.NDArray[np.bool_],
    p_yes: npt.NDArray[np.floating[Any]],
    *,
    form: Form,
    layout: Layout,
) -> Calibration:
    """Learn every calibration.

    Args:
        liked: The labels of validation rows, shape ``(n,)``.
        p_yes: P(Yes) on them as the model gives it, shape ``(n,)``.
        form: The form they were asked in.
        layout: The layout they were asked in.

    Raises:
        DataError: There are no rows, or all have one label.
    """
    if liked.all() or not liked.any():
        raise DataError(
            f"P(Yes) cannot be calibrated on {len(liked)} validation rows without both labels",
            code="labels_all_equal",
            where="calibration",
            hint="Raise evaluation.max_examples, or prepare with a larger --val-fraction",
        )
    given = np.asarray(p_yes, dtype=np.float64)
    temperature = _temperature(liked, given)
    line = _platt(liked, given, temperature)
    return Calibration(len(liked), form, layout, temperature, line, *_isotonic(liked, given))


def write_calibration(adapter: Path, calibration: Calibration) -> Path:
    """Write ``calibration.json`` into an adapter's folder and return where it lies."""
    file = adapter / CALIBRATION_FILE
    record = {
        "format_version": FORMAT_VERSION,
        "rows": calibration.rows,
        "form": calibration.form,
        "layout": calibration.layout,
        "temperature": calibration.temperature,
        "platt": {"slope": calibration.platt[0], "shift": calibration.platt[1]},
        "isotonic": {"from": calibration.isotonic_from, "to": calibration.isotonic_to},
    }
    write_json(file, record)
    return file


def load_calibration(adapter: Path) -> Calibration:
    """Read ``calibration.json`` of an adapter.

    Raises:
        ModelError: It is missing, no calibration, or written in another format version.
    """
    file = adapter / CALIBRATION_FILE
    hint = f"Run: reeltune evaluate --adapter {adapter}, or set scoring.calibration to none"
    if not file.is_file():
        raise ModelError(
            "the adapter has not been calibrated",
            code="calibration_missing",
            where=str(file),
            hint=hint,
        )
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        version = record["format_version"]
        if version == FORMAT_VERSION:
            return Calibration(
                rows=int(record["rows"]),
                form=record["form"],
                layout=record["layout"],
                temperature=float(record["temperature"]),
                platt=(float(record["platt"]["slope"]), float(record["platt"]["shift"])),
                isotonic_from=tuple(map(float, record["isotonic"]["from"])),
                isotonic_to=tuple(map(float, record["isotonic"]["to"])),
            )
    except (ValueError, TypeError, KeyError):
        raise ModelError(
            "not a calibration", code="not_a_calibration", where=str(file), hint=hint
        ) from None
    raise ModelError(
        f"written in format {version}, this version reads {FORMAT_VERSION}",
        code="other_calibration_format",
        where=str(file),
        hint=hint,
    )


def calibrate_with(adapter: Path, method: Method, form: Form, layout: Layout) -> Calibrate | None:
    """Return the calibration of an adapter's predictions, or None if they are not calibrated.

    Args:
        adapter: The folder of the adapter.
        method: How P(Yes) is to be told.
        form: The form it is asked in.
        layout: The layout it is asked in.

    Raises:
        ModelError: It has not been calibrated, or only for another way of asking.
    """
    if method == "none":
        return None
    calibration = load_calibration(adapter)
    if (calibration.form, calibration.layout) != (form, layout):
        raise ModelError(
            f"calibrated for the form {calibration.form} and the layout {calibration.layout}, "
            f"predicting with {form} and {layout}",
            code="other_calibration_prompt",
            where=str(adapter / CALIBRATION_FILE),
            hint="Run reeltune evaluate with these settings, or set scoring.calibration to none",
        )
    return partial(calibration.apply, method=method)


def _temperature(liked: npt.NDArray[np.bool_], p_yes: Floats) -> float:
    """Return the temperature of the lowest log loss; 1 where none is lower than the model's own."""
    log_odds = logit(_inside(p_yes))
    margin = np.where(liked, log_odds, -log_odds)
    lowest = max(float(np.abs(log_odds).max()) / SHARPEST, _EPSILON)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, -margin * np.exp(-log_temperature)).mean())

    # The loss is convex in 1 / temperature, so it has one valley on any increasing scale of it.
    bounds = (np.log(lowest), np.log(HIGHEST_TEMPERATURE))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def _platt(liked: npt.NDArray[np.bool_], p_yes: Floats, temperature: float) -> tuple[float, float]:
    """Return slope and shift of the lowest log loss, never above that of a temperature alone.

    :func:`reeltune.baselines.platt.fit_platt` smooths the labels and takes any slope; this line is
    bounded instead, as it has to keep the order of rows and may make no prediction certain.
    """
    log_odds = logit(_inside(p_yes))
    sign = np.where(liked, 1.0, -1.0)

    def loss(line: Floats) -> tuple[float, Floats]:
        margin = sign * (line[0] * log_odds + line[1])
        pull = -sign * expit(-margin)
        gradient = np.array([(pull * log_odds).mean(), pull.mean()])
        return float(np.logaddexp(0.0, -margin).mean()), gradient

    steepest = SHARPEST / max(float(np.abs(log_odds).max()), _EPSILON)
    bounds = ((1 / HIGHEST_TEMPERATURE, steepest), (-SHARPEST / 2, SHARPEST / 2))
    alone = np.array([1 / temperature, 0.0])
    found = minimize(loss, alone, jac=True, bounds=bounds, options={"ftol": 1e-15})
    slope, shift = found.x if found.fun < loss(alone)[0] else alone
    return float(slope), float(shift)


def _isotonic(
    liked: npt.NDArray[np.bool_], p_yes: Floats
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the knots of the curve.

    It stays 1 / (n + 2) away from 0 and 1: n rows of one label are no more than that (Laplace's
    rule of succession), and a mistake then costs a finite log loss.
    """
    margin = 1.0 / (len(liked) + 2)
    curve = IsotonicRegression(y_min=margin, y_max=1.0 - margin, out_of_bounds="clip")
    curve.fit(p_yes, liked.astype(np.float64))
    return tuple(curve.X_thresholds_.tolist()), tuple(curve.y_thresholds_.tolist())


def _inside(p_yes: Floats) -> Floats:
    return np.clip(p_yes, _EPSILON, 1.0 - _EPSILON)
