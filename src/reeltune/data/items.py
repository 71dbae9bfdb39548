"""Reading the films of an edition.

A hundred thousand rows at most: read in plain Python, so that quoted line breaks are understood
and every complaint names the physical line.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl

from reeltune.data.badrows import BadRow, DroppedRows
from reeltune.data.columns import Columns
from reeltune.data.item_rows import FIELDS_BEFORE_FLAGS, GENRE_FLAGS, ItemIdx, item_rows
from reeltune.data.layouts import Layout
from reeltune.data.titles import NO_GENRES, split_genres, split_year
from reeltune.domain import Item
from reeltune.errors import DataError

_ID_DIGITS = 18  # what fits into 64 bits whatever the digits


def read_items(
    path: Path, layout: Layout, *, skip_bad_rows: bool
) -> tuple[list[Item], DroppedRows]:
    """Read all films, sorted by film id.

    A film without a year is fine. Of two rows with the same film id the first is kept.

    Args:
        path: The films file.
        layout: How it is laid out.
        skip_bad_rows: Leave bad rows out instead of stopping at the first.

    Returns:
        The films, and the rows left out.

    Raises:
        DataError: The file cannot be read as the layout says, or has a bad row.
    """
    items: dict[int, Item] = {}
    lines: dict[int, int] = {}
    bad: list[BadRow] = []
    for row in item_rows(path, layout):
        item = _to_item(path.name, row)
        if isinstance(item, Item) and item.item_id in items:
            item = _bad(
                path.name,
                row,
                "duplicate_item",
                f"film {item.item_id} is already on line {lines[item.item_id]}",
                "Remove one of the two",
            )
        if isinstance(item, BadRow):
            bad.append(item)
        else:
            items[item.item_id] = item
            lines[item.item_id] = row.line
    dropped = DroppedRows()
    dropped.refuse_or_add(bad, Counter(row.reason for row in bad), skip=skip_bad_rows)
    if not items:
        raise DataError(
            "holds no film",
            code="no_items",
            where=path.name,
            hint="Check that the file is complete",
        )
    return [items[item_id] for item_id in sorted(items)], dropped


def items_frame(items: list[Item]) -> pl.DataFrame:
    """Return films as the table of ``items.parquet``."""
    schema = {
        Columns.ITEM: pl.Int64(),
        Columns.TITLE: pl.String(),
        Columns.YEAR: pl.Int16(),
        Columns.GENRES: pl.List(pl.String()),
    }
    rows = [(item.item_id, item.title, item.year, list(item.genres)) for item in items]
    return pl.DataFrame(rows, schema=schema, orient="row")


def _to_item(name: str, row: ItemIdx) -> Item | BadRow:
    """Return the film of a row, or what is wrong with it."""
    if len(row.fields) != row.expected:
        what = f"{len(row.fields)} fields where {row.expected} are expected"
        return _bad(name, row, "item_field_count", what, "Correct the row (or its separators)")
    item_id = row.fields[0].strip()
    if not (item_id.isascii() and item_id.isdigit() and len(item_id) <= _ID_DIGITS):
        return _bad(name, row, "item_id_not_a_number", f"the film id is {item_id!r}, not a number")
    title, year = split_year(row.fields[1])
    if not title:
        return _bad(name, row, "item_without_title", f"film {item_id} has no title")
    if row.expected == FIELDS_BEFORE_FLAGS + len(GENRE_FLAGS):
        flags = [flag.strip() for flag in row.fields[FIELDS_BEFORE_FLAGS:]]
        if not set(flags) <= {"0", "1"}:
            what = f"the genre flags of film {item_id} are not all 0 or 1"
            return _bad(name, row, "item_genre_flags", what)
        flagged = (genre for genre, flag in zip(GENRE_FLAGS, flags, strict=True) if flag == "1")
        genres = tuple(genre for genre in flagged if genre not in NO_GENRES)
    else:
        genres = split_genres(row.fields[2])
    return Item(int(item_id), title, year, genres)


def _bad(name: str, row: ItemIdx, reason: str, what: str, mend: str = "Correct the row") -> BadRow:
    return BadRow(name, row.line, reason, what, "|".join(row.fields), mend)
