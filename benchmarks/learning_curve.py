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
from reeltune.baselines.signals import EXPECTED_ALONE
from reeltune.data.columns import CONTEXT, TEST, TRAIN, VALIDATION, Columns
from reeltune.data.folder import META_FILE, TIMELINES_FILE, PreparedFolder
from reeltune.evaluation.collect import BASE, TUNED, strongest
from reeltune.evaluation.metrics import measure
from reeltune.evaluation.predictions import PREDICTIONS_FILE

FEW: Final = 1000
"""Up to so many rows, steps are small and there are more passes: see :data:`FOR_FEW`."""

FOR_FEW: Final = {
    "train.block_size": 30,
    "train.pack_length": 4608,
    "train.epochs": 4,
    "train.pairwise_weight": 0,
}

SOME: Final = 10_000
"""Up to so many rows there are two passes: one has less than a hundred steps."""


WITHIN: Final = (BASE, EXPECTED_ALONE, "item mean", "item kNN", "logistic regression")
"""Beside the tuned model, whose AUC in a user is shown: the strongest there, and for whom it is not
the aim."""


def with_fewer_users(prepared: Path, rows: int, seed: int, to: Path) -> int:
    """Write prepared data in which only some users are learned from.

    Training rows of the others become context: their own histories keep them, but nothing is
    learned from users without a training row.

    Args:
        prepared: The whole data.
        rows: Training rows at most.
        seed: Decides the users.
        to: Where to.

    Returns:
        How many training rows are left.
    """
    known = PreparedFolder.open(prepared).timelines
    users, counts = np.unique(known.user_id[known.split == TRAIN], return_counts=True)
    kept, left = [], rows
    for place in np.random.default_rng(seed).permutation(len(users)):
        if counts[place] <= left:
            kept.append(users[place])
            left -= int(counts[place])
    dropped = (known.split == TRAIN) & ~np.isin(known.user_id, kept)
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(prepared, to, ignore=shutil.ignore_patterns("*.json", "*.jsonl"))
    table = pq.read_table(prepared / TIMELINES_FILE)
    place = table.column_names.index(Columns.SPLIT)
    split = pa.array(np.where(dropped, CONTEXT, known.split).tolist(), pa.string())
    pq.write_table(table.set_column(place, Columns.SPLIT, split), to / TIMELINES_FILE)
    meta = json.loads((prepared / META_FILE).read_text(encoding="utf-8"))
    meta["counts"]["train"] = rows - left
    meta["counts"]["context"] += int(dropped.sum())
    (to / META_FILE).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    return rows - left


def train_and_evaluate(size: int, device: int, options: argparse.Namespace) -> None:
    """Train on one size and judge the held-out rows, unless that has been done."""
    run = options.work / f"run_{size}"
    if (run / "evaluation" / PREDICTIONS_FILE).is_file():
        return
    given: dict[str, Any] = {
        "data.prepared_dir": options.work / f"prepared_{size}",
        "data.cache_dir": options.work / f"cache_{size}",
        "train.output_dir": run,
        "train.seed": options.seed,
        **(FOR_FEW if size <= FEW else {"train.epochs": 2} if size <= SOME else {}),
    }
    flags = ["--config", options.config, *settings(given, options.set)]
    one = Launch(1, device)
    one.run("train", *flags, "--overwrite")
    one.run("evaluate", *flags, "--no-baselines", "--ablations", "0")


def figures(size: int, rows: int, run: Path, prepared: Path, seed: int) -> dict[str, Any]:
    """Return the AUC on test rows of everything that learned from one size."""
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
        **{f"auc, {as_}": metrics[name].auc for as_, name in named.items() if name is not None},
        "best_baseline": best,
        **{end: gap[end] for end in ("value", "low", "high")},
        "less_same_signals": of_same_signals,
        "all": {name: own.to_dict() for name, own in metrics.items()},
    }


def beside(cases: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return what is shown beside the curve itself: other differences, and the AUC in a user."""
    return {
        "differences_from_the_best_with_signals": [
            {**gap, "case": case["case"]} for case in cases for gap in case["less_same_signals"]
        ],
        "auc_in_a_user": [
            {"case": case["case"]}
            | {
                name: own["auc_per_user_mean"]
                for name, own in case["all"].items()
                if name.startswith(TUNED) or name in WITHIN
            }
            for case in cases
        ],
    }


def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, fit the baselines, write the result."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 1000, 8000, 32_000])
    parser.add_argument("--whole", type=Path, help="A run on all rows that has been evaluated.")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--at-once", type=int, default=1, help="Trainings beside each other.")
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
            pool.submit(train_and_evaluate, size, place, options)
            for place, size in enumerate(reversed(options.sizes))
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
    write_result(options.result, command, cases, **beside(cases), note=options.note)
    for case in cases:
        print({key: value for key, value in case.items() if key != "all"})


if __name__ == "__main__":
    main()
