"""Finding columns by the names in a file's first line."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from reeltune.errors import DataError

_HEADER_BYTES = 1 << 16


def column_indices(name: str, header: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Return where each wanted column stands; others may stand between them.

    Args:
        name: The name of the file, for the error.
        header: The fields of its first line.
        wanted: The columns needed.

    Raises:
        DataError: A column is missing, or the first line is no header at all.
    """
    columns = [column.strip() for column in header]
    missing = [column for column in wanted if column not in columns]
    if not missing:
        return [columns.index(column) for column in wanted]
    shown = ",".join(columns)[:120]
    if len(missing) == len(wanted):
        what = f"the first line should name the columns, and is {shown!r}"
    else:
        what = f"column {' and '.join(missing)} missing; the header is {shown!r}"
    raise DataError(
        what,
        code="missing_columns",
        where=f"{name}, line 1",
        hint=f"The header must name {','.join(wanted)}, separated by commas",
    )


def read_header(path: Path) -> list[str]:
    """Return the column names of a CSV file, without its BOM.

    Raises:
        DataError: The first line is not UTF-8 text.
    """
    with path.open("rb") as stream:
        first = stream.readline(_HEADER_BYTES)
    try:
        line = first.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"is not UTF-8 text: byte 0x{first[error.start]:02x}",
            code="not_utf8",
            where=f"{path.name}, line 1",
            hint="Save the file as UTF-8",
        ) from error
    return next(csv.reader([line]), [])
