"""Duration of one epoch on all training rows, with its evaluations, and of the whole command.

The configurations train one after another through the command line. With ``--tokenizer``, those of
Qwen3 use a model of its shape with random weights: speed is measured, not quality.

    python -m benchmarks.one_epoch --prepared data/movielens_qwen3 --tokenizer QWEN3_TOKENIZER \
        --configs configs/smollm2_movielens_lora.yaml configs/qwen3_movielens_qlora.yaml

`--before CHECKOUT` trains first with an earlier version and its configuration of the same name.
With `--times 2` each configuration trains twice; the second time, kernels are compiled already.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.common import SHAPES, command_line, common_options, make_model, write_result
from benchmarks.launching import Launch, settings
from reeltune.config import load_config


def train_once(
    case: str,
    config: Path,
    model: Path | None,
    options: argparse.Namespace,
    checkout: Path | None = None,
) -> dict[str, Any]:
    """Train one epoch and return its figures.

    Args:
        case: The name of the case.
        config: The configuration file.
        model: Replaces its model, unless None.
        options: The parsed options.
        checkout: The version to run; None for the one here.
    """
    run = options.work / case.replace(", ", "_")
    values: dict[str, object] = {
        "data.prepared_dir": options.prepared,
        "data.cache_dir": run.with_name(f"{run.name}-cache"),
        "train.output_dir": run,
        "train.epochs": 1,
        **({} if model is None else {"model.name_or_path": model}),
    }
    seconds = Launch(1, checkout=checkout).run(
        "train", "--config", config, *settings(values, options.set), "--overwrite"
    )
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    speed = metrics["speed"] or {}  # None after too few steps
    figures = {
        "case": case,
        "shape": options.shape if model is not None else "as configured",
        "whole_command_seconds": seconds,
        "training_and_evaluation_seconds": metrics["train_seconds"],
        "steps": metrics["steps"],
        "evaluations": len(metrics["evaluations"]),
        "examples_per_s": speed.get("examples_per_second"),
        "tokens_per_s": speed.get("tokens_per_second"),
        "peak_gib": record["peak_memory"].get("gpu_gib", record["peak_memory"]["resident_gib"]),
        "choices": record["choices"],
    }
    print(json.dumps(figures, indent=2), flush=True)
    return figures


def main(arguments: list[str] | None = None) -> None:
    """Train every configuration and print its figures."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--configs", type=Path, nargs="+", required=True)
    parser.add_argument("--tokenizer", type=Path, help="For configurations of Qwen3.")
    parser.add_argument("--shape", choices=SHAPES, default="qwen3-0.6b")
    parser.add_argument("--before", type=Path, help="Checkout of an earlier version.")
    parser.add_argument("--times", type=int, default=1, help="How often each is trained.")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--work", type=Path, default=Path("output/one_epoch"))
    options = parser.parse_args(arguments)
    if options.before is not None and any(config.is_absolute() for config in options.configs):
        parser.error("with --before, --configs are relative to both versions")

    made: Path | None = None
    cases = []
    for config in options.configs:
        qwen3 = "qwen3" in load_config(config, []).model.name_or_path.lower()
        if qwen3 and options.tokenizer is not None:
            made = made or make_model(options.work / "model", options.tokenizer, options.shape)
        model = made if qwen3 else None
        if options.before is not None:
            earlier = options.before / config
            case = f"{config.stem}, before"
            cases.append(train_once(case, earlier, model, options, options.before))
        for time in range(options.times):
            case = config.stem if time == 0 else f"{config.stem}, time {time + 1}"
            cases.append(train_once(case, config, model, options))
        shown = ("prepared", "configs", "shape", "before", "times", "set")
        command = command_line("one_epoch", options, *shown)
        write_result(options.result, command, cases, note=options.note)


if __name__ == "__main__":
    main()
