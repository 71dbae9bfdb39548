"""Duration of computing the signals of all events, for editions of any size, and its exactness.

The signal ``expected`` is computed for all events as a training does, in batches and threads; then
for random users one at a time, as for queries, on one core, and extrapolated. Synthetic ratings
serve as well as real ones, since only their number matters::

    reeltune fetch synthetic --users 6040 --items 3706 --ratings-per-user 165 --into data/raw/as_1m
    reeltune prepare --ratings-dir data/raw/as_1m --output-dir data/as_1m --no-json
    python -m benchmarks.signals_time --prepared data/as_1m
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from benchmarks.common import command_line, common_options, write_result
from reeltune.data.folder import PreparedFolder
from reeltune.domain import SIGNALS
from reeltune.runs.environment import peak_memory
from reeltune.seeds import sample_rows
from reeltune.signals.source import SignalSource
from reeltune.signals.target import gp_target, like_probability

Result = TypeVar("Result")


def measured(work: Callable[[], Result]) -> tuple[float, float, Result]:
    """Return the seconds and the processor seconds of all threads that work takes, and its result.

    Other programs on the machine lengthen the first, hardly the second.
    """
    began, processor = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - began, time.process_time() - processor, result


def figures(prepared: Path, users: int, seed: int) -> dict[str, Any]:
    """Time one edition.

    Args:
        prepared: The prepared folder.
        users: Number of users to compute one at a time.
        seed: Seed of their choice.
    """
    folder = PreparedFolder.open(prepared)
    known, items = folder.ratings, folder.items
    settings = replace(folder.prompt_settings, gaussian_process=folder.gaussian_process)
    others = replace(settings, signals=tuple(kind for kind in SIGNALS if kind != "expected"))
    rest, rest_processor, _ = measured(SignalSource(known, items, others).of_events)

    settings = replace(settings, signals=("expected",))
    source = SignalSource(known, items, settings)
    everybody = np.arange(len(source.first))
    seconds, processor, expected = measured(lambda: source.expected_targets(everybody))
    peak = peak_memory()["resident_gib"]

    targets, ends = gp_target(known.rating, known.liked), np.append(source.first[1:], len(known))
    drawn = sample_rows(len(everybody), users, seed, "users timed")
    sample = [np.arange(int(source.first[user]), int(ends[user])) for user in drawn]
    minutes = len(everybody) / len(sample) / 60

    def one_at_a_time() -> list[npt.NDArray[np.float64]]:
        return [
            source.posterior(
                int(source.fold[events[0]]),
                known.item_idx[events].astype(np.int64),
                targets[events],
            ).before_each_event()
            for events in sample
        ]

    with threadpool_limits(1):  # several threads of BLAS mostly wait for each other
        alone, alone_processor, before = measured(one_at_a_time)
    values, after = np.concatenate(before), expected[np.concatenate(sample)]
    codes = [np.rint(100 * like_probability(each, settings)) for each in (values, after)]
    return {
        "case": prepared.name,
        "users": len(everybody),
        "items": len(items),
        "ratings": len(known),
        "other signals, seconds": rest,
        "other signals, processor seconds": rest_processor,
        "expected, seconds": seconds,
        "expected, processor seconds": processor,
        "peak_gib": peak,
        "users one at a time": len(sample),
        "one at a time, minutes for all users, extrapolated": alone * minutes,
        "one at a time, processor minutes, extrapolated": alone_processor * minutes,
        "largest difference": float(np.abs(values - after).max()),
        "codes compared": len(values),
        "codes that differ": int((codes[0] != codes[1]).sum()),
    }


def main(arguments: list[str] | None = None) -> None:
    """Time each edition and print its figures."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="More prepared folders.")
    parser.add_argument(
        "--users", type=int, default=600, help="Users computed one at a time, per edition."
    )
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
