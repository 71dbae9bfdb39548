"""How long the evidence on all events takes to make, for editions of any size.

All that is made once is made: what films are worth and which are alike, as each part of the users
sees it. Then users are drawn at random, and what they take says what all of them would take. It is
the kind `expected` that takes the time; the others are sums. Generated ratings serve as well as
real ones, since only how many there are counts::

    reeltune fetch synthetic --users 6040 --films 3706 --ratings-per-user 165 --into data/raw/as_1m
    reeltune prepare --ratings-dir data/raw/as_1m --output-dir data/as_1m --no-json
    python -m benchmarks.signals_time --prepared data/as_1m
"""

from __future__ import annotations

import time
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
    """Return what one edition takes.

    Args:
        prepared: A prepared folder.
        users: How many users are drawn.
        seed: Decides who.
    """
    folder = PreparedFolder.open(prepared)
    known, items = folder.ratings, folder.items
    began = time.perf_counter()
    settings = folder.prompt_settings
    source = SignalSource(known, items, settings.threshold, settings.scale.step, ("expected",))
    nothing = np.empty(0, dtype=np.int64)
    for part in range(FOLDS):
        source.gaussian_process.posterior(part, nothing, np.empty(0)).before_each_event()
    once = time.perf_counter() - began

    first = np.flatnonzero(known.position == 0)
    ends = np.append(first[1:], len(known))
    drawn = sample_rows(len(first), users, seed, "users timed")
    targets = gp_target(known.rating, known.liked)
    began = time.perf_counter()
    for user in drawn:
        own = slice(first[user], ends[user])
        rows, part = known.item_idx[own].astype(np.int64), int(source.fold[own.start])
        source.gaussian_process.posterior(part, rows, targets[own]).before_each_event()
    seconds = time.perf_counter() - began
    return {
        "case": prepared.name,
        "users": len(first),
        "items": len(items),
        "ratings": len(known),
        "once, seconds": once,
        "users timed": len(drawn),
        "a user, milliseconds": 1000 * seconds / len(drawn),
        "all users, minutes reckoned": (once + seconds * len(first) / len(drawn)) / 60,
        "peak_gib": peak_memory()["resident_gib"],
    }


def main(arguments: list[str] | None = None) -> None:
    """Time one edition and print its figures."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="More prepared folders.")
    parser.add_argument("--users", type=int, default=600, help="How many are timed of each.")
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
