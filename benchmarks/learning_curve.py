"""A learning curve: tuned models and classical baselines that learn from the same few users.

For each size, whole users are sampled until they have that many training rows; model, signals and
baselines learn from nobody else. (The hyperparameters of the Gaussian process, which come with the
package, are the same for all sizes.) The held-out rows are the same for all sizes. A size that has
been trained and evaluated is not trained again, so that the baselines can be computed on another
machine::

    python -m benchmarks.learning_curve --prepared data/movielens_qwen3 \
        --config configs/smollm2_movielens_lora.yaml --whole output/smollm2_movielens
"""

from __future__ import annotations

import argparse
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.common import command_line, common_options, write_result
from benchmarks.launching import Launch, settings
from benchmarks.recommending import add_competitors, differences_of, read_runs, resample
from reeltune.baselines.score import EXPECTED_ALONE
from reeltune.data.columns import CONTEXT, TEST, TRAIN, VALIDATION, Columns
from reeltune.data.folder import (
    DIGEST,
    META_FILE,
    TIMELINES_FILE,
    PreparedFolder,
    meta_digest,
)
from reeltune.data.meta import describe_file
from reeltune.evaluation.collect import BASE, TUNED, strongest
from reeltune.evaluation.metrics import measure
from reeltune.evaluation.predictions import PREDICTIONS_FILE

FEW: Final = 1000
"""Up to this many rows, steps are small and there are more epochs: :data:`FEW_SETTINGS`."""

FEW_SETTINGS: Final = {
    "train.block_size": 30,
    "train.pack_length": 4608,
    "train.epochs": 4,
    "train.pairwise_weight": 0,
}

TWO_EPOCHS_UP_TO: Final = 10_000
"""Up to this many rows there are two epochs, since one has fewer than a hundred steps."""

PER_USER: Final = (BASE, EXPECTED_ALONE, "item mean", "item kNN", "logistic regression")
"""Scorers whose AUC per user is shown, besides the tuned model."""


def with_fewer_users(prepared: Path, rows: int, seed: int, to: Path) -> int:
    """Write prepared data with the training rows of a random sample of users.

    Training rows of all other users become context events: they stay in those users' histories, but
    nothing learns from users without a training row.

    Args:
        prepared: The full data.
        rows: Largest number of training rows.
        seed: Seed of the sample.
        to: Folder to write.

    Returns:
        The number of training rows.
    """
    known = PreparedFolder.open(prepared).timelines
    users, counts = np.unique(known.user_id[known.split == TRAIN], return_counts=True)
    kept, left = [], rows
    for index in np.random.default_rng(seed).permutation(len(users)):
        if counts[index] <= left:
            kept.append(users[index])
            left -= int(counts[index])
    dropped = (known.split == TRAIN) & ~np.isin(known.user_id, kept)
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(prepared, to, ignore=shutil.ignore_patterns("*.json", "*.jsonl"))
    table = pq.read_table(prepared / TIMELINES_FILE)
    column = table.column_names.index(Columns.SPLIT)
    split = pa.array(np.where(dropped, CONTEXT, known.split).tolist(), pa.string())
    pq.write_table(table.set_column(column, Columns.SPLIT, split), to / TIMELINES_FILE)
    meta = json.loads((prepared / META_FILE).read_text(encoding="utf-8"))
    meta["counts"]["train"] = rows - left
    meta["counts"]["context"] += int(dropped.sum())
    meta["files"][TIMELINES_FILE] = describe_file(to / TIMELINES_FILE, len(table))
    meta[DIGEST] = meta_digest(meta)
    (to / META_FILE).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    return rows - left


def train_and_evaluate(size: int, device: int, options: argparse.Namespace) -> None:
    """Train on one size and evaluate, unless that has been done."""
    run = options.work / f"run_{size}"
    if (run / "evaluation" / PREDICTIONS_FILE).is_file():
        return
    values: dict[str, Any] = {
        "data.prepared_dir": options.work / f"prepared_{size}",
        "data.cache_dir": options.work / f"cache_{size}",
        "train.output_dir": run,
        "train.seed": options.seed,
        **(
            FEW_SETTINGS if size <= FEW else {"train.epochs": 2} if size <= TWO_EPOCHS_UP_TO else {}
        ),
    }
    flags = ["--config", options.config, *settings(values, options.set)]
    launch = Launch(1, device)
    launch.run("train", *flags, "--overwrite")
    launch.run("evaluate", *flags, "--no-baselines", "--ablations", "0")


def figures(size: int, rows: int, run: Path, prepared: Path, seed: int) -> dict[str, Any]:
    """Return the test AUC of every scorer that learned from one size."""
    predictions, (tuned,) = read_runs([run])
    competitors = add_competitors(predictions, run, prepared, seed)
    best, test, resampled = competitors.best["auc"], predictions[TEST], resample(predictions, seed)
    same_signals = strongest(predictions[VALIDATION], competitors.same_signals, "auc")
    named = {
        "base": BASE,
        "tuned": tuned,
        "best baseline": best,
        "best with signals": same_signals,
    }
    metrics = {name: measure(test.liked, p, test.user_id) for name, p in test.p_yes.items()}
    others = [other for other in (best, same_signals) if other is not None]
    gap, *of_same_signals = differences_of(predictions, resampled, others, "auc")
    return {
        "case": f"{size:,} rows" if size else "all rows",
        "training_rows": rows,
        **{f"auc, {label}": metrics[name].auc for label, name in named.items() if name is not None},
        "best_baseline": best,
        **{end: gap[end] for end in ("value", "low", "high")},
        "differences_same_signals": of_same_signals,
        "all": {name: values.to_dict() for name, values in metrics.items()},
    }


def further_tables(cases: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the tables below the curve: differences from the same signals, and AUC per user."""
    return {
        "differences_from_the_best_with_signals": [
            {**gap, "case": case["case"]}
            for case in cases
            for gap in case["differences_same_signals"]
        ],
        "auc_per_user": [
            {"case": case["case"]}
            | {
                name: metrics["auc_per_user_mean"]
                for name, metrics in case["all"].items()
                if name.startswith(TUNED) or name in PER_USER
            }
            for case in cases
        ],
    }


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, fit the baselines, write the result."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 1000, 8000, 32_000])
    parser.add_argument("--whole", type=Path, help="An evaluated run on all rows.")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--at-once", type=int, default=1, help="Trainings in parallel.")
    parser.add_argument("--only-train", action="store_true", help="Leave the baselines for later.")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--work", type=Path, default=Path("output/learning_curve"))
    options = parser.parse_args(arguments)

    rows = {
        size: with_fewer_users(
            options.prepared, size, options.seed, options.work / f"prepared_{size}"
        )
        for size in options.sizes
    }
    with ThreadPoolExecutor(options.at_once) as pool:
        for done in [
            pool.submit(train_and_evaluate, size, device, options)
            for device, size in enumerate(reversed(options.sizes))
        ]:
            done.result()
    if options.only_train:
        return
    cases = [
        figures(
            size,
            rows[size],
            options.work / f"run_{size}",
            options.work / f"prepared_{size}",
            options.seed,
        )
        for size in options.sizes
    ]
    if options.whole is not None:
        train = len(PreparedFolder.open(options.prepared).examples(TRAIN))
        cases.append(figures(0, train, options.whole, options.prepared, options.seed))
    command = command_line("learning_curve", options, "prepared", "config", "sizes", "whole", "set")
    write_result(options.result, command, cases, **further_tables(cases), note=options.note)
    for case in cases:
        print({key: value for key, value in case.items() if key != "all"})


if __name__ == "__main__":
    main()
