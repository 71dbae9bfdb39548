"""Duration of a full `evaluate`, extrapolated from fractions of its rows.

On two cores a full evaluation takes hours: tuned and base model predict every test and validation
row, and some rows again in ablations. Each fraction is evaluated through the command line with
everything else unchanged (baselines, intervals, report), and a straight line is fitted to the
seconds. Samples are whole blocks, so a row costs the same in a fraction as in the whole::

    python -m benchmarks.evaluation_time --config configs/smollm2_movielens_lora.yaml \
        --prepared data/movielens_qwen3 --run output/smollm2_movielens
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import command_line, common_options, write_result
from benchmarks.launching import Launch, settings
from reeltune.config import load_config
from reeltune.data.columns import TEST, VALIDATION
from reeltune.data.folder import PreparedFolder


def full_rows(prepared: Path, ablation_examples: int) -> dict[str, int]:
    """Return the number of rows of a full evaluation, by the key that limits them."""
    counts = PreparedFolder.open(prepared).meta["counts"]
    return {
        "evaluation.max_examples": counts[TEST],
        "evaluation.validation_examples": counts[VALIDATION],
        "evaluation.ablation_examples": ablation_examples,
    }


def extrapolate(shares: list[float], seconds: list[float]) -> tuple[float, float]:
    """Return the seconds at a share of 0 and of 1, by a least-squares line."""
    slope, start = np.polyfit(shares, seconds, 1)
    return float(start), float(start + slope)


def main(arguments: list[str] | None = None) -> None:
    """Time the fractions and print the extrapolated total."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="A folder with an adapter.")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.03, 0.1])
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--work", type=Path, default=Path("output/evaluation_time"))
    options = parser.parse_args(arguments)
    if len(set(options.shares)) < 2 or not all(0 < share <= 1 for share in options.shares):
        parser.error("--shares: two or more, above 0 and at most 1")

    overrides = [f"data.prepared_dir={options.prepared}", *options.set]
    config = load_config(options.config, overrides)
    full = full_rows(options.prepared, config.evaluation.ablation_examples)
    cases: list[dict[str, Any]] = []
    for share in options.shares:
        rows = {key: max(1, round(share * count)) for key, count in full.items()}
        words = ["evaluate", "--config", options.config, "--adapter", options.run]
        words += ["--output", options.work / f"{share:g}"]
        seconds = Launch(1).run(*words, *settings({}, overrides), *settings(rows, []))
        cases.append({"case": f"{share:g} of the rows", **_named(rows), "seconds": seconds})
    start, end = extrapolate(options.shares, [case["seconds"] for case in cases])
    cases.append({"case": "all rows, extrapolated", **_named(full), "seconds": end})
    for case in cases:
        print(json.dumps(case))
    command = command_line("evaluation_time", options, "prepared", "config", "shares", "set")
    write_result(options.result, command, cases, note=options.note, seconds_without_rows=start)


def _named(rows: dict[str, int]) -> dict[str, int]:
    names = ("test rows", "validation rows", "ablation rows")
    return dict(zip(names, rows.values(), strict=True))


if __name__ == "__main__":
    main()
