"""Columns of parquet tables, whole or refused by file, column and row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from reeltune.data.columns import Columns
from reeltune.errors import DataError, one_line


def to_array(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return a column of numbers or booleans without nulls as an array.

    ``to_numpy`` of pyarrow imports pandas, if installed, which takes a second.
    """
    if pa.types.is_boolean(column.type):
        return to_array(column.cast(pa.uint8())).view(np.bool_)
    chunks: list[npt.NDArray[Any]] = [np.from_dlpack(chunk) for chunk in column.chunks]
    return np.concatenate(chunks or [np.empty(0)])


def read_columns(
    file: Path, names: Sequence[str], hint: str, nullable: Collection[str]
) -> dict[str, pa.ChunkedArray]:
    """Return columns of a parquet file by name.

    Raises:
        DataError: The file cannot be read, or a column or a value is missing.
    """
    encoded = [name for name in names if name == Columns.SPLIT]
    try:
        with pq.ParquetFile(file, read_dictionary=encoded) as source:
            if missing := [name for name in names if name not in source.schema_arrow.names]:
                raise DataError(
                    f"column {', '.join(missing)} is missing",
                    code="missing_columns",
                    where=str(file),
                    hint=hint,
                )
            table = source.read(columns=list(names))
            table.validate(full=True)
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        raise DataError(
            f"the table cannot be read ({one_line(error)})",
            code="unreadable_table",
            where=str(file),
            hint=hint,
        ) from None
    for name in names:
        if table[name].null_count and name not in nullable:
            row = table[name].is_null().index(True).as_py()
            raise DataError(
                f"row {row} has no value in column {name} ({table[name].null_count} such rows)",
                code="missing_values",
                where=str(file),
                hint=hint,
            )
    return {name: table[name] for name in names}
