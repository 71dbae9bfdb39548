"""The table of users and films: what it must hold, and reading it a stretch at a time."""

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
"""The most rows that are decoded at once."""

_READ_BYTES: Final = 1 << 20
"""How much of a column is read from disk at once."""

_NAMES: Final = {Columns.USER: "userId", Columns.ITEM: "movieId"}
"""What MovieLens calls these columns in its own files."""

_MEND_COLUMNS: Final = (
    f"Name the columns {Columns.USER} and {Columns.ITEM}, or userId and movieId as MovieLens does"
)


@dataclass(frozen=True)
class Table:
    """A parquet file of rows to judge.

    Attributes:
        path: Where it lies.
        rows: How many rows it has.
        columns: What each column that is read is called here, by what it is called in the file.
        schema: The columns as they are read.
        ignored: Further columns of the file.
    """

    path: Path
    rows: int
    columns: dict[str, str]
    schema: pa.Schema
    ignored: tuple[str, ...]

    @classmethod
    def open(cls, path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> Table:
        """Look at the columns of a file.

        Args:
            path: The file.
            needed: Columns it must have, by their names here.
            optional: Columns that are read where it has them.

        Raises:
            DataError: It is no parquet file, or a column is missing, there twice, or of a type
                that cannot be what it is called.
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
        found = {name: _find(schema, name, path, name in needed) for name in (*needed, *optional)}
        columns = {given: name for name, given in found.items() if given is not None}
        for given, name in columns.items():
            _refuse_other_type(schema.field(given).type, name, given, path)
        ignored = tuple(name for name in schema.names if name not in columns)
        read = pa.schema([(columns[name], _read_as(schema.field(name).type)) for name in columns])
        return cls(path, rows, columns, read, ignored)

    def stretches(self, wanted: Sequence[range]) -> Iterator[pa.Table]:
        """Yield stretches of rows, one at a time.

        What is held is the stretch asked for and at most two batches of 65,536 rows, if whoever
        asks lets go of a stretch before asking for the next.

        Args:
            wanted: Which rows, ascending and apart from one another.
        """
        # Otherwise whole row groups are fetched ahead, and a file may be one row group.
        with pq.ParquetFile(self.path, buffer_size=_READ_BYTES, pre_buffer=False) as file:
            found = cut_stretches(self._batches(file, wanted), wanted, self.schema)
            for span in wanted:
                yield self._of_length(next(found), len(span))

    def _of_length(self, stretch: pa.Table, rows: int) -> pa.Table:
        if stretch.num_rows != rows:
            raise DataError(
                "has changed while it was read", code="input_changed", where=str(self.path)
            )
        return stretch

    def _batches(
        self, file: pq.ParquetFile, wanted: Sequence[range]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield batches with the number of their first row, of the row groups that are needed."""
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
        arrays = [batch.column(given) for given in self.columns]
        cast = [array.cast(field.type) for array, field in zip(arrays, self.schema, strict=True)]
        return pa.record_batch(cast, schema=self.schema)


def cut_stretches(
    batches: Iterable[tuple[int, pa.RecordBatch]], wanted: Sequence[range], schema: pa.Schema
) -> Iterator[pa.Table]:
    """Yield stretches of rows out of batches, holding what the current one needs.

    Args:
        batches: Each with the number of its first row, ascending.
        wanted: Which rows, ascending and apart from one another; the batches hold all of them.
        schema: The schema of the batches.
    """
    left = deque(wanted)
    held: list[pa.RecordBatch] = []
    for first, batch in batches:
        end = first + batch.num_rows
        while left and left[0].start < end:
            span = left[0]
            begin, stop = max(span.start, first), min(span.stop, end)
            held.append(batch.slice(begin - first, stop - begin))
            if span.stop > end:
                break
            left.popleft()
            yield pa.Table.from_batches(held, schema)
            held = []
    for _ in left:
        yield schema.empty_table()


def _find(schema: pa.Schema, name: str, path: Path, needed: bool) -> str | None:
    """Return what the file calls a column."""
    names = (name, _NAMES.get(name, name))
    found: list[str] = [given for given in schema.names if given in names]
    if len(found) > 1:
        raise DataError(
            f"has {' and '.join(found)}, so it is unclear which one is the {name}",
            code="ambiguous_column",
            where=str(path),
            hint="Leave one of them out",
        )
    if not found and needed:
        raise DataError(
            f"has no column {name}; it has {', '.join(schema.names) or 'none at all'}",
            code="missing_column",
            where=str(path),
            hint=_MEND_COLUMNS,
        )
    return found[0] if found else None


def _refuse_other_type(kind: pa.DataType, name: str, given: str, path: Path) -> None:
    whole = pa.types.is_integer(kind) and kind != pa.uint64()
    if name == Columns.TIMESTAMP and (whole or pa.types.is_timestamp(kind)):
        return
    if not whole:
        wanted = "whole numbers (int64)"
        if name == Columns.TIMESTAMP:
            wanted = "seconds since 1970 as whole numbers, or a parquet timestamp"
        raise DataError(
            f"the column {given} is of the type {kind}, not {wanted}",
            code="wrong_column_type",
            where=str(path),
            hint="Convert the column; rows without a value are nulls, not NaN",
        )


def _read_as(kind: pa.DataType) -> pa.DataType:
    return kind if pa.types.is_timestamp(kind) else pa.int64()
