"""Drift: how far the predictions of the merged model are from those of the trained adapter."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table

from reeltune.evaluation.metrics import THRESHOLD
from reeltune.evaluation.predictions import Floats

UNQUANTIZED: Final = "adapter"
FOUR_BIT: Final = "adapter_4bit"
MERGED: Final = "merged"

ENOUGH_ROWS: Final = 1000
"""With fewer rows, a note warns that the largest difference may be larger on others."""

MEASUREMENT_COLUMNS: Final = ("variant", "model", "AUC")
DIFFERENCE_COLUMNS: Final = (
    "difference",
    "AUC",
    "P(Yes), largest",
    "P(Yes), mean",
    "predictions changed",
)

_NOT_MEASURED: Final = "not measured"
_LABELS: Final = {UNQUANTIZED: "adapter", FOUR_BIT: "adapter, 4 bits", MERGED: "merged"}


@dataclass(frozen=True)
class Bounds:
    """Largest allowed differences from the reference: of the AUC, and of any P(Yes)."""

    auc: float = 0.005
    p_yes: float = 0.05


@dataclass(frozen=True)
class Measurement:
    """The predictions of one variant of the tuned model; None, with ``missing``, if not measured.

    ``auc`` is also None if all rows have one label.
    """

    name: str
    description: str
    p_yes: Floats | None
    auc: float | None
    missing: str | None = None


@dataclass(frozen=True)
class Difference:
    """The second variant minus the first, over the same rows; None if one was not measured.

    Differences of P(Yes) are absolute; ``changed`` counts rows that change sides of 0.5.
    """

    first: str
    second: str
    auc: float | None = None
    p_yes_max: float | None = None
    p_yes_mean: float | None = None
    changed: int | None = None


@dataclass(frozen=True)
class Drift:
    """All measurements, and whether the merged model is within its bounds.

    Attributes:
        rows_available: Number of rows of the split.
        measurements: The adapter on the unquantized base, on the 4-bit base, and the merged model.
        reference: Name of the variant that was trained.
        reference_known: Whether the run's record names it; otherwise it is assumed.
    """

    split: str
    rows: int
    rows_available: int
    measurements: list[Measurement]
    reference: str
    reference_known: bool
    bounds: Bounds

    def measurement(self, name: str) -> Measurement:
        """Return the measurement of one variant."""
        return next(each for each in self.measurements if each.name == name)

    @property
    def differences(self) -> list[Difference]:
        """The difference of every pair of variants."""
        return [difference(*pair) for pair in combinations(self.measurements, 2)]

    @property
    def notes(self) -> list[str]:
        """Limits of the measurement."""
        notes = []
        if self.rows < ENOUGH_ROWS:
            all_rows = f"all of the {self.split} split"
            size = all_rows if self.rows == self.rows_available else f"of {self.rows_available}"
            notes.append(
                f"Measured on {self.rows} rows ({size}): on {ENOUGH_ROWS} or more, the largest "
                "difference may be larger."
            )
        if not self.reference_known:
            notes.append(
                "The adapter has no record of its base in training: the configured one is assumed."
            )
        return notes

    def exceeded(self) -> list[str]:
        """Return a message for each exceeded bound, or that the reference was not measured."""
        reference = self.measurement(self.reference)
        if reference.missing is not None:
            return [
                f"the reference ({reference.description}) was not measured: {reference.missing}"
            ]
        gap = difference(reference, self.measurement(MERGED))
        return [
            f"{metric} differs by {abs(value):.6g}, more than {bound:g}"
            for metric, value, bound in (
                ("the AUC", gap.auc, self.bounds.auc),
                ("P(Yes) of one row", gap.p_yes_max, self.bounds.p_yes),
            )
            if value is not None and not abs(value) <= bound
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything except the predictions, for JSON."""
        return {
            "split": self.split,
            "rows": self.rows,
            "rows_available": self.rows_available,
            "reference": self.reference,
            "reference_known": self.reference_known,
            "bounds": asdict(self.bounds),
            "measurements": [
                {
                    "name": each.name,
                    "description": each.description,
                    "auc": each.auc,
                    "not_measured": each.missing,
                }
                for each in self.measurements
            ],
            "differences": [asdict(gap) for gap in self.differences],
            "exceeded": self.exceeded(),
            "notes": self.notes,
        }


def difference(first: Measurement, second: Measurement) -> Difference:
    """Compare two variants on the same rows."""
    if first.p_yes is None or second.p_yes is None:
        return Difference(first.name, second.name)
    distance = np.abs(second.p_yes - first.p_yes)
    return Difference(
        first=first.name,
        second=second.name,
        auc=None if first.auc is None or second.auc is None else second.auc - first.auc,
        p_yes_max=float(distance.max()),
        p_yes_mean=float(distance.mean()),
        changed=int(((first.p_yes >= THRESHOLD) != (second.p_yes >= THRESHOLD)).sum()),
    )


def measurement_cells(drift: Drift) -> list[tuple[str, ...]]:
    """Return one table row per measurement, under :data:`MEASUREMENT_COLUMNS`."""
    cells = []
    for each in drift.measurements:
        mark = ", as trained" if each.name == drift.reference else ""
        missing = f"{_NOT_MEASURED}: {each.missing}"
        value = _number(each.auc, ".4f") if each.missing is None else missing
        cells.append((_LABELS[each.name], each.description + mark, value))
    return cells


def difference_cells(drift: Drift) -> list[tuple[str, ...]]:
    """Return one table row per pair of variants, under :data:`DIFFERENCE_COLUMNS`."""
    cells = []
    for gap in drift.differences:
        values = [_NOT_MEASURED] * 4
        if gap.changed is not None:
            values = [
                _number(gap.auc, "+.4f"),
                _number(gap.p_yes_max, ".4f"),
                _number(gap.p_yes_mean, ".5f"),
                f"{gap.changed} of {drift.rows}",
            ]
        cells.append((f"{_LABELS[gap.second]} minus {_LABELS[gap.first]}", *values))
    return cells


def result_lines(drift: Drift) -> list[str]:
    """Return the notes, and whether the merged model is within its bounds."""
    bounds = (
        f"AUC within {drift.bounds.auc:g} and every P(Yes) within {drift.bounds.p_yes:g} of the "
        f"{drift.measurement(drift.reference).description}"
    )
    exceeded = drift.exceeded()
    result = f"Out of bounds ({bounds}): {'; '.join(exceeded)}." if exceeded else None
    return [*drift.notes, result or f"Within bounds: {bounds}."]


def drift_tables(drift: Drift) -> RenderableType:
    """Return measurements, differences and result for the terminal."""
    tables = []
    for title, columns, rows in (
        (f"{drift.rows} {drift.split} rows", MEASUREMENT_COLUMNS, measurement_cells(drift)),
        ("Drift", DIFFERENCE_COLUMNS, difference_cells(drift)),
    ):
        table = Table(title=title, title_justify="left")
        for i, heading in enumerate(columns):
            numeric = i and columns is DIFFERENCE_COLUMNS
            table.add_column(heading, justify="right" if numeric else "left", no_wrap=not i)
        for cells in rows:
            table.add_row(*cells)
        tables.append(table)
    return Group(*tables, *result_lines(drift))


def _number(value: float | None, spec: str) -> str:
    return "undefined" if value is None else format(value, spec)
