"""What can be asked in bulk: input rows in, output rows out, a shard at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import pyarrow as pa

from reeltune.asking.judge import Judge
from reeltune.bulk.lookup import Lookup
from reeltune.bulk.rows import FaultyRows, Rows
from reeltune.bulk.table import Table
from reeltune.bulk.turns import Advance

P_YES: Final = "p_yes"


class Task(Protocol):
    """Something asked of many users, cut into shards of input rows."""

    @property
    def table(self) -> Table | None:
        """The rows given; None where there are none but the users of the prepared data."""
        ...

    @property
    def rows(self) -> int:
        """How many input rows there are."""
        ...

    @property
    def rows_per_shard(self) -> int:
        """How many input rows a shard covers."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """What is asked, as far as it decides the answers."""
        ...

    def stretches(self, wanted: Sequence[range]) -> Iterator[pa.Table]:
        """Yield stretches of input rows."""
        ...

    def scored(self, table: pa.Table, judge: Judge, advance: Advance) -> pa.Table:
        """Return the output rows of a stretch of input rows."""
        ...


def shard_rows(task: Task) -> list[range]:
    """Return the input rows of each shard; where there are none, of one empty shard."""
    starts = range(0, max(1, task.rows), task.rows_per_shard)
    return [range(start, min(start + task.rows_per_shard, task.rows)) for start in starts]


def faulty_rows(table: Table, lookup: Lookup) -> FaultyRows:
    """Look through a whole table for rows that cannot be judged, holding few of its rows."""
    found = FaultyRows()
    starts = range(0, table.rows, _LOOKED_AT)
    spans = [range(start, min(start + _LOOKED_AT, table.rows)) for start in starts]
    for stretch in table.stretches(spans):
        found.add(stretch, Rows.of(stretch, lookup))
    return found


_LOOKED_AT: Final = 1 << 16
"""How many rows are looked at at once."""
