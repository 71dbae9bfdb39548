"""Intervals of every metric of several scorers, on made-up predictions of users of uneven sizes.

    python -m benchmarks.bootstrap

The time is that of all draws and of the intervals asked of them: those of every metric of every
scorer, and of the difference of every scorer to the first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.common import command_line, timed, write_result
from reeltune.evaluation.arrays import Floats, Ints, Labels
from reeltune.evaluation.intervals import BOOTSTRAP_SAMPLES, Interval, bootstrap
from reeltune.evaluation.metrics import METRICS, choose_threshold


def made_up(rows: int, users: int, scorers: int) -> tuple[Labels, Ints, dict[str, Floats]]:
    """Return labels, users and predictions.

    Numbers of ratings spread over users as in MovieLens, where the largest user of some hundred
    has tens of times the median's; users differ in how generous they are, and scorers in how much
    they know.
    """
    random = np.random.default_rng(0)
    share = random.lognormal(sigma=1.2, size=users)
    more = random.choice(users, size=rows - users, p=share / share.sum())
    user_id = np.sort(np.append(np.arange(users), more))
    taste = random.normal(size=users)[user_id] + random.normal(size=rows)
    labels = taste + random.normal(size=rows) > 0
    predictions = {
        f"scorer {number}": 1 / (1 + np.exp(-taste - random.normal(scale=1 + number, size=rows)))
        for number in range(scorers)
    }
    return labels, user_id, predictions


def main(arguments: list[str] | None = None) -> None:
    """Measure one size and print one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=9000)
    parser.add_argument("--users", type=int, default=610)
    parser.add_argument("--scorers", type=int, default=10)
    parser.add_argument("--draws", type=int, default=BOOTSTRAP_SAMPLES)
    parser.add_argument("--calls", type=int, default=3, help="Calls whose median is reported.")
    parser.add_argument("--result", type=Path, help="Where the JSON goes.")
    parser.add_argument("--note", help="What a reader of the result should know of the machine.")
    options = parser.parse_args(arguments)

    labels, user_id, predictions = made_up(options.rows, options.users, options.scorers)
    thresholds = {name: choose_threshold(labels, found) for name, found in predictions.items()}
    first = next(iter(predictions))

    def intervals() -> list[Interval | None]:
        found = bootstrap(labels, user_id, predictions, thresholds, seed=0, samples=options.draws)
        asked = [found.interval(name, metric) for name in predictions for metric in METRICS]
        others = [name for name in predictions if name != first]
        return asked + [found.difference(first, name, key) for name in others for key in METRICS]

    seconds, asked = timed(intervals, options.calls)
    case = {
        "case": "all metrics and their differences",
        "rows": options.rows,
        "users": options.users,
        "scorers": options.scorers,
        "draws": options.draws,
        "intervals": sum(interval is not None for interval in asked),
        "seconds": seconds,
    }
    shown = ("rows", "users", "scorers", "draws", "calls")
    write_result(
        options.result, command_line("bootstrap", options, *shown), [case], note=options.note
    )
    print(
        f"{case['rows']} rows of {case['users']} users, {case['scorers']} scorers, "
        f"{case['draws']} draws: {case['intervals']} intervals in {seconds:.2f} s"
    )


if __name__ == "__main__":
    main()
