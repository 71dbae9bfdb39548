"""Quality of float16 with loss scaling beside bfloat16: the same run twice, the same test rows.

Each type trains from the same seed on the same rows and scores the same test rows, in a process of
its own. On a GPU without bfloat16, name the types: --dtypes float16 float32.

    python -m benchmarks.float16 --model models/smollm2-135m --prepared data/movielens_qwen3
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.common import command_line, common_options, write_result
from benchmarks.launching import Launch, settings


def run_case(dtype: str, options: Any) -> dict[str, Any]:
    """Train and evaluate with one number type, and return its figures."""
    run = options.work / dtype
    values = {
        "model.name_or_path": options.model,
        "model.dtype": dtype,
        "quantization.load_in_4bit": False,
        "data.prepared_dir": options.prepared,
        "data.cache_dir": options.work / "cache",
        "data.max_train_examples": options.examples,
        "evaluation.max_examples": options.test_rows,
        "train.output_dir": run,
        "train.early_stopping_patience": "null",
    }
    arguments = ["--config", options.config, *settings(values, options.set)]
    launch = Launch(1)
    launch.run("train", *arguments, "--overwrite")
    launch.run("evaluate", *arguments, "--no-baselines")
    record, metrics, evaluation = (
        json.loads((run / name).read_text(encoding="utf-8"))
        for name in ("run.json", "metrics.json", "evaluation/metrics.json")
    )
    tuned = next(s["metrics"] for s in evaluation["scorers"] if s["name"] == "tuned")
    return {
        "case": dtype,
        "steps": metrics["steps"],
        "first_loss": metrics["losses"][0]["loss"],
        "last_loss": metrics["losses"][-1]["loss"],
        "test_rows": evaluation["rows"],
        **{name: tuned[name]["value"] for name in ("auc", "auc_per_user_mean", "log_loss")},
        "tokens_per_s": (metrics["speed"] or {}).get("tokens_per_second"),
        "choices": record["choices"],
    }


def main(arguments: list[str] | None = None) -> None:
    """Run both types and print their AUCs side by side."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--model", type=Path, required=True, help="A folder with real weights.")
    parser.add_argument("--config", type=Path, default=Path("configs/smollm2_movielens_lora.yaml"))
    parser.add_argument("--examples", type=int, default=16_000, help="Training rows.")
    parser.add_argument("--test-rows", type=int, default=4000)
    parser.add_argument("--dtypes", nargs="+", default=["float16", "bfloat16"])
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--work", type=Path, default=Path("output/float16"))
    options = parser.parse_args(arguments)

    cases = [run_case(dtype, options) for dtype in options.dtypes]
    shown = ("model", "config", "examples", "test_rows", "dtypes", "set")
    write_result(options.result, command_line("float16", options, *shown), cases, note=options.note)
    for case in cases:
        print(
            f"{case['case']:9} AUC {case['auc']:.4f}, within a user "
            f"{case['auc_per_user_mean']:.4f}, log loss {case['log_loss']:.4f} "
            f"({case['test_rows']} rows, {case['steps']} steps, last loss {case['last_loss']:.4f})"
        )


if __name__ == "__main__":
    main()
