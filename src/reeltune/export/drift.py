"""Drift: how far the verdicts of one way of running the tuned model are from those of another."""

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


@dataclass(frozen=True)
class Bounds:
    """How far the merged model may be from the adapter as it was trained.

    Attributes:
        auc: Largest absolute difference of the AUC.
        p_yes: Largest absolute difference of P(Yes) on any row.
    """

    auc: float = 0.005
    p_yes: float = 0.05


@dataclass(frozen=True)
class Reading:
    """One way of running the tuned model, and what it said.

    Attributes:
        name: ``adapter``, ``adapter_4bit`` or ``merged``.
        about: The same for people, with its number type.
        p_yes: P(Yes) of every row, shape ``(n,)``; None where it was not measured.
        auc: None where it was not measured, or all rows have one label.
        missing: Why it was not measured; None where it was.
    """

    name: str
    about: str
    p_yes: npt.NDArray[np.float64] | None
    auc: float | None
    missing: str | None = None


@dataclass(frozen=True)
class Pair:
    """How far two readings of the same rows are apart; None where one was not measured.

    Attributes:
        first: The one compared with.
        second: The other.
        auc_difference: AUC of the second less that of the first.
        largest: Largest absolute difference of P(Yes) on any row.
        mean: Mean absolute difference of P(Yes).
        changed: Rows whose verdict reads otherwise.
    """

    first: str
    second: str
    auc_difference: float | None
    largest: float | None
    mean: float | None
    changed: int | None


@dataclass(frozen=True)
class Drift:
    """What was measured before a merged model was kept or refused.

    Attributes:
        split: Whose rows.
        rows: How many.
        readings: The adapter on the unquantized base, on the base in 4 bits, and the merged model.
        reference: Which of them is the adapter as it was trained.
        bounds: How far the merged model may be from the reference.
        notes: What a reader has to know besides.
    """

    split: str
    rows: int
    readings: list[Reading]
    reference: str
    bounds: Bounds
    notes: list[str]

    def reading(self, name: str) -> Reading:
        """Return one of the readings."""
        return next(reading for reading in self.readings if reading.name == name)

    @property
    def pairs(self) -> list[Pair]:
        """Every pair of readings."""
        return [pair_of(*two) for two in combinations(self.readings, 2)]

    def exceeded(self) -> list[str]:
        """Return a sentence for each bound the merged model passes; none means it may be kept.

        A reference that could not be measured counts as passed: nothing is known of the drift.
        """
        reference = self.reading(self.reference)
        if reference.missing is not None:
            return [
                f"the {reference.about}, as it was trained, was not measured: {reference.missing}"
            ]
        pair = pair_of(reference, self.reading(MERGED))
        found = (
            ("the AUC differs by", pair.auc_difference, self.bounds.auc),
            ("P(Yes) of one row differs by", pair.largest, self.bounds.p_yes),
        )
        return [
            f"{what} {abs(value):.6g}, more than {bound:g}"
            for what, value, bound in found
            if value is not None and not abs(value) <= bound
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the single verdicts as plain values for JSON."""
        return {
            "split": self.split,
            "rows": self.rows,
            "reference": self.reference,
            "bounds": asdict(self.bounds),
            "readings": [
                {"name": r.name, "about": r.about, "auc": r.auc, "not_measured": r.missing}
                for r in self.readings
            ],
            "pairs": [asdict(pair) for pair in self.pairs],
            "exceeded": self.exceeded(),
            "notes": self.notes,
        }


def pair_of(first: Reading, second: Reading) -> Pair:
    """Compare two readings of the same rows."""
    if first.p_yes is None or second.p_yes is None:
        return Pair(first.name, second.name, None, None, None, None)
    apart = np.abs(second.p_yes - first.p_yes)
    difference = None
    if first.auc is not None and second.auc is not None:
        difference = second.auc - first.auc
    return Pair(
        first=first.name,
        second=second.name,
        auc_difference=difference,
        largest=float(apart.max()),
        mean=float(apart.mean()),
        changed=int(((first.p_yes >= THRESHOLD) != (second.p_yes >= THRESHOLD)).sum()),
    )
