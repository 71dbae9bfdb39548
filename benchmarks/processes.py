"""Speedup by several processes of one host: `train` under a launcher, `score` on a Ray cluster.

Both run through the command line. Training: plain with one visible GPU, and under `accelerate
launch` (without a GPU: `torchrun`). Rows, seed and global batch are equal: where N processes take
one batch each, a single process accumulates N.

* `train` with the configuration's dtype, compiled on a GPU. The rate is that of training steps
  after the first ones, from `metrics.json`. With equal global batches, the ratio of examples/s is
  that of steps/s.
* `score` predicts pairs of users and films they have not rated, with the base model: in one
  process, and on clusters of each number of `--nodes` on this machine, a processor and a GPU each.
  The rate is that of the second half of the shards, when every node has loaded and compiled.
* `train, float32`: a few steps whose weights are compared, also between two runs in one process:
  sums on a GPU need not be repeatable, and AdamW turns the sign of a gradient that is only rounding
  into a full step. Nothing is timed, so all of them run in parallel.
* `fsdp` trains a model that every process holds whole, then one that is sharded
  (`examples/fsdp.yaml`), then that one again, terminated after a checkpoint and resumed once.

    python -m benchmarks.processes --tokenizer QWEN3 --prepared data/movielens_qwen3 --processes 2

It fails if a row is missing, if losses after a resumption differ from those without one or
predictions differ by more than `--tolerance`, or if float32 weights differ by more than that share
of the largest change and by more than twice the difference between two runs in one process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.common import SHAPES, command_line, common_options, make_model, write_result
from benchmarks.launching import Launch, finish, settings
from benchmarks.score_output import largest_difference, rate, write_pairs
from benchmarks.trained_runs import (
    largest_loss_difference,
    sharded_rates,
    training_rates,
    validation_auc,
    weight_difference,
)
from reeltune.runs.folder import CHECKSUMS_FILE
from reeltune.training.callbacks import StepClock

_EXACT: Final = (
    "model.dtype=float32",
    "train.compile=false",
    "train.gradient_checkpointing=true",  # two processes share a GPU
)
_PARTS: Final = {
    "rates": ("train",),
    "nodes": ("score",),
    "weights": ("train_float32",),
    "fsdp": ("train_sharded",),
}
_FSDP_FILE: Final = Path("examples/fsdp.yaml")


class Comparison:
    """Runs all parts and collects the figures.

    Args:
        options: The parsed options.
        model: The model's folder.

    Attributes:
        cases: Rates in one process and in several.
        adapters: Differences between the weights of adapters.
        predictions: Differences between predictions.
        failures: Differences beyond the tolerance.
    """

    def __init__(self, options: argparse.Namespace, model: Path) -> None:
        self.options = options
        self.model = model
        self.single, self.several = Launch(1), Launch(options.processes)
        self.cases: list[dict[str, Any]] = []
        self.adapters: list[dict[str, Any]] = []
        self.predictions: list[dict[str, Any]] = []
        self.failures: list[str] = []

    @property
    def _compared(self) -> str:
        return f"{self.several.processes} processes and 1"

    def train(self) -> None:
        """Compare the rate of training."""
        alone, together = self._folder("train", self.single), self._folder("train", self.several)
        for run, launch in ((alone, self.single), (together, self.several)):
            launch.run(*self._training(run, launch, self.options.steps, self.options.batch))
        self.cases += training_rates(alone, together, self.several.processes)
        self._compare_adapters("train", self._compared, alone, together)

    def score(self) -> None:
        """Compare the rate of scoring in one process and on nodes, and the predictions.

        Raises:
            SystemExit: Rows are missing.
        """
        options = self.options
        table = options.work / "pairs.parquet"
        write_pairs(table, options.prepared, options.users, options.films)
        alone = self._score(table, {"case": "score"}, 1)
        for count in options.nodes:
            with nodes(count) as address:
                case = {"case": "score, Ray", "nodes": count}
                out = self._score(table, case, count, "--ray", address)
            compared = f"{count} nodes and 1 process"
            difference = largest_difference(table, alone, out)
            self.predictions.append({"case": "score", "compared": compared, **difference})
            if not difference["largest_difference"] <= options.tolerance:
                largest = difference["largest_difference"]
                self.failures.append(f"predictions differ by {largest:.2g}")

    def _score(self, table: Path, case: dict[str, Any], count: int, *flags: str) -> Path:
        options = self.options
        out = options.work / f"scores-{'ray' if flags else 'process'}-{count}"
        words = ["score", table, out, "--overwrite", "--config", options.config, "--base-only"]
        words += ["--rows-per-shard", str(options.rows_per_shard), *flags]
        values = {"model.name_or_path": self.model, "data.prepared_dir": options.prepared}
        values["quantization.load_in_4bit"] = "false"
        case["seconds_with_start"] = self.single.run(*words, *settings(values, options.set))
        case["predictions_per_s"] = per_second = rate(out, count)
        first = next((each for each in self.cases if each["case"] == "score"), case)
        case["ratio_to_one_process"] = per_second / first["predictions_per_s"]
        self.cases.append(case)
        return out

    def train_float32(self) -> None:
        """Compare float32 weights of several processes, and of two runs in one process."""
        runs = [
            ("train, float32", self._folder("float32", self.single), self.single),
            # On another GPU where there are several.
            ("train, float32, again", self._folder("again", self.single), Launch(1, device=-1)),
            ("train, float32", self._folder("float32", self.several), self.several),
        ]
        finish(
            *(
                launch.start(*self._training(run, launch, self.options.float32_steps, 1, *_EXACT))
                for _, run, launch in runs
            )
        )
        for case, run, launch in runs:
            auc = validation_auc(run)
            self.cases.append({"case": case, "processes": launch.processes, "auc": auc})
        alone, again, together = (run for _, run, _ in runs)
        floor = self._compare_adapters("train, float32", "1 process and 1 again", alone, again)
        share = self._compare_adapters("train, float32", self._compared, alone, together)
        if not share <= max(self.options.tolerance, 2 * floor):
            self.failures.append(f"weights differ by {share:.2g} of their largest change")

    def train_sharded(self) -> None:
        """Compare sharded weights with copies, and a resumed run with an uninterrupted one.

        Raises:
            SystemExit: The run ended before it could be terminated, or without a checkpoint.
        """
        sharded = Launch(self.options.processes, config=_FSDP_FILE)
        copied, whole = self._folder("copied", self.several), self._folder("sharded", sharded)
        steps, half = self.options.steps, self.options.steps // 2
        saved = [f"train.save_steps={half}", f"train.eval_steps={half}", "train.logging_steps=1"]
        saved += ["train.metric_for_best_model=null", "scoring.fusion=none"]
        for run, launch in ((copied, self.several), (whole, sharded)):
            launch.run(*self._training(run, launch, steps, 1, *saved))
        self.cases += sharded_rates(copied=copied, sharded=whole)
        resumed = self._folder("resumed", sharded)
        shutil.rmtree(resumed, ignore_errors=True)  # its checkpoint would be taken for the new one
        words = self._training(resumed, sharded, steps, 1, *saved)
        started = sharded.start(*words)
        checkpoint = resumed / f"checkpoint-{half}" / CHECKSUMS_FILE
        while started.poll() is None and not checkpoint.exists():
            time.sleep(0.1)
        started.terminate()
        if not started.wait() or not checkpoint.exists():
            raise SystemExit(f"{resumed.name} ended before it could be terminated")
        sharded.run(*("--resume" if word == "--overwrite" else word for word in words))
        difference = largest_loss_difference(whole, resumed)
        self._compare_adapters("train, sharded", "resumed and not", whole, resumed)
        self.adapters[-1]["largest_difference_of_a_loss"] = difference
        if not difference <= self.options.tolerance:
            self.failures.append(f"losses differ by {difference:.2g}")

    def _compare_adapters(self, case: str, compared: str, first: Path, second: Path) -> float:
        difference = weight_difference(first, second)
        self.adapters.append({"case": case, "compared": compared, **difference})
        return difference["share_of_the_change"]

    def _folder(self, name: str, launch: Launch) -> Path:
        return self.options.work / f"{name}-{launch.processes}"

    def _training(
        self, run: Path, launch: Launch, steps: int, batch: int, *changes: str
    ) -> list[str | Path]:
        """Return the arguments of one training run.

        Args:
            run: Its folder.
            launch: Its processes.
            steps: Number of training steps.
            batch: Packed rows per process and step, with several processes.
            changes: Further overrides.
        """
        values: dict[str, object] = {
            "model.name_or_path": self.model,
            "quantization.load_in_4bit": "false",
            "lora.dropout": 0,  # random in each process
            "data.prepared_dir": self.options.prepared,
            "data.cache_dir": run.with_name(f"{run.name}-cache"),
            "data.max_eval_examples": self.options.eval_rows,
            "train.output_dir": run,
            "train.max_steps": steps,
            "train.eval_steps": steps,
            "train.save_steps": steps,
            "train.batch_size": batch,
            "train.gradient_accumulation_steps": self.several.processes // launch.processes,
            "train.gradient_checkpointing": "false",
            "train.early_stopping_patience": "null",
        }
        flags = settings(values, [*changes, *self.options.set])
        return ["train", "--overwrite", "--config", self.options.config, *flags]


@contextmanager
def nodes(count: int) -> Iterator[str]:
    """Start a Ray cluster of nodes on this machine, and yield its address."""
    from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    gpus = torch.cuda.device_count()
    store: dict[str, Any] = {"object_store_memory": 80 << 20}  # blocks are numbers of shards
    cluster = Cluster()
    cluster.add_node(num_cpus=0, num_gpus=0, include_dashboard=False, **store)
    for number in range(count):
        visible = {"CUDA_VISIBLE_DEVICES": str(number)} if gpus else {}
        cluster.add_node(num_cpus=1, num_gpus=int(gpus > 0), env_vars=visible, **store)
    try:
        yield str(cluster.address)
    finally:
        cluster.shutdown()


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    options = common_options(__doc__ or "")
    options.add_argument("--tokenizer", type=Path, help="The tokenizer of the --shape.")
    options.add_argument("--shape", choices=SHAPES, default="qwen3-0.6b")
    options.add_argument("--model", type=Path, help="Real weights instead of a shape.")
    options.add_argument("--config", type=Path, default=Path("configs/qwen3_movielens_qlora.yaml"))
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--parts", nargs="*", choices=_PARTS, help="Default: all, fsdp on GPUs.")
    options.add_argument("--nodes", nargs="*", type=int, default=[1, 2], help="Clusters to time.")
    options.add_argument("--steps", type=int, default=24, help="Steps of training for the rate.")
    options.add_argument("--batch", type=int, default=4, help="Packed rows per process and step.")
    options.add_argument("--float32-steps", type=int, default=5)
    options.add_argument("--eval-rows", type=int, default=200, help="Rows scored after training.")
    options.add_argument("--users", type=int, default=600, help="Users in the table to score.")
    options.add_argument("--films", type=int, default=150, help="Films per user.")
    options.add_argument("--rows-per-shard", type=int, default=5000)
    options.add_argument(
        "--tolerance",
        type=float,
        default=0.01,
        help="Largest difference in P(Yes), in weights as a share of the largest change, and in "
        "losses as a share.",
    )
    options.add_argument(
        "--set", action="append", default=[], help="Overrides of the configuration."
    )
    options.add_argument("--work", type=Path, default=Path("output/processes"))
    return options


def main(arguments: list[str] | None = None) -> None:
    """Compare one process with several and print the figures."""
    command = parser()
    options = command.parse_args(arguments)
    if options.steps <= StepClock.WARM_UP_STEPS:
        command.error(f"--steps must be more than {StepClock.WARM_UP_STEPS}: those warm up")
    if options.processes < 2:
        command.error("--processes must be at least 2")
    if options.model is None and options.tokenizer is None:
        command.error("give either --model or --tokenizer")
    if options.parts is None and not torch.cuda.is_available():
        options.parts = [part for part in _PARTS if part != "fsdp"]
    model = options.model or make_model(options.work / "model", options.tokenizer, options.shape)
    comparison = Comparison(options, model)
    shape = "shape" if options.model is None else "model"
    shown = (
        "processes",
        "nodes",
        "parts",
        "steps",
        "batch",
        "float32_steps",
        "eval_rows",
        "users",
        "films",
    )
    line = command_line("processes", options, shape, *shown, "rows_per_shard", "set")
    for method in (name for part in options.parts or _PARTS for name in _PARTS[part]):
        getattr(comparison, method)()
        more = {
            "predictions": comparison.predictions or None,
            "adapters": comparison.adapters or None,
        }
        write_result(options.result, line, comparison.cases, note=options.note, **more)
    for figures in [*comparison.cases, *comparison.predictions, *comparison.adapters]:
        print(json.dumps(figures))
    if comparison.failures:
        raise SystemExit("\n".join(comparison.failures))


if __name__ == "__main__":
    main()
