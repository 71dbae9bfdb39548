"""Input tables, predictions read back, and both computed in a slow and simple way."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reeltune.bulk.input_table import InputTable
from reeltune.bulk.lookup import Lookup
from reeltune.bulk.output import Output
from reeltune.bulk.score import Job, Options, Outcome, Plan, score
from reeltune.bulk.tasks import Pairs, Task
from reeltune.config import Config
from reeltune.data.folder import PreparedFolder
from reeltune.data.history import History
from reeltune.progress import no_progress
from reeltune.scoring.predictor import Predictor, Query


@dataclass(frozen=True)
class Row:
    """An input row, by ids."""

    user: int | None
    item: int | None
    time: int | None = None


def write_rows(path: Path, rows: Sequence[Row], timed: bool = False, **options: Any) -> Path:
    """Write rows as a table, with or without times."""
    columns = {
        "user_id": pa.array([row.user for row in rows], pa.int64()),
        "item_id": pa.array([row.item for row in rows], pa.int64()),
    }
    if timed:
        columns["timestamp"] = pa.array([row.time for row in rows], pa.int64())
    pq.write_table(pa.table(columns), path, **options)
    return path


def open_pairs(given: Path | InputTable, lookup: Lookup, rows_per_shard: int) -> Pairs:
    """The task of a parquet file or an open table."""
    if isinstance(given, Path):
        given = InputTable.open(given, {}, pairs=True)
    return Pairs(given, lookup, rows_per_shard)


def parts(folder: Path) -> list[Path]:
    """The shards of an output, in order."""
    return sorted(folder.glob("part-*.parquet"))


def output_rows(folder: Path) -> list[dict[str, Any]]:
    """All rows of an output, in order."""
    return [row for part in parts(folder) for row in pq.read_table(part).to_pylist()]


def history_of(folder: PreparedFolder, row: Row) -> History:
    """The history of a row, computed event by event."""
    timelines = folder.timelines
    items: list[int] = []
    rating: list[float] = []
    for event in range(len(timelines)):
        if timelines.user_id[event] != row.user:
            continue
        rated_item = folder.items[timelines.item_idx[event]].item_id
        too_late = row.time is not None and timelines.timestamp[event] >= row.time
        if rated_item == row.item or too_late:
            break
        items.append(int(timelines.item_idx[event]))
        rating.append(float(timelines.rating[event]))
    return History.of(items, rating)


def item_idx(folder: PreparedFolder, item_id: int | None) -> int:
    """The row of a film by its id."""
    return [item.item_id for item in folder.items].index(item_id)  # pyright: ignore


def p_yes_alone(predictor: Predictor, row: Row) -> float:
    """P(Yes) of one row, predicted by itself."""
    folder = predictor.loaded.folder
    candidate = np.array([item_idx(folder, row.item)])
    return float(predictor.predict([Query(history_of(folder, row), candidate)])[0].p_yes[0])


@dataclass(frozen=True)
class Bench:
    """A configuration and the calls that tests make with it."""

    config: Config

    def job(
        self, given: Any, output: Path, options: Options | None = None, rows_per_shard: int = 4
    ) -> Job:
        """A job that scores pairs with the base model."""

        def make(folder: PreparedFolder, lookup: Lookup) -> Task:
            return open_pairs(given, lookup, rows_per_shard)

        return Job.open(self.config, None, make, Output(output), options or Options())

    def score(self, given: Any, output: Path, **options: Any) -> Outcome:
        """Score pairs from beginning to end."""
        per_shard = options.pop("rows_per_shard", 4)
        settings = Options(**options)
        return score(lambda: self.job(given, output, settings, per_shard), no_progress)

    def plan(self, given: Path, output: Path, **options: Any) -> Plan:
        """Plan without scoring."""
        with ExitStack() as held:
            job = self.job(given, output, Options(**options))
            return job.plan(job.identity(), held)
