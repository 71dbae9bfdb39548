"""P(Yes) of given pairs of users and items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reeltune.bulk.input_table import InputRows, InputTable
from reeltune.bulk.lookup import Lookup
from reeltune.bulk.tasks import P_YES, Advance, predict_in_batches
from reeltune.data.columns import Columns
from reeltune.scoring.predictor import Predictor, Query

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """A :class:`~reeltune.bulk.tasks.Task`: a table of users and items, each row to be scored."""

    table: InputTable
    lookup: Lookup
    rows_per_shard: int

    @classmethod
    def open(cls, path: Path, lookup: Lookup, rows_per_shard: int) -> Pairs:
        """Open a file of pairs.

        Raises:
            DataError: It lacks a column, or has one of the wrong type.
        """
        table = InputTable.open(path, (Columns.USER, Columns.ITEM), (Columns.TIMESTAMP,))
        return cls(table, lookup, rows_per_shard)

    @property
    def rows(self) -> int:
        """Number of pairs."""
        return self.table.rows

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that determine the predictions."""
        return {"task": "pairs", "rows_per_shard": self.rows_per_shard}

    def slices(self, wanted: Sequence[range]) -> Iterator[pa.Table]:
        """Yield slices of the rows."""
        return self.table.slices(wanted)

    def score(self, table: pa.Table, predictor: Predictor, advance: Advance) -> pa.Table:
        """Return the rows in their order with P(Yes); invalid rows have a null.

        Rows with the same user and history share one query.
        """
        rows = InputRows.resolve(table, self.lookup)
        advance(table.num_rows - len(rows.valid))
        groups, queries = self._queries(rows, predictor.max_history)
        results = predict_in_batches(
            predictor, queries, lambda query: len(query.candidates), advance
        )
        p_yes = np.zeros(table.num_rows)
        for group, (_, predictions) in zip(groups, results, strict=True):
            p_yes[group] = predictions.p_yes
        return table.append_column(P_YES, pa.array(p_yes, mask=rows.fault >= 0))

    def _queries(self, rows: InputRows, length: int) -> tuple[list[Ints], Iterator[Query]]:
        """Return the row numbers of each shared history, and the query about it."""
        valid = rows.valid
        if not len(valid):
            return [], iter(())
        user, item = rows.user[valid], rows.item[valid]
        before = None if rows.before is None else rows.before[valid]
        end = self.lookup.history_ends(user, item, before)
        # The end of one user's timeline is the start of the next: both must be equal.
        order = np.lexsort((end, user))
        new = (np.diff(user[order]) != 0) | (np.diff(end[order]) != 0)
        groups = np.split(order, np.flatnonzero(new) + 1)

        def query(group: Ints) -> Query:
            first = group[0]
            history = self.lookup.history(int(user[first]), int(end[first]), length)
            return Query(history, item[group])

        return [valid[group] for group in groups], map(query, groups)
