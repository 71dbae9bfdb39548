"""Input files of any format: rows of other ones than parquet are written to a parquet file once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from reeltune.bulk.input_table import InputTable, find_columns, with_time
from reeltune.data.columns import Columns
from reeltune.data.ratings import FAULT, FAULTS, LINE
from reeltune.data.table_columns import has_header
from reeltune.data.table_files import Table, open_table
from reeltune.data.table_items import whole_numbers
from reeltune.data.table_values import text_seconds
from reeltune.errors import DataError
from reeltune.files import scratch_folder

_TIME_TEXT: Final = "time_text"
_MESSAGES: Final = {
    "": "the time {time!r} is neither whole seconds since 1970 nor an ISO date",
    "field_count": "the number of fields is not that of the header",
    "not_json": "the line is not a JSON object",
}


def open_input(
    path: Path, output: Path, resources: ExitStack, named: Mapping[str, str], *, pairs: bool
) -> InputTable:
    """Open a file; see :func:`find_columns` for its columns.

    Rows of other formats than parquet are kept beside ``output`` until ``resources`` are closed.

    Raises:
        DataError: The file cannot be read, lacks a column, or has a bad row.
    """
    if path.is_file():
        with path.open("rb") as stream:
            if stream.read(4) == b"PAR1":
                return InputTable.open(path, named, pairs=pairs)
    scratch = resources.enter_context(scratch_folder(output))
    table = open_table(path, scratch, header=has_header(named))
    if table.unit == "row":  # compressed parquet
        return replace(InputTable.open(table.path, named, pairs=pairs), path=path)
    columns, data = find_columns(table.columns, str(path), named, pairs=pairs), scratch / "rows"
    numbers = _write_rows(table, columns, data)
    types = {Columns.TIMESTAMP: pa.int64()}
    return InputTable(
        path,
        data,
        rows=pq.read_metadata(data).num_rows,
        columns={name: name for name in columns},
        schema=pa.schema([(name, types.get(name, pa.string())) for name in columns]),
        ignored=tuple(name for name in table.columns if name not in columns.values()),
        named=with_time(named, columns),
        numbers=numbers,
    )


def _write_rows(table: Table, columns: Mapping[str, str], data: Path) -> frozenset[str]:
    """Write ids as text and times in seconds; return the columns of which all ids are numbers.

    Raises:
        DataError: A row is not whole, or its time cannot be read.
    """
    text, time = pl.col(pl.String), pl.col(Columns.TIMESTAMP)
    rows = table.scan(columns).with_columns(pl.when(text != "").then(text))
    bad = pl.col(FAULT) > 0
    if Columns.TIMESTAMP in columns:
        rows = rows.with_columns(time.alias(_TIME_TEXT), text_seconds(time))
        bad |= time.is_null() & pl.col(_TIME_TEXT).is_not_null()
    rows.sink_parquet(data)
    written = pl.scan_parquet(data)
    for row in written.filter(bad).head(1).collect(engine="streaming").iter_rows(named=True):
        raise DataError(
            _MESSAGES[FAULTS[row[FAULT]]].format(time=row.get(_TIME_TEXT)),
            code="bad_row",
            where=f"{table.name}, line {row[LINE]}",
            hint="Correct the row",
        )
    ids = [name for name in columns if name != Columns.TIMESTAMP]
    numbers = written.select(whole_numbers(pl.col(ids))).collect(engine="streaming")
    return frozenset(name for name in ids if numbers[name].item())
