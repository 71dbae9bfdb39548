"""The curves of a training run, as ``metrics.json`` of its folder keeps them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reeltune.errors import RunError

Curve = list[tuple[int, float]]
"""Steps with what was measured at each, in ascending order."""


@dataclass(frozen=True)
class TrainingCurves:
    """How a run learned.

    Attributes:
        loss: Training loss at each logged step, in nats.
        validation: Each metric of the validation rows by name (``auc``, ``log_loss``). A step where
            a metric was not defined is left out.
        kept_step: The step whose adapter was kept; None where no evaluation was made.
    """

    loss: Curve
    validation: dict[str, Curve]
    kept_step: int | None

    @classmethod
    def of_metrics(cls, metrics: dict[str, Any]) -> TrainingCurves:
        """Return the curves in the content of a run's ``metrics.json``."""
        evaluations = metrics["evaluations"]
        validation: dict[str, Curve] = {}
        for entry in evaluations:
            for key, value in entry.items():
                if key.startswith("eval_") and value is not None:
                    curve = validation.setdefault(key.removeprefix("eval_"), [])
                    curve.append((int(entry["step"]), float(value)))
        return cls(
            loss=[(int(entry["step"]), float(entry["loss"])) for entry in metrics["losses"]],
            validation=validation,
            kept_step=int(metrics["best_step"]) if evaluations and metrics["best_step"] else None,
        )

    @classmethod
    def read(cls, path: Path) -> TrainingCurves:
        """Return the curves a run has written down.

        Args:
            path: Its ``metrics.json``.

        Raises:
            RunError: There is none, or it holds something else.
        """
        if not path.is_file():
            raise RunError(
                "there are no metrics of a training run here",
                code="no_training_metrics",
                where=str(path),
                hint="Run: reeltune train",
            )
        try:
            return cls.of_metrics(json.loads(path.read_text(encoding="utf-8")))
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"not the metrics of a training run ({error!r})",
                code="invalid_training_metrics",
                where=str(path),
            ) from error
