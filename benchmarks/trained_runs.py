"""What a benchmark reads from the folders of training runs: rates, and how far weights differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from reeltune.runs.folder import ADAPTER_WEIGHTS


def training_rates(one: Path, several: Path, processes: int) -> list[dict[str, Any]]:
    """Return the figures of a run in one process and of one in several.

    Args:
        one: The first run.
        several: The other, with the same rows in every step.
        processes: How many it had.
    """
    speeds = [_read(run, "metrics.json")["speed"] for run in (one, several)]
    # A process only knows its own share of a step; the one process has counted them all.
    examples = speeds[0]["examples_per_second"] / speeds[0]["steps_per_second"]
    return [
        {
            "case": "train",
            "processes": count,
            "examples_per_s": examples * speed["steps_per_second"],
            "steps_per_s": speed["steps_per_second"],
            "steps_counted": speed["steps_counted"],
            "peak_gib": _read(run, "run.json")["peak_memory"].get("gpu_gib"),
            "ratio_to_one_process": speed["steps_per_second"] / speeds[0]["steps_per_second"],
        }
        for run, speed, count in zip((one, several), speeds, (1, processes), strict=True)
    ]


def validation_auc(run: Path) -> float:
    """Return the AUC on the validation rows after a run's best step."""
    return _read(run, "metrics.json")["best"]["eval_auc"]


def weights_apart(one: Path, other: Path) -> dict[str, float]:
    """Return how far two adapters differ, beside how far training has moved the first.

    The second matrix of each pair begins at zero, so its weights are what training has changed.

    Raises:
        SystemExit: They do not have the same weights.
    """
    expected, found = (load_file(run / ADAPTER_WEIGHTS) for run in (one, other))
    if expected.keys() != found.keys():
        raise SystemExit(f"{one.name} and {other.name} have different weights")
    difference = max(float((found[name] - expected[name]).abs().max()) for name in expected)
    change = max(float(expected[name].abs().max()) for name in expected if "lora_B" in name)
    return {
        "largest_difference_of_a_weight": difference,
        "largest_change_of_a_weight": change,
        "share_of_the_change": difference / change,
    }


def _read(run: Path, name: str) -> dict[str, Any]:
    return json.loads((run / name).read_text(encoding="utf-8"))
