"""Look-ups of a token cache that several processes share, with two configurations alternating.

    python -m benchmarks.cache_stress --lookups 1000

Each look-up requests the rows of one of two keys and compares every array with those rows. Any
wrong look-up ends the command with exit code 1. ``--without-locks`` shows that rows are right on a
file system without locks, too.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reeltune import locks
from reeltune.data.folder import CacheKey
from reeltune.prompts.rows import TokenRows
from reeltune.prompts.sequences import Sequences
from reeltune.ragged import Ragged
from reeltune.runs.log import LOGGER
from reeltune.training.cache import TRAIN_CACHE, rows_of

_CONFIGURATIONS = 2


def synthetic_rows(configuration: int, rows: int) -> tuple[CacheKey, TokenRows]:
    """Return the key of a configuration and rows that only it has, as many as others have."""
    random = np.random.default_rng(configuration)
    lengths = random.integers(20, 60, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    zeros = np.zeros(rows, dtype=np.int64)
    sequences = Sequences(
        ids=Ragged(random.integers(0, 50_000, offsets[-1]), offsets),
        trunk=lengths,
        row=np.arange(rows),
        answer_position=lengths - 1,
        branch=zeros,
        leave=zeros,
        answered=True,
    )
    user, item = random.integers(1, 10_000, (2, rows))
    key = CacheKey({"configuration": configuration, "selection": {"answered": True}})
    return key, TokenRows(sequences, random.random(rows) < 0.5, user, item)


def equal(one: TokenRows, other: TokenRows) -> bool:
    """Return whether all arrays are equal."""

    def arrays(rows: TokenRows) -> list[np.ndarray]:
        ids = rows.sequences.ids
        named = {**vars(rows.sequences), **vars(rows)}
        return [ids.values, ids.offsets, *(v for v in named.values() if isinstance(v, np.ndarray))]

    return all(map(np.array_equal, arrays(one), arrays(other)))


def look_up_often(folder: Path, first: int, lookups: int, rows: int, lock: bool) -> Counter[str]:
    """Look up the configurations in turn, beginning with ``first``."""
    counts: Counter[str] = Counter({"not stored": 0})

    def count(record: logging.LogRecord) -> bool:
        """Count warnings of rows that are not stored; without locks they are too many to print."""
        counts["not stored"] += record.levelno == logging.WARNING
        return lock

    LOGGER.addFilter(count)
    if not lock:
        locks.lock_descriptor = lambda handle, **options: True
    cases = [synthetic_rows(each, rows) for each in range(_CONFIGURATIONS)]
    for number in range(first, first + lookups):
        key, expected = cases[number % _CONFIGURATIONS]
        made: list[TokenRows] = []

        def tokenize(expected: TokenRows = expected, made: list[TokenRows] = made) -> TokenRows:
            made.append(expected)
            return expected

        found = rows_of(folder / TRAIN_CACHE, key, tokenize, "train")
        counts.update({"lookups": 1, "hits": not made, "wrong": not equal(found, expected)})
    LOGGER.removeFilter(count)
    return counts


def stress(lookups: int, processes: int, rows: int, *, lock: bool = True) -> Counter[str]:
    """Return the counts of all processes together; this one is among them."""
    shares = [lookups // processes + (number < lookups % processes) for number in range(processes)]
    with (
        tempfile.TemporaryDirectory() as folder,
        multiprocessing.get_context("spawn").Pool(max(processes - 1, 1)) as pool,
    ):
        tasks = [(Path(folder), n, share, rows, lock) for n, share in enumerate(shares)]
        others = pool.starmap_async(look_up_often, tasks[1:])
        results = [look_up_often(*tasks[0]), *others.get()]
        left = sorted({path.name for path in Path(folder).iterdir()} - {TRAIN_CACHE})
    if left:
        raise SystemExit(f"left behind: {', '.join(left)}")
    counts: Counter[str] = Counter()
    for result in results:
        counts.update(result)
    return counts


def main(args: Sequence[str] | None = None) -> None:
    """Run the stress and print its counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lookups", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--without-locks", action="store_true")
    given = parser.parse_args(args)
    counts = stress(given.lookups, given.processes, given.rows, lock=not given.without_locks)
    print(
        f"{counts['lookups']:,} look-ups by {given.processes} processes, {_CONFIGURATIONS} "
        f"configurations: {counts['wrong']} wrong, {counts['hits']} hits, "
        f"{counts['lookups'] - counts['hits']} tokenized, {counts['not stored']} of them not stored"
    )
    sys.exit(int(counts["wrong"] > 0))


if __name__ == "__main__":
    main()
