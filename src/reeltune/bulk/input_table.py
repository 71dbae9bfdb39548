"""The input table: users and items in a parquet file, read in slices, and its invalid rows."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reeltune.bulk.lookup import UNKNOWN, Lookup
from reeltune.data.columns import YEAR_2100, Columns
from reeltune.data.ids import shown_id
from reeltune.errors import DataError, RequestError, one_line

Ints = npt.NDArray[np.int64]

_BATCH_ROWS: Final = 1 << 16
_READ_BYTES: Final = 1 << 20

_MAX_NAMED: Final = 5
"""An error names this many invalid rows."""

_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

_OTHER_NAMES: Final = {Columns.USER: ("userId",), Columns.ITEM: ("movieId", "film_id")}
"""Further names of a column: the one in MovieLens' own files, and in earlier versions."""


@dataclass(frozen=True)
class InputTable:
    """A parquet file with the rows to score."""

    path: Path
    rows: int
    columns: dict[str, str]
    """The standard name of each column that is read, by its name in the file."""
    schema: pa.Schema
    ignored: tuple[str, ...]
    """Columns of the file that are not read."""

    @classmethod
    def open(cls, path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> InputTable:
        """Read the schema of a file; columns are given by their standard names.

        Raises:
            DataError: It is not a parquet file, or a column is missing, ambiguous or of the wrong
                type.
        """
        try:
            with pq.ParquetFile(path) as file:
                schema, meta = file.schema_arrow, file.metadata
            rows = sum(meta.row_group(group).num_rows for group in range(meta.num_row_groups))
            if rows != meta.num_rows:
                raise pa.ArrowInvalid(f"{meta.num_rows} rows in the footer, {rows} in its groups")
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(
                f"cannot be read as parquet ({one_line(error)[:200]})",
                code="not_parquet",
                where=str(path),
            ) from None
        columns, read_as = standard_columns(schema, needed, optional, str(path))
        ignored = tuple(name for name in schema.names if name not in columns)
        return cls(path, rows, columns, read_as, ignored)

    def slices(self, wanted: Sequence[range]) -> Iterator[pa.Table]:
        """Yield slices of rows, given by ascending and disjoint row numbers.

        Memory holds one slice and at most two batches of 65,536 rows, if the caller drops each
        slice before asking for the next.

        Raises:
            DataError: The file has changed.
        """
        # pre_buffer would fetch whole row groups ahead, and a file may be one row group.
        with pq.ParquetFile(self.path, buffer_size=_READ_BYTES, pre_buffer=False) as file:
            slices = cut_slices(self._batches(file, wanted), wanted, self.schema)
            for span in wanted:
                yield self._of_length(next(slices), len(span))

    def invalid_rows(self, lookup: Lookup) -> InvalidRows:
        """Return the invalid rows of the whole table."""
        invalid = InvalidRows()
        for rows in self.slices(split_rows(self.rows, _BATCH_ROWS)):
            invalid.add(rows, InputRows.resolve(rows, lookup))
        return invalid

    def _of_length(self, rows: pa.Table, expected: int) -> pa.Table:
        if rows.num_rows != expected:
            raise DataError(
                "has changed while it was read", code="input_changed", where=str(self.path)
            )
        return rows

    def _batches(
        self, file: pq.ParquetFile, wanted: Sequence[range]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield the batches of the needed row groups, each with the number of its first row."""
        stops = [span.stop for span in wanted]
        first = 0
        for group in range(file.num_row_groups):
            end = first + file.metadata.row_group(group).num_rows
            span = bisect_right(stops, first)
            if span < len(wanted) and wanted[span].start < end:
                for batch in file.iter_batches(_BATCH_ROWS, [group], list(self.columns)):
                    yield first, self._as_read(batch)
                    first += batch.num_rows
            first = end

    def _as_read(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch with the standard names and types."""
        arrays = [batch.column(given) for given in self.columns]
        cast = [array.cast(field.type) for array, field in zip(arrays, self.schema, strict=True)]
        return pa.record_batch(cast, schema=self.schema)


def standard_columns(
    schema: pa.Schema, needed: Sequence[str], optional: Sequence[str], where: str
) -> tuple[dict[str, str], pa.Schema]:
    """Return the standard name of each column that is read, by its given name, and their types.

    Raises:
        DataError: A column is missing, ambiguous or of the wrong type.
    """
    given = {name: _find(schema, name, where, name in needed) for name in (*needed, *optional)}
    columns = {column: name for name, column in given.items() if column is not None}
    fields = [
        (name, _checked_type(schema.field(column).type, name, column, where))
        for column, name in columns.items()
    ]
    return columns, pa.schema(fields)


def split_rows(rows: int, size: int) -> list[range]:
    """Return the row numbers of slices of ``size`` rows; the last may have fewer."""
    return [range(start, min(start + size, rows)) for start in range(0, rows, size)]


def cut_slices(
    batches: Iterable[tuple[int, pa.RecordBatch]], wanted: Sequence[range], schema: pa.Schema
) -> Iterator[pa.Table]:
    """Yield the wanted slices from batches, each given with the number of its first row.

    Both ascend, and the batches hold all wanted rows.
    """
    left = deque(wanted)
    parts: list[pa.RecordBatch] = []
    for first, batch in batches:
        end = first + batch.num_rows
        while left and left[0].start < end:
            span = left[0]
            begin, stop = max(span.start, first), min(span.stop, end)
            parts.append(batch.slice(begin - first, stop - begin))
            if span.stop > end:
                break
            left.popleft()
            yield pa.Table.from_batches(parts, schema)
            parts = []
    for _ in left:
        yield schema.empty_table()


@dataclass(frozen=True)
class InputRows:
    """Rows resolved against the prepared data; arrays have one entry per row.

    Users and items are indices or ``UNKNOWN``, ``before`` is in seconds since 1970, and ``fault``
    is an index into ``faults``, or -1 for valid rows.
    """

    user: Ints
    item: Ints
    before: Ints | None
    fault: npt.NDArray[np.int8]
    faults: tuple[str, ...]

    @classmethod
    def resolve(cls, table: pa.Table, lookup: Lookup) -> InputRows:
        """Resolve rows of an :class:`InputTable`.

        Raises:
            DataError: They have times, and the ratings have none.
        """
        names = table.column_names
        if Columns.TIMESTAMP in names and not lookup.has_times:
            raise DataError(
                "the ratings were prepared without times, so none is before a timestamp",
                code="ratings_without_times",
                hint=f"Leave out the column {Columns.TIMESTAMP}, or prepare ratings with times",
            )
        indices = {Columns.USER: lookup.users(table[Columns.USER])}
        if Columns.ITEM in names:
            indices[Columns.ITEM] = lookup.items(table[Columns.ITEM])
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
        self.counts: Counter[str] = Counter()
        self._first: list[str] = []
        self._seen = 0

    def add(self, table: pa.Table, rows: InputRows) -> None:
        """Add the next rows of the file."""
        invalid = np.flatnonzero(rows.fault >= 0)
        counts = np.bincount(rows.fault[invalid], minlength=len(rows.faults)).tolist()
        self.counts.update({name: n for name, n in zip(rows.faults, counts, strict=True) if n})
        for row in invalid[: _MAX_NAMED - len(self._first)].tolist():
            name = rows.faults[rows.fault[row]]
            value = table[name.rpartition(" ")[2]][row].as_py()
            fault = name if value is None else f"{name} {shown_id(value)}"
            self._first.append(f"row {self._seen + row}: {fault}")
        self._seen += table.num_rows

    def error(self, where: str) -> RequestError:
        """Return the error that names them."""
        total = self.counts.total()
        more = total - len(self._first)
        listed = "; ".join([*self._first, *([f"{more:,} more"] if more else [])])
        return RequestError(
            f"{total:,} {'row' if total == 1 else 'rows'} of {self._seen:,} cannot be scored "
            f"({listed}; rows are counted from 0)",
            code="invalid_input_rows",
            where=where,
            hint="Correct them (times are seconds, not milliseconds), or keep them without a p_yes "
            "with --skip-unknown",
        )


def _find(schema: pa.Schema, name: str, where: str, needed: bool) -> str | None:
    """Return the file's name of a column."""
    names = (name, *_OTHER_NAMES.get(name, ()))
    present: list[str] = [given for given in schema.names if given in names]
    if len(present) > 1:
        raise DataError(
            f"has the columns {' and '.join(present)} for one value",
            code="ambiguous_column",
            where=where,
            hint="Remove one of them",
        )
    if not present and needed:
        raise DataError(
            f"has no column {name}; its columns are {', '.join(schema.names) or 'none'}",
            code="missing_column",
            where=where,
            hint=f"Name the columns {Columns.USER} and {Columns.ITEM}, or userId and movieId",
        )
    return present[0] if present else None


def _checked_type(kind: pa.DataType, name: str, given: str, where: str) -> pa.DataType:
    """Return the type that a column is read as."""
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return pa.int64()
    if name == Columns.TIMESTAMP and pa.types.is_timestamp(kind):
        return kind
    if name != Columns.TIMESTAMP and _is_text(kind):
        return pa.string()
    expected = "whole numbers (int64) or text"
    if name == Columns.TIMESTAMP:
        expected = "seconds since 1970 as whole numbers, or a parquet timestamp"
    raise DataError(
        f"the column {given} is of the type {kind}, not {expected}",
        code="wrong_column_type",
        where=where,
        hint="Convert the column; missing values are nulls, not NaN",
    )


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_text(kind) for is_text in texts)


def _seconds(column: pa.ChunkedArray) -> Ints:
    """Return times in whole seconds since 1970, rounded up, so that earlier events stay earlier."""
    unit = column.type.unit if pa.types.is_timestamp(column.type) else "s"
    given = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
    return -(-given // _PER_SECOND[unit])
