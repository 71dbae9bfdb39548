"""What several GPUs of one host are worth: `train` and `score` in one process and in several.

Both are run through the command line, as users run them: plain with one GPU visible, and under
`accelerate launch` (without a GPU: `torchrun`). Rows, seed and global batch are the same: where N
processes take one batch each, the one process accumulates N.

* `train` in the number type of the configuration, compiled where there is a GPU. The rate is that
  of training steps alone, after the first ones, from the run's own `metrics.json`. Equal global
  batches make the ratio of examples/s that of steps/s.
* `score` asks the adapter of the first run about pairs of users and films they have not rated. The
  rate is read from when shards appear: each process's first one is left out, and with it loading
  and compiling; the slowest process counts for all.
* `train, float32`: a few steps whose weights are compared, and beside them those of one process
  run twice: sums on a GPU need not be repeatable, and AdamW turns the sign of a gradient that is
  nothing but rounding into a whole step. Nothing is timed, so all of them run at once.

    python -m benchmarks.processes --tokenizer QWEN3 --prepared data/movielens_qwen3 --processes 2

It fails where a row is missing, where predictions differ by more than `--tolerance`, and where
float32 weights do by more than that share of the largest change and more than twice as much as one
process from itself.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

from benchmarks.bulk_answers import largest_difference, slowest_rate, write_pairs
from benchmarks.common import SHAPES, command_line, common_options, make_model, write_result
from benchmarks.launching import Launch, finish, settings
from benchmarks.trained_runs import training_rates, validation_auc, weights_apart
from reeltune.training.progress import StepClock

_EXACT: Final = (
    "model.dtype=float32",
    "train.compile=false",
    "train.gradient_checkpointing=true",  # two processes share a GPU
)
_PARTS: Final = {"rates": ("train", "score"), "weights": ("train_float32",)}


class Comparison:
    """Runs everything and gathers what it finds.

    Args:
        options: As parsed.
        model: The folder of the model.

    Attributes:
        cases: Rates, of one process and of several.
        adapters: How far the weights of adapters are apart.
        predictions: How far predictions are apart.
        faults: What is not as it should be.
    """

    def __init__(self, options: argparse.Namespace, model: Path) -> None:
        self.options = options
        self.model = model
        self.one, self.several = Launch(1), Launch(options.processes)
        self.cases: list[dict[str, Any]] = []
        self.adapters: list[dict[str, Any]] = []
        self.predictions: list[dict[str, Any]] = []
        self.faults: list[str] = []

    @property
    def _compared(self) -> str:
        return f"{self.several.processes} processes and 1"

    def train(self) -> None:
        """Compare the rate of training."""
        alone, together = self._folder("train", self.one), self._folder("train", self.several)
        for run, launch in ((alone, self.one), (together, self.several)):
            launch.run(*self._training(run, launch, self.options.steps, self.options.batch))
        self.cases += training_rates(alone, together, self.several.processes)
        self._compare_adapters("train", self._compared, alone, together)

    def score(self) -> None:
        """Compare the rate of scoring, and the predictions.

        Raises:
            SystemExit: Rows are missing.
        """
        options = self.options
        table = options.work / "pairs.parquet"
        write_pairs(table, options.prepared, options.users, options.items)
        answers = [self._folder("score", launch) for launch in (self.one, self.several)]
        for out, launch in zip(answers, (self.one, self.several), strict=True):
            words = ["score", table, out, "--overwrite", "--config", options.config]
            words += ["--adapter", self._folder("train", self.one)]
            words += ["--rows-per-shard", str(options.rows_per_shard)]
            where = {"data.prepared_dir": options.prepared}
            seconds = launch.run(*words, *settings(where, options.set))
            rate = slowest_rate(out, launch.processes)
            case = {"case": "score", "processes": launch.processes, "predictions_per_s": rate}
            first = self.cases[-1] if launch is self.several else case
            case["ratio_to_one_process"] = rate / first["predictions_per_s"]
            self.cases.append(case | {"seconds_with_start": seconds})
        found = largest_difference(table, *answers)
        self.predictions.append({"case": "score", "compared": self._compared, **found})
        if not found["largest_difference"] <= options.tolerance:
            self.faults.append(f"predictions differ by {found['largest_difference']:.2g}")

    def train_float32(self) -> None:
        """Compare what is learned in float32, and how far one process is from itself."""
        runs = [
            ("train, float32", self._folder("float32", self.one), self.one),
            # On another GPU where there are several.
            ("train, float32, again", self._folder("again", self.one), Launch(1, device=-1)),
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
            self.faults.append(f"weights differ by {share:.2g} of their largest change")

    def _compare_adapters(self, case: str, compared: str, one: Path, other: Path) -> float:
        found = weights_apart(one, other)
        self.adapters.append({"case": case, "compared": compared, **found})
        return found["share_of_the_change"]

    def _folder(self, name: str, launch: Launch) -> Path:
        return self.options.work / f"{name}-{launch.processes}"

    def _training(
        self, run: Path, launch: Launch, steps: int, batch: int, *changes: str
    ) -> list[str | Path]:
        """Return the words of one training run.

        Args:
            run: Its folder.
            launch: How it is started.
            steps: How many it has.
            batch: Packed rows of each of several processes in a step; one process takes them all.
            changes: Settings of its own.
        """
        values: dict[str, object] = {
            "model.name_or_path": self.model,
            "quantization.load_in_4bit": "false",
            "lora.dropout": 0,  # each process would draw its own
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


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    made = common_options(__doc__ or "")
    made.add_argument("--tokenizer", type=Path, help="With --shape: its tokenizer.")
    made.add_argument("--shape", choices=SHAPES, default="qwen3-0.6b")
    made.add_argument("--model", type=Path, help="Real weights instead of a shape.")
    made.add_argument("--config", type=Path, default=Path("configs/qwen3_movielens_qlora.yaml"))
    made.add_argument("--processes", type=int, default=2)
    made.add_argument("--parts", nargs="*", choices=_PARTS, help="By default all.")
    made.add_argument("--steps", type=int, default=24, help="Steps of training for the rate.")
    made.add_argument("--batch", type=int, default=4, help="Packed rows of one process's step.")
    made.add_argument("--float32-steps", type=int, default=5)
    made.add_argument("--eval-rows", type=int, default=200, help="Rows scored after training.")
    made.add_argument("--users", type=int, default=600, help="Users whose films are judged.")
    made.add_argument("--films", dest="items", type=int, default=150, help="Films judged for each.")
    made.add_argument("--rows-per-shard", type=int, default=5000)
    made.add_argument("--tolerance", type=float, default=0.01, help="Of P(Yes), and of changes.")
    made.add_argument("--set", action="append", default=[], help="As reeltune takes it.")
    made.add_argument("--work", type=Path, default=Path("output/processes"))
    return made


def main(arguments: list[str] | None = None) -> None:
    """Compare one process with several and print one table."""
    command = parser()
    options = command.parse_args(arguments)
    if options.steps <= StepClock.WARM_UP_STEPS:
        command.error(f"--steps must be more than {StepClock.WARM_UP_STEPS}: those warm up")
    if options.processes < 2:
        command.error("--processes must be at least 2")
    if options.model is None and options.tokenizer is None:
        command.error("give either --model or --tokenizer")
    model = options.model or make_model(options.work / "model", options.tokenizer, options.shape)
    found = Comparison(options, model)
    shape = "shape" if options.model is None else "model"
    asked = ("processes", "parts", "steps", "batch", "float32_steps", "eval_rows", "users", "items")
    line = command_line("processes", options, shape, *asked, "rows_per_shard", "set")
    for part in (name for one in options.parts or _PARTS for name in _PARTS[one]):
        getattr(found, part)()
        more = {"predictions": found.predictions or None, "adapters": found.adapters or None}
        write_result(options.result, line, found.cases, note=options.note, **more)
    for one in [*found.cases, *found.predictions, *found.adapters]:
        print(json.dumps(one))
    if found.faults:
        raise SystemExit("\n".join(found.faults))


if __name__ == "__main__":
    main()
