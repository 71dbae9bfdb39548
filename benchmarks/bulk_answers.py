"""What `reeltune score` is asked by a benchmark, and what is read from the answers it leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reeltune.bulk.lookup import Lookup
from reeltune.bulk.tasks import P_YES
from reeltune.data.columns import Columns
from reeltune.data.folder import PreparedFolder


def write_pairs(file: Path, prepared: Path, users: int, items: int) -> Path:
    """Write a table of users and films they have not rated, and return where it lies.

    Args:
        file: The table.
        prepared: The prepared data.
        users: How many, by ascending id; fewer where there are fewer.
        items: How many for each, drawn at random; fewer where fewer are left.
    """
    lookup = Lookup(PreparedFolder.open(prepared))
    user_id, item_id = [], []
    for user, known_as in enumerate(lookup.user_ids[:users]):
        unrated = np.setdiff1d(np.arange(len(lookup.item_ids)), lookup.rated(user))
        drawn = np.random.default_rng(user).permutation(unrated)[:items]
        user_id.append(np.full(len(drawn), known_as))
        item_id.append(lookup.item_ids[drawn])
    columns = {Columns.USER: np.concatenate(user_id), Columns.ITEM: np.concatenate(item_id)}
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({str(name): values for name, values in columns.items()}), file)
    return file


def shards(folder: Path) -> list[Path]:
    """Return the shards of a folder of answers, in their order."""
    return sorted(folder.glob("part-*.parquet"))


def slowest_rate(folder: Path, processes: int) -> float:
    """Return predictions per second, as if every process were as slow as the slowest.

    Processes take shards in turn, and a shard appears when it is whole. What comes before a
    process's first shard is left out: it loads the model and compiles kernels.

    Args:
        folder: The answers.
        processes: How many processes gave them.

    Raises:
        SystemExit: A process has written fewer than two shards.
    """
    parts = shards(folder)
    if len(parts) < 2 * processes:
        raise SystemExit(
            f"{len(parts)} shards tell no rate of {processes} processes: lower --rows-per-shard"
        )
    rates = []
    for process in range(processes):
        own = parts[process::processes]
        rows = sum(pq.read_metadata(part).num_rows for part in own[1:])
        written = [part.stat().st_mtime_ns for part in own]
        rates.append(1e9 * rows / (written[-1] - written[0]))
    return processes * min(rates)


def largest_difference(table: Path, one: Path, other: Path) -> dict[str, float]:
    """Return how far the predictions of two folders of answers are apart.

    Args:
        table: What was asked.
        one: The answers to it.
        other: Other answers to it.

    Raises:
        SystemExit: A row has no answer, or has not exactly one.
    """
    asked = pq.read_table(table)
    p_yes = []
    for folder in (one, other):
        found = pa.concat_tables([pq.read_table(part) for part in shards(folder)])
        if not found.select(asked.column_names).equals(asked) or found[P_YES].null_count:
            raise SystemExit(f"{folder.name}: not every row is answered once")
        p_yes.append(found[P_YES].to_numpy())
    return {
        "predictions": len(p_yes[0]),
        "largest_difference": float(np.abs(p_yes[1] - p_yes[0]).max()),
        "deviation": float(p_yes[0].std()),
    }
