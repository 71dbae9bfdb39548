"""Rates, AUC and weight differences, read from run folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from reeltune.runs.folder import ADAPTER_WEIGHTS


def sharded_rates(**runs: Path) -> list[dict[str, Any]]:
    """Return the speed of runs in several processes, and the peaks of their GPU memory."""
    cases = []
    for name, run in runs.items():
        peaks = _read(run, "run.json")["peak_memory_by_process"]
        gib = [peak.get("gpu_gib", 0.0) for peak in peaks]
        speed = _read(run, "metrics.json")["speed"]["steps_per_second"]
        case = {"case": f"train, {name}", "processes": len(peaks), "steps_per_s": speed}
        cases.append(case | {"peak_gib": max(gib), "lowest_peak_gib": min(gib)})
    return cases


def training_rates(single: Path, several: Path, processes: int) -> list[dict[str, Any]]:
    """Return the figures of a run in one process and of a run in several.

    Args:
        single: The run in one process.
        several: The run in several, with the same rows in every step.
        processes: Its number of processes.
    """
    speeds = [_read(run, "metrics.json")["speed"] for run in (single, several)]
    # Each of several processes counts only its share of a step.
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
        for run, speed, count in zip((single, several), speeds, (1, processes), strict=True)
    ]


def validation_auc(run: Path) -> float:
    """Return the AUC on validation rows after the best step."""
    return _read(run, "metrics.json")["best"]["eval_auc"]


def largest_loss_difference(first: Path, second: Path) -> float:
    """Return the largest relative difference of a training loss after the same step.

    Raises:
        SystemExit: They did not log the same steps.
    """
    logged = (_read(run, "metrics.json")["losses"] for run in (first, second))
    expected, actual = ({each["step"]: each["loss"] for each in losses} for losses in logged)
    if expected.keys() != actual.keys():
        raise SystemExit(f"{first.name} and {second.name} have losses of different steps")
    return max(abs(actual[step] - loss) / loss for step, loss in expected.items())


def weight_difference(first: Path, second: Path) -> dict[str, float]:
    """Compare two adapters, relative to the largest change of a weight in training.

    B matrices start at zero, so their weights are the change.

    Raises:
        SystemExit: They do not have the same weights.
    """
    expected, actual = (load_file(run / ADAPTER_WEIGHTS) for run in (first, second))
    if expected.keys() != actual.keys():
        raise SystemExit(f"{first.name} and {second.name} have different weights")
    difference = max(float((actual[name] - expected[name]).abs().max()) for name in expected)
    change = max(float(expected[name].abs().max()) for name in expected if "lora_B" in name)
    return {
        "largest_difference_of_a_weight": difference,
        "largest_change_of_a_weight": change,
        "share_of_the_change": difference / change,
    }


def _read(run: Path, name: str) -> dict[str, Any]:
    return json.loads((run / name).read_text(encoding="utf-8"))
