"""Bootstrap intervals of several scorers, on synthetic predictions.

    python -m benchmarks.bootstrap

Timed are all bootstrap samples and the intervals computed from them: every metric of every scorer,
and its difference from the first scorer.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.common import command_line, timed, write_result
from reeltune.evaluation.intervals import BOOTSTRAP_SAMPLES, Interval, bootstrap
from reeltune.evaluation.metrics import METRICS, choose_threshold
from reeltune.evaluation.predictions import Floats, Ints, Labels


def synthetic_predictions(
    rows: int, users: int, scorers: int
) -> tuple[Labels, Ints, dict[str, Floats]]:
    """Return labels, user ids and predictions by scorer.

    Ratings per user are skewed as in MovieLens, users differ in leniency, and later scorers have
    more noise.
    """
    random = np.random.default_rng(0)
    share = random.lognormal(sigma=1.2, size=users)
    more = random.choice(users, size=rows - users, p=share / share.sum())
    user_id = np.sort(np.append(np.arange(users), more))
    score = random.normal(size=users)[user_id] + random.normal(size=rows)
    labels = score + random.normal(size=rows) > 0
    predictions = {
        f"scorer {number}": 1 / (1 + np.exp(-score - random.normal(scale=1 + number, size=rows)))
        for number in range(scorers)
    }
    return labels, user_id, predictions


def main(arguments: list[str] | None = None) -> None:
    """Time one size and print one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=9000)
    parser.add_argument("--users", type=int, default=610)
    parser.add_argument("--scorers", type=int, default=10)
    parser.add_argument("--samples", type=int, default=BOOTSTRAP_SAMPLES)
    parser.add_argument("--calls", type=int, default=3, help="Calls whose median is reported.")
    parser.add_argument("--result", type=Path, help="The JSON file to write.")
    parser.add_argument("--note", help="A note on the machine, shown above the table.")
    options = parser.parse_args(arguments)

    labels, user_id, predictions = synthetic_predictions(
        options.rows, options.users, options.scorers
    )
    thresholds = {name: choose_threshold(labels, p_yes) for name, p_yes in predictions.items()}
    first = next(iter(predictions))

    def intervals() -> list[Interval | None]:
        samples = options.samples
        result = bootstrap(labels, user_id, predictions, thresholds, seed=0, samples=samples)
        values = [result.interval(name, metric) for name in predictions for metric in METRICS]
        others = [name for name in predictions if name != first]
        return values + [result.difference(first, name, key) for name in others for key in METRICS]

    seconds, computed = timed(intervals, options.calls)
    case = {
        "case": "all metrics and their differences",
        "rows": options.rows,
        "users": options.users,
        "scorers": options.scorers,
        "samples": options.samples,
        "intervals": sum(interval is not None for interval in computed),
        "seconds": seconds,
    }
    shown = ("rows", "users", "scorers", "samples", "calls")
    write_result(
        options.result, command_line("bootstrap", options, *shown), [case], note=options.note
    )
    print(
        f"{case['rows']} rows of {case['users']} users, {case['scorers']} scorers, "
        f"{case['samples']} samples: {case['intervals']} intervals in {seconds:.2f} s"
    )


if __name__ == "__main__":
    main()
