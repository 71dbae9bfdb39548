"""The input table: a parquet file of users and items, read in slices of rows."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from reeltune.data.columns import Columns
from reeltune.errors import DataError

_BATCH_ROWS: Final = 1 << 16
"""Most rows decoded at once."""

_READ_BYTES: Final = 1 << 20
"""Bytes of a column read from disk at once."""

_OTHER_NAMES: Final = {Columns.USER: ("userId",), Columns.ITEM: ("movieId", "film_id")}
"""Further names of a column: those of MovieLens' own files, and the one of earlier versions."""


@dataclass(frozen=True)
class InputTable:
    """A parquet file with the rows to score.

    Attributes:
        path: The file.
        rows: Number of rows.
        columns: The standard name of each column that is read, by its name in the file.
        schema: Schema of the rows as read.
        ignored: Other columns of the file.
    """

    path: Path
    rows: int
    columns: dict[str, str]
    schema: pa.Schema
    ignored: tuple[str, ...]

    @classmethod
    def open(cls, path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> InputTable:
        """Read the schema of a file.

        Args:
            path: The file.
            needed: Standard names of the columns it must have.
            optional: Those that are read if present.

        Raises:
            DataError: It is not a parquet file, or a column is missing, ambiguous or of the wrong
                type.
        """
        try:
            with pq.ParquetFile(path) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(
                f"cannot be read as parquet ({' '.join(str(error).split())[:200]})",
                code="not_parquet",
                where=str(path),
            ) from None
        in_file = {name: _find(schema, name, path, name in needed) for name in (*needed, *optional)}
        columns = {given: name for name, given in in_file.items() if given is not None}
        for given, name in columns.items():
            _check_type(schema.field(given).type, name, given, path)
        ignored = tuple(name for name in schema.names if name not in columns)
        read = pa.schema([(columns[name], _read_as(schema.field(name).type)) for name in columns])
        return cls(path, rows, columns, read, ignored)

    def slices(self, wanted: Sequence[range]) -> Iterator[pa.Table]:
        """Yield slices of rows, one at a time.

        Memory holds one slice and at most two batches of 65,536 rows, if the caller drops each
        slice before asking for the next.

        Args:
            wanted: Row numbers, ascending and disjoint.

        Raises:
            DataError: The file has changed.
        """
        # pre_buffer would fetch whole row groups ahead, and a file may be one row group.
        with pq.ParquetFile(self.path, buffer_size=_READ_BYTES, pre_buffer=False) as file:
            slices = cut_slices(self._batches(file, wanted), wanted, self.schema)
            for span in wanted:
                yield self._of_length(next(slices), len(span))

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


def cut_slices(
    batches: Iterable[tuple[int, pa.RecordBatch]], wanted: Sequence[range], schema: pa.Schema
) -> Iterator[pa.Table]:
    """Yield the wanted rows of batches, slice by slice.

    Args:
        batches: Each with the number of its first row, ascending.
        wanted: Row numbers of each slice, ascending and disjoint; the batches hold all of them.
        schema: Schema of the batches.
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


def _find(schema: pa.Schema, name: str, path: Path, needed: bool) -> str | None:
    """Return the file's name of a column."""
    names = (name, *_OTHER_NAMES.get(name, ()))
    present: list[str] = [given for given in schema.names if given in names]
    if len(present) > 1:
        raise DataError(
            f"has the columns {' and '.join(present)} for one value",
            code="ambiguous_column",
            where=str(path),
            hint="Remove one of them",
        )
    if not present and needed:
        raise DataError(
            f"has no column {name}; its columns are {', '.join(schema.names) or 'none'}",
            code="missing_column",
            where=str(path),
            hint=f"Name the columns {Columns.USER} and {Columns.ITEM}, or userId and movieId",
        )
    return present[0] if present else None


def _check_type(kind: pa.DataType, name: str, given: str, path: Path) -> None:
    is_whole = pa.types.is_integer(kind) and kind != pa.uint64()
    if is_whole or (name == Columns.TIMESTAMP and pa.types.is_timestamp(kind)):
        return
    expected = "whole numbers (int64)"
    if name == Columns.TIMESTAMP:
        expected = "seconds since 1970 as whole numbers, or a parquet timestamp"
    raise DataError(
        f"the column {given} is of the type {kind}, not {expected}",
        code="wrong_column_type",
        where=str(path),
        hint="Convert the column; missing values are nulls, not NaN",
    )


def _read_as(kind: pa.DataType) -> pa.DataType:
    return kind if pa.types.is_timestamp(kind) else pa.int64()
