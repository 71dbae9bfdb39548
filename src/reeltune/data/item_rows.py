"""The rows of a films file, in any layout, with the line on which each begins."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from reeltune.data.headers import column_indices
from reeltune.data.layouts import CSV, TAB_100K, Layout
from reeltune.errors import DataError

CSV_COLUMNS: Final = ("movieId", "title", "genres")

# The flags at the end of u.item, in the order of that edition's u.genre. There is one release of
# it, so the order is fixed.
GENRE_FLAGS: Final = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
FIELDS_BEFORE_FLAGS: Final = 5
"""Id, title, release date, video date, address."""


class ItemIdx(NamedTuple):
    """One row as it stands in the file.

    Attributes:
        line: The physical line on which it begins, counted from 1.
        fields: Its fields; of a CSV row with the right number, those of :data:`CSV_COLUMNS`.
        expected: How many fields a good row has.
    """

    line: int
    fields: list[str]
    expected: int


def item_rows(path: Path, layout: Layout) -> Iterator[ItemIdx]:
    """Yield every row of a films file; blank lines are no rows.

    Raises:
        DataError: The file is empty, in another encoding, without the columns needed, or no CSV.
    """
    text = _decode(path, layout)
    if not text.strip():
        raise DataError(
            "is empty", code="empty_file", where=path.name, hint="Check that the file is complete"
        )
    if layout is CSV:
        yield from _csv_rows(path.name, text)
    elif layout is TAB_100K:
        yield from _line_rows(text, "|", FIELDS_BEFORE_FLAGS + len(GENRE_FLAGS))
    else:
        yield from _line_rows(text, layout.separator, len(CSV_COLUMNS))


def _line_rows(text: str, separator: str, expected: int) -> Iterator[ItemIdx]:
    # Not splitlines(): Latin-1 text may hold characters that it takes for line breaks.
    for line, row in enumerate(text.split("\n"), start=1):
        if row.strip():
            yield ItemIdx(line, row.rstrip("\r").split(separator), expected)


def _csv_rows(name: str, text: str) -> Iterator[ItemIdx]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begin = 1
    try:
        header = next(reader)
        indices = column_indices(name, header, CSV_COLUMNS)
        begin = reader.line_num + 1
        for fields in reader:
            if len(fields) == len(header):
                yield ItemIdx(begin, [fields[index] for index in indices], len(CSV_COLUMNS))
            elif any(field.strip() for field in fields):
                yield ItemIdx(begin, fields, len(header))
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"the row that begins here is not CSV: {error}",
            code="bad_csv",
            where=f"{name}, line {begin}",
            hint='Quotes inside a quoted field must be doubled (""), and every quote closed',
        ) from error


def _decode(path: Path, layout: Layout) -> str:
    """Decode a whole file by the first of the layout's encodings that fits, without its BOM."""
    data = path.read_bytes()
    failures: list[UnicodeDecodeError] = []
    for encoding in layout.encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            failures.append(error)
    position = failures[-1].start
    line = data.count(b"\n", 0, position) + 1
    raise DataError(
        f"is not UTF-8 text: byte 0x{data[position]:02x}",
        code="not_utf8",
        where=f"{path.name}, line {line}",
        hint="Save the file as UTF-8",
    )
