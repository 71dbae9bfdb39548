"""Verdicts for any pairs of users and films."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reeltune.asking.judge import Judge
from reeltune.bulk.lookup import Lookup
from reeltune.bulk.rows import Rows
from reeltune.bulk.table import Table
from reeltune.bulk.task import P_YES
from reeltune.bulk.turns import Advance, answers
from reeltune.data.columns import Columns
from reeltune.scoring.ranking import Question

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """A table of users and films, each row to be judged.

    Attributes:
        table: The rows.
        lookup: Knows users and films.
        rows_per_shard: How many rows a shard covers.
    """

    table: Table
    lookup: Lookup
    rows_per_shard: int

    @classmethod
    def open(cls, path: Path, lookup: Lookup, rows_per_shard: int) -> Pairs:
        """Look at a file of pairs.

        Raises:
            DataError: It lacks a column, or has one of the wrong type.
        """
        table = Table.open(path, (Columns.USER, Columns.ITEM), (Columns.TIMESTAMP,))
        return cls(table, lookup, rows_per_shard)

    @property
    def rows(self) -> int:
        """How many rows are given."""
        return self.table.rows

    @property
    def settings(self) -> dict[str, Any]:
        """What is asked, as far as it decides the answers."""
        return {"task": "pairs", "rows_per_shard": self.rows_per_shard}

    def stretches(self, wanted: Sequence[range]) -> Iterator[pa.Table]:
        """Yield the given rows of each stretch."""
        return self.table.stretches(wanted)

    def scored(self, table: pa.Table, judge: Judge, advance: Advance) -> pa.Table:
        """Return the rows, in their order, each with its P(Yes).

        Rows with the same user and cut share one history; a row that cannot be judged has a null.
        """
        rows = Rows.of(table, self.lookup)
        advance(table.num_rows - len(rows.good))
        groups, questions = self._questions(rows, judge.remembered)
        answered = answers(judge, questions, lambda question: len(question.candidates), advance)
        p_yes = np.zeros(table.num_rows)
        for group, (_, verdicts) in zip(groups, answered, strict=True):
            p_yes[group] = verdicts.p_yes
        return table.append_column(P_YES, pa.array(p_yes, mask=rows.fault >= 0))

    def _questions(self, rows: Rows, length: int) -> tuple[list[Ints], Iterator[Question]]:
        """Return which rows share a history, and what is asked for each such group."""
        good = rows.good
        if not len(good):
            return [], iter(())
        user, item = rows.user[good], rows.item[good]
        cut = self.lookup.cuts(user, item, None if rows.before is None else rows.before[good])
        # One user's first event and the end of the user before are the same cut.
        order = np.lexsort((cut, user))
        new = (np.diff(user[order]) != 0) | (np.diff(cut[order]) != 0)
        groups = np.split(order, np.flatnonzero(new) + 1)
        questions = (
            Question(self.lookup.history(int(user[one[0]]), int(cut[one[0]]), length), item[one])
            for one in groups
        )
        return [good[one] for one in groups], questions
