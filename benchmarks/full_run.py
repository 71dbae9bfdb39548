"""One whole run of a configuration: train, kill, resume, compare, evaluate.

The model has the shape of Qwen3-0.6B and random weights; tokenizer and ratings are real. Measured
are speed, memory and whether every command works, not quality. Each case runs through the command
line with the configuration's settings, except the numbers of steps and of rows scored.

    python -m benchmarks.full_run --tokenizer QWEN3_TOKENIZER --prepared data/movielens_qwen3
    python -m benchmarks.full_run ... --shape tiny --steps 40     # the same path, on a CPU
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.common import SHAPES, command_line, common_options, make_model, write_result
from reeltune.runs.folder import CHECKSUMS_FILE

CASES: Final = {
    "qlora_nf4": [],
    "lora_bf16": ["quantization.load_in_4bit=false"],
}
"""Overrides of the configuration by case."""


def reeltune(*arguments: str) -> None:
    """Run one command, with its output on the terminal."""
    print("$ reeltune", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "reeltune", *arguments], check=True)


def train_and_kill(arguments: list[str], checkpoint: Path) -> None:
    """Start a run and kill it as soon as a checkpoint is complete."""
    process = subprocess.Popen([sys.executable, "-m", "reeltune", "train", *arguments])
    while not (checkpoint / CHECKSUMS_FILE).is_file():  # written last, in one piece
        if process.poll() is not None:
            raise SystemExit("the run ended before it could be killed")
        time.sleep(0.01)  # the steps of a tiny model are short
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def arguments_of(
    run: Path, settings: list[str], options: argparse.Namespace, model: Path
) -> list[str]:
    """Return the flags of all commands of a case."""
    sets = [
        f"model.name_or_path={model}",
        f"data.prepared_dir={options.prepared}",
        f"data.cache_dir={options.work / 'cache'}",
        f"train.output_dir={run}",
        f"train.max_steps={options.steps}",
        f"train.eval_steps={options.steps // 2}",
        f"train.save_steps={options.steps // 2}",
        f"data.max_eval_examples={options.rows}",
        f"evaluation.max_examples={options.rows}",
        *settings,
        *options.set,
    ]
    return ["--config", str(options.config), *(part for value in sets for part in ("--set", value))]


def run_case(name: str, options: argparse.Namespace, model: Path) -> dict[str, Any]:
    """Train, kill, resume, compare and evaluate one case, and return its figures."""
    run = options.work / name
    arguments = arguments_of(run, CASES[name], options, model)
    train_and_kill(arguments, run / f"checkpoint-{options.steps // 2}")
    reeltune("train", *arguments, "--resume")
    reeltune("compare", *arguments)
    reeltune("evaluate", *arguments, "--no-baselines")
    compared = json.loads((run / "comparison-test.json").read_text())["metrics"]
    return figures(name, run) | {
        "test_rows": compared["base"]["rows"],
        "test_auc_base": compared["base"]["auc"],
        "test_auc_tuned": compared["tuned"]["auc"],
    }


def figures(name: str, run: Path) -> dict[str, Any]:
    """Read the figures of a finished run; its speed is that of the resumed half."""
    record = json.loads((run / "run.json").read_text())
    metrics = json.loads((run / "metrics.json").read_text())
    speed = metrics["speed"]
    return {
        "case": name,
        "examples_per_s": speed["examples_per_second"],
        "tokens_per_s": speed["tokens_per_second"],
        "steps_counted": speed["steps_counted"],
        "peak_gib": record["peak_memory"].get("gpu_gib", record["peak_memory"]["resident_gib"]),
        "resumed_from": record["resumed_from"],
        "steps": metrics["steps"],
        "first_loss": metrics["losses"][0]["loss"],
        "last_loss": metrics["losses"][-1]["loss"],
        "validation_auc": [entry.get("eval_auc") for entry in metrics["evaluations"]],
        "choices": record["choices"],
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the cases and print one table."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path("configs/qwen3_movielens_qlora.yaml"))
    parser.add_argument("--shape", choices=SHAPES, default="qwen3-0.6b")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rows", type=int, default=500, help="Validation and test rows scored.")
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--work", type=Path, default=Path("output/full_run"))
    options = parser.parse_args(arguments)

    model = make_model(options.work / "model", options.tokenizer, options.shape)
    cases = []
    for name in options.cases:
        cases.append(run_case(name, options, model))
        print(json.dumps(cases[-1], indent=2), flush=True)
    command = command_line("full_run", options, "shape", "steps", "rows", "set")
    write_result(options.result, command, cases, note=options.note)
    for case in cases:
        print(
            f"{case['case']:32} {case['examples_per_s']:9.1f} examples/s "
            f"{case['tokens_per_s']:11.0f} tokens/s {case['peak_gib']:7.2f} GiB"
        )


if __name__ == "__main__":
    main()
