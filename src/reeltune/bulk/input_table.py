"""The input table: users and items in a file, read in slices, and its invalid rows."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from reeltune.data.table_columns import ITEM, TIME, USER, match_columns, refuse_unknown
from reeltune.errors import DataError, RequestError, one_line
from reeltune.ragged import Ints
from reeltune.runs.log import LOGGER

_BATCH_ROWS: Final = 1 << 16
_READ_BYTES: Final = 1 << 20

_MAX_NAMED: Final = 5
"""An error names this many invalid rows."""

_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

_NAMES: Final = {
    USER: (Columns.USER, "userId"),
    ITEM: (Columns.ITEM, "movieId", "film_id"),
    TIME: (Columns.TIMESTAMP,),
}
"""Names of each role that precede other usual ones; the first is the standard name."""


@dataclass(frozen=True)
class InputTable:
    """A file with the rows to score.

    Attributes:
        path: The file as given.
        data: The parquet file that is read.
        columns: The name in ``data`` of each column that is read, by its standard name.
        ignored: Columns that are not read.
        named: By role, the columns that were named, and that of times if it was guessed.
        numbers: Columns of ids that are text, with whole numbers only.
    """

    path: Path
    data: Path
    rows: int
    columns: dict[str, str]
    schema: pa.Schema
    ignored: tuple[str, ...]
    named: dict[str, str]
    numbers: frozenset[str] = frozenset()

    @classmethod
    def open(cls, path: Path, named: Mapping[str, str], *, pairs: bool) -> InputTable:
        """Read the schema of a parquet file; arguments as of :func:`find_columns`.

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
        columns, read_as = standard_columns(schema, str(path), named, pairs=pairs)
        ignored = tuple(name for name in schema.names if name not in columns.values())
        return cls(path, path, rows, columns, read_as, ignored, with_time(named, columns))

    def with_ids_of(self, lookup: Lookup) -> InputTable:
        """Return the table with whole numbers for text if they, and all known ids, are some."""
        kinds = {Columns.USER: lookup.user_ids.type, Columns.ITEM: lookup.item_ids.type}
        fields = [f.with_type(kinds[f.name]) if f.name in self.numbers else f for f in self.schema]
        return replace(self, schema=pa.schema(fields))

    def slices(self, wanted: Sequence[range]) -> Iterator[pa.Table]:
        """Yield slices of rows, given by ascending and disjoint row numbers.

        Memory holds one slice and at most two batches of 65,536 rows, if the caller drops each
        slice before asking for the next.

        Raises:
            DataError: The file has changed.
        """
        # pre_buffer would fetch whole row groups ahead, and a file may be one row group.
        with pq.ParquetFile(self.data, buffer_size=_READ_BYTES, pre_buffer=False) as file:
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
                for batch in file.iter_batches(_BATCH_ROWS, [group], [*self.columns.values()]):
                    yield first, self._as_read(batch)
                    first += batch.num_rows
            first = end

    def _as_read(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch with the standard names and types."""
        arrays = [batch.column(given) for given in self.columns.values()]
        cast = [array.cast(field.type) for array, field in zip(arrays, self.schema, strict=True)]
        return pa.record_batch(cast, schema=self.schema)


def find_columns(
    names: Sequence[str], where: str, named: Mapping[str, str], *, pairs: bool
) -> dict[str, str]:
    """Return the columns of users and, for ``pairs``, of items and times, by standard names.

    ``named`` has, by role, those that are not to be guessed; that of times may be absent.

    Raises:
        DataError: A column is missing or ambiguous.
    """
    roles = tuple(_NAMES) if pairs else (USER,)
    first = {role: [name for name in names if name in _NAMES[role]] for role in roles}
    chosen = {role: found[0] for role, found in first.items() if len(found) == 1} | {**named}
    found = match_columns(where, names, chosen, roles, roles[:2])
    refuse_unknown(named, [(where, names, found)])
    LOGGER.info("columns: %s", ", ".join(f"{role}={name}" for role, name in found.items()))
    return {_NAMES[role][0]: name for role, name in found.items()}


def with_time(named: Mapping[str, str], columns: Mapping[str, str]) -> dict[str, str]:
    """Return columns by role, with that of times if it has another name than the standard one."""
    time = columns.get(Columns.TIMESTAMP, Columns.TIMESTAMP)
    return {**named} if time == Columns.TIMESTAMP else {**named, TIME: time}


def standard_columns(
    schema: pa.Schema, where: str, named: Mapping[str, str], *, pairs: bool
) -> tuple[dict[str, str], pa.Schema]:
    """Return the columns of :func:`find_columns`, and the types that they are read as.

    Raises:
        DataError: A column is missing, ambiguous or of the wrong type.
    """
    columns = find_columns(schema.names, where, named, pairs=pairs)
    fields = [
        (name, _checked_type(schema.field(column).type, name, column, where))
        for name, column in columns.items()
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
    rest = iter(batches)
    first, batch = 0, pa.RecordBatch.from_pylist([], schema)
    for span in wanted:
        parts: list[pa.RecordBatch] = []
        while True:
            begin, stop = max(span.start, first), min(span.stop, first + batch.num_rows)
            if begin < stop:
                parts.append(batch.slice(begin - first, stop - begin))
            if stop == span.stop or (following := next(rest, None)) is None:
                break
            first, batch = following
        yield pa.Table.from_batches(parts, schema)


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
