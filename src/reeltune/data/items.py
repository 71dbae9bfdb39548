"""Reading the items of an edition, in any layout.

Plain Python reads the hundred thousand rows at most, since every error names the physical line.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from reeltune.data.badrows import BadRow, DroppedRows
from reeltune.data.columns import Columns
from reeltune.data.layouts import (
    CSV,
    TAB_100K,
    Layout,
    check_text,
    column_indices,
    csv_rows,
    cut_off_error,
)
from reeltune.domain import Item
from reeltune.errors import DataError

CSV_COLUMNS: Final = ("movieId", "title", "genres")

# The flags at the end of u.item, in the order of u.genre.
GENRE_FLAGS: Final = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
_FIELDS_BEFORE_FLAGS: Final = 5  # id, title, release date, video date, address

NO_GENRES: Final = frozenset({"(no genres listed)", "unknown", ""})
"""Texts for unknown genres."""

# The year is the last thing in brackets, except for the marks of video and television releases.
# A series has a span, "(2006-2007)" or "(1995-)", written with a hyphen or a dash.
_YEAR: Final = re.compile(
    r"\s*\((?P<year>1[89]\d\d|20\d\d)(?:\s*[-\u2013\u2014]\s*(?:\d{4})?)?\s*\)"
    r"(?=(?:\s*\((?:V|TV)\))?$)"
)
_QUOTED_NAME: Final = re.compile(r"""(?:'([^']*)'|"([^"]*)")(\s*:)?""")  # or a key before a colon
_ID_DIGITS: Final = 18  # what fits into 64 bits whatever the digits


def split_year(text: str) -> tuple[str, int | None]:
    """Split a title and its year, or the first year of a span.

    Text without a year, or with nothing else, is returned whole, with None.

    >>> split_year("Heat (1995)"), split_year("Friends (1994-2004)"), split_year("Babylon 5")
    (('Heat', 1995), ('Friends', 1994), ('Babylon 5', None))
    """
    text = text.strip()
    match = _YEAR.search(text)
    if match is None:
        return text, None
    title = (text[: match.start()] + text[match.end() :]).strip()
    return (title, int(match["year"])) if title else (text, None)


def split_genres(text: str) -> tuple[str, ...]:
    """Split genres at the bars, or else at commas and semicolons; or read a list of names.

    >>> split_genres("Action|Crime"), split_genres("['Action', 'Crime']")
    (('Action', 'Crime'), ('Action', 'Crime'))
    >>> split_genres("Action, Crime"), split_genres("(no genres listed)")
    (('Action', 'Crime'), ())
    """
    names = text.split("|") if "|" in text else re.split("[,;]", text.strip("[] "))
    if text.strip()[:1] == "[" and (quoted := _QUOTED_NAME.findall(text)):
        names = [single or double for single, double, key in quoted if not key]
    genres = (name.strip() for name in names)
    return tuple(genre for genre in genres if genre not in NO_GENRES)


def read_items(
    path: Path, layout: Layout, *, skip_bad_rows: bool, text: Sequence[str] = ()
) -> tuple[list[Item], DroppedRows]:
    """Read all items, sorted by id, and the rows dropped. Of duplicate ids the first row is kept.

    Args:
        path: The items file.
        layout: Its layout.
        skip_bad_rows: Drop bad rows instead of refusing them.
        text: Columns whose text items get; a CSV file may have others than ``genres``.

    Raises:
        DataError: The file does not have this layout or one of the columns, or has a bad row that
            is not to be skipped.
    """
    items: dict[int | str, Item] = {}
    lines: dict[int | str, int] = {}
    bad: list[BadRow] = []
    row = None
    old = layout is not CSV
    _, complete = check_text(path, by_line=old, latin1=old)
    for row in _rows(path, layout, text):
        item = _to_item(path.name, row, text)
        if isinstance(item, BadRow):
            bad.append(item)
        elif item.item_id in items:
            message = f"item {item.item_id} is already on line {lines[item.item_id]}"
            bad.append(_bad(path.name, row, "duplicate_item", message, "Remove one of the two"))
        else:
            items[item.item_id] = item
            lines[item.item_id] = row.line
    if row is not None and not complete and _is_cut(row, bad, items):
        raise cut_off_error(path, row.line)
    dropped = DroppedRows.of(bad, len(items) + len(bad), skip=skip_bad_rows)
    if not items:
        raise DataError(
            "holds no item",
            code="no_items",
            where=path.name,
            hint="Check that the file is complete",
        )
    return sorted(items.values()), dropped


def _is_cut(last: _Row, bad: list[BadRow], items: dict[int | str, Item]) -> bool:
    """Return whether the last row alone is bad, or ends in the beginning of another item's genre.

    Where a tenth of all rows is bad, the file is wrong as a whole, and not cut.
    """
    if bad and bad[-1].line == last.line:
        *others, newest = (row.reason for row in bad)
        return newest not in others and 10 * len(others) < len(items)
    *items_before, item = items.values()
    known = NO_GENRES.union(*(item.genres for item in items_before))
    end = item.genres[-1] if item.genres else ""
    return end not in known and any(genre.startswith(end) for genre in known)


def items_frame(items: list[Item], *, text: bool = False) -> pl.DataFrame:
    """Return items as the table of ``items.parquet``, with their text or without."""
    named = any(isinstance(item.item_id, str) for item in items)
    schema = {
        Columns.ITEM: pl.String() if named else pl.Int64(),
        Columns.TITLE: pl.String(),
        Columns.YEAR: pl.Int16(),
        Columns.GENRES: pl.List(pl.String()),
    }
    rows = [(item.item_id, item.title, item.year, list(item.genres)) for item in items]
    table = pl.DataFrame(rows, schema=schema, orient="row")
    texts = pl.Series(Columns.TEXT, [list(item.text) for item in items], pl.List(pl.String()))
    return table.with_columns(texts) if text else table


class _Row(NamedTuple):
    """One row of an items file: its first physical line, its fields, and how many are expected.

    ``text`` holds the fields of the columns of text other than genres, in their order.
    """

    line: int
    fields: list[str]
    expected: int
    text: Sequence[str] = ()


def _rows(path: Path, layout: Layout, columns: Sequence[str]) -> Iterator[_Row]:
    """Yield every row that is not blank."""
    text = _decode(path.read_bytes())
    more = [column for column in columns if column != Columns.GENRES]
    if layout is not CSV and more:
        raise no_text_column(path.name, more[0], [Columns.GENRES])
    if layout is CSV:
        yield from _csv_rows(path.name, text, more)
    elif layout is TAB_100K:
        yield from _line_rows(text, "|", _FIELDS_BEFORE_FLAGS + len(GENRE_FLAGS))
    else:
        yield from _line_rows(text, layout.separator, len(CSV_COLUMNS))


def _line_rows(text: str, separator: str, expected: int) -> Iterator[_Row]:
    # Not splitlines(): Latin-1 text may hold characters that it takes for line breaks.
    for line, row in enumerate(text.split("\n"), start=1):
        if row.strip():
            fields = row.rstrip("\r").split(separator)
            if separator == "::" and len(fields) > expected and fields[-1]:
                fields = [fields[0], separator.join(fields[1:-1]), fields[-1]]  # in the title
            yield _Row(line, fields, expected)


def no_text_column(name: str, column: str, known: Sequence[str]) -> DataError:
    """Return the error of a file without a column for ``--item-text``."""
    return DataError(
        f"has no column {column!r} for --item-text",
        code="no_item_text_column",
        where=name,
        hint=f"Choose from: {', '.join(known)}; tags needs a tags.csv beside it",
    )


def _csv_rows(name: str, text: str, more: Sequence[str]) -> Iterator[_Row]:
    rows = csv_rows(name, io.StringIO(text, newline=""))
    _, header = next(rows, (1, []))
    indices = column_indices(name, header, CSV_COLUMNS)
    known = {column.strip(): index for index, column in enumerate(header)}
    usable = known.keys() - set(CSV_COLUMNS)
    if missing := [column for column in more if column not in usable]:
        raise no_text_column(name, missing[0], [Columns.GENRES, *sorted(usable)])
    for line, fields in rows:
        if len(fields) == len(header):
            texts = [fields[known[column]] for column in more]
            yield _Row(line, [fields[index] for index in indices], len(CSV_COLUMNS), texts)
        elif any(field.strip() for field in fields):
            yield _Row(line, fields, len(header))


def _decode(data: bytes) -> str:
    """Decode an items file: UTF-8, or Latin-1 as of old editions.

    Latin-1 text with accents is practically never valid UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _to_item(name: str, row: _Row, text: Sequence[str]) -> Item | BadRow:
    """Return the item of a row, or what is wrong with it."""
    if len(row.fields) != row.expected:
        message = f"{len(row.fields)} fields, expected {row.expected}"
        return _bad(name, row, "item_field_count", message, "Correct the row (or its separators)")
    item_id = row.fields[0].strip()
    if not (item_id.isascii() and item_id.isdigit() and len(item_id) <= _ID_DIGITS):
        return _bad(
            name, row, "item_id_not_a_number", f"the item id is {item_id[:80]!r}, not a number"
        )
    title, year = split_year(row.fields[1])
    if not title:
        return _bad(name, row, "item_without_title", f"item {item_id} has no title")
    if row.expected == _FIELDS_BEFORE_FLAGS + len(GENRE_FLAGS):
        flags = [flag.strip() for flag in row.fields[_FIELDS_BEFORE_FLAGS:]]
        if not set(flags) <= {"0", "1"}:
            message = f"the genre flags of item {item_id} are not all 0 or 1"
            return _bad(name, row, "item_genre_flags", message)
        flagged = (genre for genre, flag in zip(GENRE_FLAGS, flags, strict=True) if flag == "1")
        genres = tuple(genre for genre in flagged if genre not in NO_GENRES)
    else:
        genres = split_genres(row.fields[2])
    further, joined = iter(row.text), ", ".join(genres)
    texts = (joined if column == Columns.GENRES else next(further) for column in text)
    return Item(int(item_id), title, year, genres, tuple(texts))


def _bad(name: str, row: _Row, reason: str, message: str, hint: str = "Correct the row") -> BadRow:
    return BadRow(name, row.line, reason, message, "|".join(row.fields), hint)
