"""Drift: how far the predictions of one variant of the tuned model are from another's."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reeltune.evaluation.metrics import THRESHOLD

UNQUANTIZED: Final = "adapter"
FOUR_BIT: Final = "adapter_4bit"
MERGED: Final = "merged"

ENOUGH_ROWS: Final = 1000
"""Rows from which the largest difference tells something about other rows."""


@dataclass(frozen=True)
class Bounds:
    """Largest allowed differences between the merged model and the reference.

    Attributes:
        auc: Of the AUC.
        p_yes: Of P(Yes) on any row.
    """

    auc: float = 0.005
    p_yes: float = 0.05


@dataclass(frozen=True)
class Measurement:
    """The predictions of one variant of the tuned model.

    Attributes:
        name: ``adapter``, ``adapter_4bit`` or ``merged``.
        description: The same for people, with its dtype.
        p_yes: P(Yes) of every row, shape ``(n,)``; None where it was not measured.
        auc: None where it was not measured, or all rows have one label.
        missing: Why it was not measured; None where it was.
    """

    name: str
    description: str
    p_yes: npt.NDArray[np.float64] | None
    auc: float | None
    missing: str | None = None


@dataclass(frozen=True)
class Difference:
    """The second variant less the first, over the same rows; None where one was not measured.

    Attributes:
        first: Name of the variant compared with.
        second: Name of the other.
        auc: Difference of the AUC.
        p_yes_max: Largest absolute difference of P(Yes).
        p_yes_mean: Mean absolute difference of P(Yes).
        changed: Rows whose prediction (P(Yes) at least 0.5) changed.
    """

    first: str
    second: str
    auc: float | None = None
    p_yes_max: float | None = None
    p_yes_mean: float | None = None
    changed: int | None = None


@dataclass(frozen=True)
class Drift:
    """What was measured before a merged model was kept or refused.

    Attributes:
        split: The split of the rows.
        rows: Number of rows.
        rows_available: Number of rows of the split.
        measurements: The adapter on the unquantized base, on the 4-bit base, and the merged model.
        reference: Name of the variant that was trained.
        reference_known: Whether the adapter's run names it; otherwise it is assumed.
        bounds: How far the merged model may be from the reference.
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
        return next(one for one in self.measurements if one.name == name)

    @property
    def differences(self) -> list[Difference]:
        """The difference of every pair of variants."""
        return [difference(*pair) for pair in combinations(self.measurements, 2)]

    @property
    def notes(self) -> list[str]:
        """Limits of the measurement, for people."""
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
        """Return a sentence for each bound that the merged model exceeds.

        A reference that could not be measured counts as exceeded, since the drift is unknown.
        """
        reference = self.measurement(self.reference)
        if reference.missing is not None:
            return [
                f"the reference ({reference.description}) was not measured: {reference.missing}"
            ]
        found = difference(reference, self.measurement(MERGED))
        return [
            f"{what} differs by {abs(value):.6g}, more than {bound:g}"
            for what, value, bound in (
                ("the AUC", found.auc, self.bounds.auc),
                ("P(Yes) of one row", found.p_yes_max, self.bounds.p_yes),
            )
            if value is not None and not abs(value) <= bound
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the predictions as plain values for JSON."""
        return {
            "split": self.split,
            "rows": self.rows,
            "rows_available": self.rows_available,
            "reference": self.reference,
            "reference_known": self.reference_known,
            "bounds": asdict(self.bounds),
            "measurements": [
                {
                    "name": one.name,
                    "description": one.description,
                    "auc": one.auc,
                    "not_measured": one.missing,
                }
                for one in self.measurements
            ],
            "differences": [asdict(found) for found in self.differences],
            "exceeded": self.exceeded(),
            "notes": self.notes,
        }


def difference(first: Measurement, second: Measurement) -> Difference:
    """Compare two variants on the same rows."""
    if first.p_yes is None or second.p_yes is None:
        return Difference(first.name, second.name)
    apart = np.abs(second.p_yes - first.p_yes)
    return Difference(
        first=first.name,
        second=second.name,
        auc=None if first.auc is None or second.auc is None else second.auc - first.auc,
        p_yes_max=float(apart.max()),
        p_yes_mean=float(apart.mean()),
        changed=int(((first.p_yes >= THRESHOLD) != (second.p_yes >= THRESHOLD)).sum()),
    )
