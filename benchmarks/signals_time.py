"""Duration of computing the signal `expected` for all events, for editions of any size.

Item statistics and similarities of all folds are computed; then random users are timed and the
total is extrapolated. The other signals are sums and take little time. Synthetic ratings serve as
well as real ones, since only their number matters::

    reeltune fetch synthetic --users 6040 --items 3706 --ratings-per-user 165 --into data/raw/as_1m
    reeltune prepare --ratings-dir data/raw/as_1m --output-dir data/as_1m --no-json
    python -m benchmarks.signals_time --prepared data/as_1m
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import command_line, common_options, write_result
from reeltune.data.folder import PreparedFolder
from reeltune.runs.environment import peak_memory
from reeltune.seeds import sample_rows
from reeltune.signals.item_statistics import FOLDS
from reeltune.signals.source import SignalSource
from reeltune.signals.target import gp_target


def figures(prepared: Path, users: int, seed: int) -> dict[str, Any]:
    """Time one edition.

    Args:
        prepared: The prepared folder.
        users: Number of users to sample.
        seed: Seed of the sample.
    """
    folder = PreparedFolder.open(prepared)
    known, items = folder.ratings, folder.items
    began = time.perf_counter()
    settings = replace(folder.prompt_settings, signals=("expected",))
    source = SignalSource(known, items, settings)
    no_events = np.empty(0, dtype=np.int64)
    for fold in range(FOLDS):
        source.gaussian_process.posterior(fold, no_events, np.empty(0)).before_each_event()
    folds_seconds = time.perf_counter() - began

    first = np.flatnonzero(known.position == 0)
    ends = np.append(first[1:], len(known))
    sample = sample_rows(len(first), users, seed, "users timed")
    targets = gp_target(known.rating, known.liked)
    began = time.perf_counter()
    for user in sample:
        events = slice(first[user], ends[user])
        items_of, fold = known.item_idx[events].astype(np.int64), int(source.fold[events.start])
        source.gaussian_process.posterior(fold, items_of, targets[events]).before_each_event()
    seconds = time.perf_counter() - began
    return {
        "case": prepared.name,
        "users": len(first),
        "items": len(items),
        "ratings": len(known),
        "fold statistics, seconds": folds_seconds,
        "users timed": len(sample),
        "milliseconds per user": 1000 * seconds / len(sample),
        "minutes for all users, extrapolated": (folds_seconds + seconds * len(first) / len(sample))
        / 60,
        "peak_gib": peak_memory()["resident_gib"],
    }


def main(arguments: list[str] | None = None) -> None:
    """Time each edition and print its figures."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="More prepared folders.")
    parser.add_argument("--users", type=int, default=600, help="Users timed per edition.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    cases = []
    for prepared in (options.prepared, *options.also):
        cases.append(figures(prepared, options.users, options.seed))
        print(cases[-1], flush=True)
    command = command_line("signals_time", options, "prepared", "also", "users", "seed")
    write_result(options.result, command, cases, note=options.note)


if __name__ == "__main__":
    main()
