"""Time and memory of ``prepare`` for ratings whose ids are text, beside the same with numbers.

Ratings are made by a seeded generator; every case is a process of its own. Hyperparameters of
signals are not fitted, as that takes as long for either::

    python -m benchmarks.prepare_time --ratings 32000000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import reeltune
from benchmarks.common import command_line, write_result
from reeltune.runs.environment import peak_memory
from reeltune.seeds import stream

IDS = ("numbers", "text")


def write_ratings(path: Path, ratings: int, ids: str, seed: int) -> None:
    """Write a CSV file of ratings from 1 to 10 by users with 160 ratings each, in random order."""
    random = stream(seed, "ratings to prepare")
    users, each = max(ratings // 160, 1), min(ratings, 160)
    items = max(ratings // 400, 2 * each)
    user = np.repeat(np.arange(users), each)
    first, step = random.integers(items, size=(2, users))
    item = (first[:, None] + (1 + step[:, None] % (items // each)) * np.arange(each)) % items
    frame = pl.DataFrame({"user": user, "item": item.ravel()}).with_columns(
        pl.Series("rating", random.binomial(9, 0.7, len(user)) + 1),
        pl.Series("timestamp", random.integers(10**9, 15 * 10**8, len(user))),
    )
    if ids == "text":
        number = pl.col("user", "item").cast(pl.String).str.zfill(7)
        frame = frame.with_columns(number)
        frame = frame.with_columns(pl.format("A3R27T4HAD-{}", "user").alias("user"))
        frame = frame.with_columns(pl.format("B0-{}", "item").alias("item"))
    frame.sample(fraction=1.0, shuffle=True, seed=seed).write_csv(path)


def one_case(path: Path, output: Path) -> dict[str, Any]:
    """Prepare one file in this process and return its figures."""
    began, worked = time.perf_counter(), time.process_time()
    folder = reeltune.prepare(path, output, export=None, fit=False)
    seconds = time.perf_counter() - began
    return {
        "ratings": folder.counts["events"],
        "users": folder.counts["users"],
        "items": folder.counts["items"],
        "seconds": round(seconds, 2),
        "cpu_seconds": round(time.process_time() - worked, 2),
        "peak_gib": peak_memory()["resident_gib"],
    }


def main(arguments: list[str] | None = None) -> None:
    """Time each case and print its figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ratings", type=int, nargs="+", default=[1_000_000], help="Sizes.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--result", type=Path, help="The JSON file to write.")
    parser.add_argument("--note", help="A note on the machine, shown above the table.")
    parser.add_argument("--one", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(one_case(*options.one)))
        return
    cases = []
    for ratings in options.ratings:
        for ids in IDS:
            with tempfile.TemporaryDirectory() as work:
                file = Path(work, "ratings.csv")
                write_ratings(file, ratings, ids, options.seed)
                command = [sys.executable, "-m", "benchmarks.prepare_time", "--one", str(file)]
                done = subprocess.run(
                    [*command, str(Path(work, "prepared"))],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                case = {"case": f"{ratings:,} ratings, ids are {ids}"}
                found = case | json.loads(done.stdout.splitlines()[-1])
            cases.append(found)
            print(json.dumps(found))
    command_text = command_line("prepare_time", options, "ratings", "seed")
    write_result(options.result, command_text, cases, note=options.note)


if __name__ == "__main__":
    main()
