"""Rows of the input table resolved against the prepared data, and the rows that cannot be."""

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

_MAX_NAMED: Final = 5
"""An error names this many invalid rows."""

_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True)
class InputRows:
    """Resolved rows; all arrays have one entry per row.

    Attributes:
        user: User indices, or ``UNKNOWN``.
        item: Item indices, or ``UNKNOWN``; all ``UNKNOWN`` if the table has no items.
        before: Seconds since 1970; None if the table has no times.
        fault: Index into :attr:`faults`; -1 for valid rows.
        faults: Possible faults.
    """

    user: Ints
    item: Ints
    before: Ints | None
    fault: npt.NDArray[np.int8]
    faults: tuple[str, ...]

    @classmethod
    def resolve(cls, table: pa.Table, lookup: Lookup) -> InputRows:
        """Resolve rows with the standard columns of :class:`~reeltune.bulk.InputTable`."""
        names = table.column_names
        indices = {Columns.USER: _resolve(table[Columns.USER], lookup.users)}
        if Columns.ITEM in names:
            indices[Columns.ITEM] = _resolve(table[Columns.ITEM], lookup.items)
        faulty: dict[str, npt.NDArray[np.bool_]] = {}
        for name in names:
            null = table[name].is_null().to_numpy()
            faulty[f"missing {name}"] = null
            if name in indices:
                faulty[f"unknown {name}"] = ~null & (indices[name] == UNKNOWN)
        before = _seconds(table[Columns.TIMESTAMP]) if Columns.TIMESTAMP in names else None
        if before is not None and pa.types.is_integer(table[Columns.TIMESTAMP].type):
            # Milliseconds read as seconds would show the model the whole future.
            faulty[f"implausible {Columns.TIMESTAMP}"] = before >= YEAR_2100
        fault = np.full(table.num_rows, -1, dtype=np.int8)
        for number, rows in reversed(list(enumerate(faulty.values()))):
            fault[rows] = number
        item = indices.get(Columns.ITEM, np.full(table.num_rows, UNKNOWN))
        return cls(indices[Columns.USER], item, before, fault, tuple(faulty))

    @property
    def valid(self) -> Ints:
        """Numbers of the valid rows, ascending."""
        return np.flatnonzero(self.fault < 0)


class InvalidRows:
    """Counts invalid rows by fault, and keeps the first ones."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._first: list[str] = []
        self._seen = 0

    @property
    def total(self) -> int:
        """Number of invalid rows."""
        return sum(self.counts.values())

    def add(self, table: pa.Table, rows: InputRows) -> None:
        """Add the next rows of the file."""
        invalid = np.flatnonzero(rows.fault >= 0)
        for number, count in zip(*np.unique(rows.fault[invalid], return_counts=True), strict=True):
            name = rows.faults[number]
            self.counts[name] = self.counts.get(name, 0) + int(count)
        for row in invalid[: _MAX_NAMED - len(self._first)].tolist():
            name = rows.faults[rows.fault[row]]
            value = table[name.rpartition(" ")[2]][row].as_py()
            fault = name if value is None else f"{name} {value}"
            self._first.append(f"row {self._seen + row}: {fault}")
        self._seen += table.num_rows

    def error(self, where: str) -> RequestError:
        """Return the error that names them."""
        more = self.total - len(self._first)
        listed = "; ".join([*self._first, *([f"{more:,} more"] if more else [])])
        rows = "row" if self.total == 1 else "rows"
        return RequestError(
            f"{self.total:,} {rows} of {self._seen:,} cannot be scored ({listed}; rows are counted "
            "from 0)",
            code="invalid_input_rows",
            where=where,
            hint="Correct them (times are seconds, not milliseconds), or keep them without a p_yes "
            "with --skip-unknown",
        )


def _resolve(ids: pa.ChunkedArray, indices: Callable[[Ints], Ints]) -> Ints:
    return indices(pc.fill_null(ids, 0).to_numpy())


def _seconds(column: pa.ChunkedArray) -> Ints:
    """Return times in whole seconds since 1970, rounded up, so that earlier events stay earlier."""
    unit = column.type.unit if pa.types.is_timestamp(column.type) else "s"
    given = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
    return -(-given // _PER_SECOND[unit])
