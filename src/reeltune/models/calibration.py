"""Calibration of P(Yes) on validation rows, by three monotone methods.

* *temperature*: log-odds divided by one number (Guo et al. 2017, https://arxiv.org/abs/1706.04599).
  scikit-learn fits it only inside ``CalibratedClassifierCV``, without public access to the fitted
  number, which ``calibration.json`` stores.
* *platt*: log-odds times a slope plus an intercept (Platt 1999, "Probabilistic outputs for support
  vector machines"). scikit-learn's sigmoid may fit a slope of zero or below, which loses the order
  of predictions; this slope is bounded.
* *isotonic*: the non-decreasing curve nearest to the labels (Zadrozny and Elkan 2002,
  https://doi.org/10.1145/775047.775151), by scikit-learn. It needs more rows, and makes ties.
"""

from __future__ import annotations

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
from reeltune.files import read_object, write_json
from reeltune.prompts.rows import layout_name
from reeltune.ragged import Floats, Labels
from reeltune.runs.folder import RunFolder

CALIBRATION_FILE: Final = "calibration.json"
FORMAT_VERSION: Final = 2

Method = Literal["none", "temperature", "platt", "isotonic"]

CALIBRATED: Final[tuple[Method, ...]] = ("temperature", "platt", "isotonic")

Calibrate = Callable[[Floats], Floats]
"""Maps P(Yes) of the model to calibrated P(Yes)."""

MAX_TEMPERATURE: Final = 100.0
"""Gives nearly P(Yes) = 0.5 everywhere, the optimum for an uninformative model."""

MAX_LOG_ODDS: Final = 20.0
"""Bound of the calibrated log-odds of the fitted rows; the intercept is bounded by half of it.

Separable rows have no finite optimum, and sigmoids of much larger log-odds all round to 1.
"""

_EPSILON: Final = float(np.finfo(np.float64).eps)
"""P(Yes) is clipped this far from 0 and 1, as in scikit-learn's log loss."""


@dataclass(frozen=True)
class Calibration:
    """The fitted parameters of all methods.

    Attributes:
        rows: The number of validation rows.
        form: The form of their prompts.
        share_history: Whether their prompts shared histories.
        temperature: Divisor of log-odds; above 1 if the model is overconfident.
        platt: Slope and intercept of log-odds.
        isotonic_from: P(Yes) of the model at the knots of the curve, ascending, shape ``(k,)``.
        isotonic_to: Calibrated P(Yes) at the knots, non-decreasing, shape ``(k,)``.
    """

    rows: int
    form: Form
    share_history: bool
    temperature: float
    platt: tuple[float, float]
    isotonic_from: tuple[float, ...]
    isotonic_to: tuple[float, ...]

    @property
    def prompt(self) -> tuple[Form, bool]:
        """Form and ``share_history``; the predictions to calibrate must have the same."""
        return self.form, self.share_history

    def check(self) -> None:
        """Raise ValueError unless every method maps P(Yes) to finite P(Yes) in the same order."""
        curve = np.array([self.isotonic_from, self.isotonic_to])
        positive = np.array([self.temperature, self.platt[0]])
        values = np.concatenate([positive, self.platt, curve.ravel()])
        if not (np.isfinite(values).all() and (positive > 0).all() and curve.size):
            raise ValueError("a parameter is not finite or not positive")
        if (np.diff(curve) < 0).any() or curve.min() < 0 or curve.max() > 1:
            raise ValueError("the isotonic curve is not one of probabilities")

    def apply(self, p_yes: npt.NDArray[np.floating[Any]], method: Method) -> Floats:
        """Return calibrated P(Yes); ``none`` returns it unchanged."""
        given = np.asarray(p_yes, dtype=np.float64)
        if method == "temperature":
            return _clip(expit(logit(_clip(given)) / self.temperature))
        if method == "platt":
            slope, intercept = self.platt
            return _clip(expit(logit(_clip(given)) * slope + intercept))
        if method == "isotonic":
            return np.interp(given, self.isotonic_from, self.isotonic_to)
        return given


def fit_calibration(
    liked: Labels, p_yes: npt.NDArray[np.floating[Any]], *, form: Form, share_history: bool
) -> Calibration:
    """Fit every method to validation rows.

    Args:
        liked: Labels, shape ``(n,)``.
        p_yes: P(Yes) of the model, shape ``(n,)``.
        form: The form of the prompts.
        share_history: Whether the prompts shared histories.

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
    temperature = _fit_temperature(liked, given)
    platt = _fit_platt(liked, given, temperature)
    isotonic = _fit_isotonic(liked, given)
    return Calibration(len(liked), form, share_history, temperature, platt, *isotonic)


def write_calibration(adapter: Path, calibration: Calibration) -> Path:
    """Write ``calibration.json`` into an adapter's folder and return its path."""
    file = adapter / CALIBRATION_FILE
    record = {
        "format_version": FORMAT_VERSION,
        "rows": calibration.rows,
        "form": calibration.form,
        "layout": layout_name(calibration.share_history),
        "temperature": calibration.temperature,
        "platt": {"slope": calibration.platt[0], "shift": calibration.platt[1]},
        "isotonic": {"from": calibration.isotonic_from, "to": calibration.isotonic_to},
    }
    write_json(file, record)
    return file


def load_calibration(adapter: Path) -> Calibration:
    """Read ``calibration.json`` of an adapter.

    Raises:
        ModelError: It is missing, invalid, or of another format version.
    """
    file = adapter / CALIBRATION_FILE
    hint = f"Run: {RunFolder(adapter).evaluate_command()}, or set scoring.calibration to none"
    if not file.is_file():
        raise ModelError(
            "the adapter has not been calibrated",
            code="calibration_missing",
            where=str(file),
            hint=hint,
        )
    try:
        record = read_object(file)
        version = record["format_version"]
        if version == FORMAT_VERSION:
            calibration = Calibration(
                rows=int(record["rows"]),
                form=record["form"],
                share_history=record["layout"] == layout_name(True),
                temperature=float(record["temperature"]),
                platt=(float(record["platt"]["slope"]), float(record["platt"]["shift"])),
                isotonic_from=tuple(map(float, record["isotonic"]["from"])),
                isotonic_to=tuple(map(float, record["isotonic"]["to"])),
            )
            calibration.check()
            return calibration
    except (ValueError, TypeError, LookupError):
        raise ModelError(
            "not a calibration", code="not_a_calibration", where=str(file), hint=hint
        ) from None
    raise ModelError(
        f"written in format {version}, this version reads {FORMAT_VERSION}",
        code="other_calibration_format",
        where=str(file),
        hint=hint,
    )


def calibrate_with(
    adapter: Path, method: Method, form: Form, share_history: bool
) -> Calibrate | None:
    """Return the calibration of an adapter's predictions by a method, or None for ``none``.

    Raises:
        ModelError: The adapter has not been calibrated, or only for other prompts.
    """
    if method == "none":
        return None
    calibration = load_calibration(adapter)
    if calibration.prompt != (form, share_history):
        raise ModelError(
            f"calibrated for the form {calibration.form} and the layout "
            f"{layout_name(calibration.share_history)}, predicting with {form} and "
            f"{layout_name(share_history)}",
            code="other_calibration_prompt",
            where=str(adapter / CALIBRATION_FILE),
            hint="Run reeltune evaluate with these settings, or set scoring.calibration to none",
        )
    return partial(calibration.apply, method=method)


def _fit_temperature(liked: Labels, p_yes: Floats) -> float:
    """Return the temperature of the lowest log loss; 1 if no other improves on it."""
    log_odds = logit(_clip(p_yes))
    margin = np.where(liked, log_odds, -log_odds)
    lowest = max(float(np.abs(log_odds).max()) / MAX_LOG_ODDS, _EPSILON)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, -margin * np.exp(-log_temperature)).mean())

    # Convex in 1 / temperature, so unimodal in its logarithm.
    bounds = (np.log(lowest), np.log(MAX_TEMPERATURE))
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    return float(np.exp(best.x)) if best.fun < loss(0.0) else 1.0


def _fit_platt(liked: Labels, p_yes: Floats, temperature: float) -> tuple[float, float]:
    """Return slope and intercept of the lowest log loss, at most that of the temperature."""
    log_odds = logit(_clip(p_yes))
    steepest = MAX_LOG_ODDS / max(float(np.abs(log_odds).max()), _EPSILON)
    bounds = ((1 / MAX_TEMPERATURE, steepest), (-MAX_LOG_ODDS / 2, MAX_LOG_ODDS / 2))
    return fit_line(liked, log_odds, (1 / temperature, 0.0), bounds)


def fit_line(
    liked: Labels,
    log_odds: Floats,
    start: tuple[float, float],
    bounds: tuple[tuple[float, float], tuple[float, float]],
) -> tuple[float, float]:
    """Return slope and intercept of the lowest log loss, at most that of the start.

    ``bounds`` are the lowest and the highest slope, and those of the intercept.
    """
    sign = np.where(liked, 1.0, -1.0)

    def loss(line: Floats) -> tuple[float, Floats]:
        margin = sign * (line[0] * log_odds + line[1])
        pull = -sign * expit(-margin)
        gradient = np.array([(pull * log_odds).mean(), pull.mean()])
        return float(np.logaddexp(0.0, -margin).mean()), gradient

    best = minimize(loss, start, jac=True, bounds=bounds, options={"ftol": 1e-15})
    slope, intercept = best.x if best.fun < loss(np.array(start))[0] else start
    return float(slope), float(intercept)


def _fit_isotonic(liked: Labels, p_yes: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the knots of the curve.

    It stays 1 / (n + 2) away from 0 and 1 (Laplace's rule of succession), so that every log loss
    is finite.
    """
    margin = 1.0 / (len(liked) + 2)
    curve = IsotonicRegression(y_min=margin, y_max=1.0 - margin, out_of_bounds="clip")
    curve.fit(p_yes, liked.astype(np.float64))
    return tuple(curve.X_thresholds_.tolist()), tuple(curve.y_thresholds_.tolist())


def _clip(p_yes: Floats) -> Floats:
    return np.clip(p_yes, _EPSILON, 1.0 - _EPSILON)
