"""Reading tables of a prepared folder: whole, or with an error that names the file and the mend."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reeltune.errors import DataError


def columns_of(
    file: Path, names: Sequence[str], mend: str, may_lack: Collection[str] = ()
) -> dict[str, pa.ChunkedArray]:
    """Return columns of a parquet file by name.

    Args:
        file: The file.
        names: The columns.
        mend: What to do about a file that is not as it was written.
        may_lack: Columns that may have rows without a value.

    Raises:
        DataError: The file cannot be read, or a column or a value is missing.
    """
    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split())
        raise DataError(
            f"the table cannot be read ({said})",
            code="unreadable_table",
            where=str(file),
            hint=mend,
        ) from None
    for name in names:
        if name not in table.column_names:
            raise DataError(
                f"the column {name} is missing", code="missing_columns", where=str(file), hint=mend
            )
        lacking = table[name].null_count
        if lacking and name not in may_lack:
            raise DataError(
                f"{lacking} rows have no value in the column {name}",
                code="missing_values",
                where=str(file),
                hint=mend,
            )
    return {name: table[name] for name in names}
