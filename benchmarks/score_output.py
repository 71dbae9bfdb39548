"""Input tables for `reeltune score`, and rates and differences of its output folders."""

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
    """Write a table of users and films they have not rated, and return its path.

    Args:
        file: The table.
        prepared: The prepared data.
        users: Number of users, by ascending id; at most all.
        items: Random unrated films per user; at most all.
    """
    lookup = Lookup(PreparedFolder.open(prepared))
    user_id, item_id = [], []
    for user, known_id in enumerate(lookup.user_ids[:users].tolist()):
        unrated = np.setdiff1d(np.arange(len(lookup.item_ids)), lookup.rated(user))
        chosen = np.random.default_rng(user).permutation(unrated)[:items]
        user_id.append(np.full(len(chosen), known_id))
        item_id.append(lookup.item_ids.take(pa.array(chosen)).to_numpy())
    columns = {Columns.USER: np.concatenate(user_id), Columns.ITEM: np.concatenate(item_id)}
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({str(name): values for name, values in columns.items()}), file)
    return file


def shards(folder: Path) -> list[Path]:
    """Return the shards of an output folder, in order."""
    return sorted(folder.glob("part-*.parquet"))


def rate(folder: Path, nodes: int) -> float:
    """Return predictions per second over the second half of the shards.

    A shard appears when it is complete; while the first half does, nodes load and compile.

    Args:
        folder: The output folder.
        nodes: Number of nodes that wrote it.

    Raises:
        SystemExit: There are fewer than four shards per node.
    """
    parts = sorted(shards(folder), key=lambda part: part.stat().st_mtime_ns)
    if len(parts) < 4 * nodes:
        raise SystemExit(
            f"{len(parts)} shards are too few to time {nodes} nodes: lower --rows-per-shard"
        )
    began, *timed = parts[len(parts) // 2 - 1 :]
    rows = sum(pq.read_metadata(part).num_rows for part in timed)
    return 1e9 * rows / (timed[-1].stat().st_mtime_ns - began.stat().st_mtime_ns)


def largest_difference(table: Path, first: Path, second: Path) -> dict[str, float]:
    """Compare the predictions of two output folders of the same input table.

    Raises:
        SystemExit: The rows of a folder are not exactly those of the table, each with a prediction.
    """
    rows = pq.read_table(table)
    p_yes = []
    for folder in (first, second):
        output = pa.concat_tables([pq.read_table(part) for part in shards(folder)])
        if not output.select(rows.column_names).equals(rows) or output[P_YES].null_count:
            raise SystemExit(f"{folder.name}: not exactly one prediction per row")
        p_yes.append(output[P_YES].to_numpy())
    return {
        "predictions": len(p_yes[0]),
        "largest_difference": float(np.abs(p_yes[1] - p_yes[0]).max()),
        "deviation": float(p_yes[0].std()),
    }
