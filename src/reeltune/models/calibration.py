"""Calibration of P(Yes)."""

from reeltune.scoring.calibration import (
    CALIBRATED,
    CALIBRATION_FILE,
    Calibration,
    fit_calibration,
    load_calibration,
    write_calibration,
)

__all__ = [
    "CALIBRATED",
    "CALIBRATION_FILE",
    "Calibration",
    "fit_calibration",
    "load_calibration",
    "write_calibration",
]
