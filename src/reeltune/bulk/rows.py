"""Rows as they were given, and as the prepared data know them: whose, which film, before when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reeltune.bulk.lookup import UNKNOWN, Lookup
from reeltune.data.columns import YEAR_2100, Columns
from reeltune.errors import RequestError

Ints = npt.NDArray[np.int64]

_SHOWN: Final = 5
"""How many faulty rows an error names."""

_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True)
class Rows:
    """Some rows; all arrays have one entry per row.

    Attributes:
        user: Places among the users of the prepared data.
        item: Rows of the films; ``UNKNOWN`` where the file has none.
        before: Seconds since 1970; None where the file has no times.
        fault: What is wrong, by its place among :attr:`faults`; -1 for nothing.
        faults: What can be wrong with a row.
    """

    user: Ints
    item: Ints
    before: Ints | None
    fault: npt.NDArray[np.int8]
    faults: tuple[str, ...]

    @classmethod
    def of(cls, table: pa.Table, lookup: Lookup) -> Rows:
        """Return what the prepared data know of the rows of a table.

        Args:
            table: With the columns of :class:`reeltune.bulk.table.Table`, by their names here.
            lookup: Knows users and films.
        """
        names = table.column_names
        places = {Columns.USER: _resolved(table[Columns.USER], lookup.users)}
        if Columns.ITEM in names:
            places[Columns.ITEM] = _resolved(table[Columns.ITEM], lookup.items)
        wrong: dict[str, npt.NDArray[np.bool_]] = {}
        for name in names:
            null = table[name].is_null().to_numpy()
            wrong[f"no {name}"] = null
            if name in places:
                wrong[f"unknown {name}"] = ~null & (places[name] == UNKNOWN)
        before = _seconds(table[Columns.TIMESTAMP]) if Columns.TIMESTAMP in names else None
        if before is not None and pa.types.is_integer(table[Columns.TIMESTAMP].type):
            # Taken for seconds they would let every question see all that came later.
            said = f"no seconds but probably milliseconds in {Columns.TIMESTAMP}"
            wrong[said] = before >= YEAR_2100
        fault = np.full(table.num_rows, -1, dtype=np.int8)
        for number, where in reversed(list(enumerate(wrong.values()))):
            fault[where] = number
        nothing = np.full(table.num_rows, UNKNOWN)
        item = places.get(Columns.ITEM, nothing)
        return cls(places[Columns.USER], item, before, fault, tuple(wrong))

    @property
    def good(self) -> Ints:
        """The rows that can be judged, ascending."""
        return np.flatnonzero(self.fault < 0)


class FaultyRows:
    """Counts the rows that cannot be judged, and remembers the first ones."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._first: list[str] = []
        self._seen = 0

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.counts.values())

    def add(self, table: pa.Table, rows: Rows) -> None:
        """Look at the next rows of the file."""
        faulty = np.flatnonzero(rows.fault >= 0)
        for number, count in zip(*np.unique(rows.fault[faulty], return_counts=True), strict=True):
            name = rows.faults[number]
            self.counts[name] = self.counts.get(name, 0) + int(count)
        for row in faulty[: _SHOWN - len(self._first)].tolist():
            name = rows.faults[rows.fault[row]]
            value = table[name.rpartition(" ")[2]][row].as_py()
            said = name if value is None else f"{name} {value}"
            self._first.append(f"row {self._seen + row}: {said}")
        self._seen += table.num_rows

    def error(self, where: str) -> RequestError:
        """Return the error that names them."""
        listed = "; ".join(self._first)
        more = f"; {self.total - len(self._first):,} more" if self.total > len(self._first) else ""
        rows = "row" if self.total == 1 else "rows"
        return RequestError(
            f"{self.total:,} {rows} of {self._seen:,} cannot be judged ({listed}{more}; the first "
            "row is row 0)",
            code="invalid_input_rows",
            where=where,
            hint="Correct them, or keep them without a p_yes with --skip-unknown",
        )


def _resolved(ids: pa.ChunkedArray, places: Callable[[Ints], Ints]) -> Ints:
    return places(pc.fill_null(ids, 0).to_numpy())


def _seconds(column: pa.ChunkedArray) -> Ints:
    """Return times in whole seconds since 1970, rounded up: what is before them stays so."""
    unit = column.type.unit if pa.types.is_timestamp(column.type) else "s"
    given = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
    return -(-given // _SECOND[unit])
