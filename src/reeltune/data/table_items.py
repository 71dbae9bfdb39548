"""The items of tables: from a table of their own, or from columns of the ratings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import polars as pl

from reeltune.data.badrows import BadRow, DroppedRows
from reeltune.data.ids import is_whole_number
from reeltune.data.items import no_text_column, split_genres, split_year
from reeltune.data.ratings import FAULT, FAULTS, LINE
from reeltune.data.table_columns import GENRES, ITEM, TITLE, YEAR
from reeltune.data.table_files import Table
from reeltune.domain import Item
from reeltune.errors import DataError

Notify = Callable[[str], None]

_YEAR: Final = re.compile(r"(1[0-9]{3}|20[0-9]{2})(\.0+)?([-/ T].*)?")
_SHOWN: Final = 80
TEXTS: Final = (pl.String, pl.Categorical, pl.Enum, pl.Null)
FLOATS: Final = (pl.Float32, pl.Float64, pl.Decimal)
_TEXT: Final = "text of "


def check_type(column: pl.Series, kinds: Sequence[Any], where: str, name: str, wanted: str) -> None:
    """Raise a DataError unless a column holds whole numbers or one of the kinds."""
    if not (column.dtype.is_integer() or column.dtype in kinds):
        raise DataError(
            f"column {name} has the type {column.dtype}",
            code="unsupported_column_type",
            where=where,
            hint=f"Store {wanted}",
        )


def are_whole_numbers(ids: pl.Series) -> bool:
    """Return whether all ids are whole numbers of 64 bits, written as Python writes them."""
    return ids.to_frame().select(whole_numbers(pl.col(ids.name))).item()


def whole_numbers(ids: pl.Expr) -> pl.Expr:
    """Return whether all ids that are not null are whole numbers, as above."""
    return ids.cast(pl.Int64, strict=False).cast(pl.String).eq_missing(ids).all()


def keys_of(ids: pl.Series, texts: pl.Series) -> pl.Series:
    """Return the index of each id in ``texts`` (int64), null if it is not there."""
    return ids.cast(pl.Enum(texts), strict=False).to_physical().cast(pl.Int64)


def text_columns(table: Table, text: Sequence[str]) -> dict[str, str]:
    """Return the columns of text of items, by the names under which they are read.

    Raises:
        DataError: The table has no such column.
    """
    further = [column for column in text if column != GENRES]
    if missing := [column for column in further if table.columns.count(column) != 1]:
        raise no_text_column(table.name, missing[0], [GENRES, *table.columns])
    return {_TEXT + column: column for column in further}


def items_of_ratings(
    events: pl.DataFrame, columns: Mapping[str, str], text: Sequence[str], notify: Notify
) -> list[Item]:
    """Return the items of all good ratings, sorted by id; they are called by their ids at worst.

    Of several titles, years, genres or texts of one item, the first is kept.
    """
    further = (role for role in columns if role.startswith(_TEXT))
    described = [*(role for role in (TITLE, YEAR, GENRES) if role in columns), *further]
    good = events.filter(pl.col(FAULT) == 0)
    firsts = good.group_by(ITEM).agg(
        *(pl.col(role).drop_nulls().first() for role in described),
        *(pl.col(role).drop_nulls().n_unique().alias(f"{role}s") for role in described[:1]),
    )
    rows = [{TITLE: None, **row} for row in firsts.sort(ITEM).iter_rows(named=True)]
    if unnamed := sum(row[TITLE] is None for row in rows):
        notify(f"{unnamed:,} of {len(rows):,} items have no title: each is called by its id")
    if several := sum(row.get(f"{TITLE}s", 0) > 1 for row in rows):
        notify(f"{several:,} items have several titles: the first is kept")
    return _sorted([_item(row, row[TITLE] or row[ITEM], text) for row in rows], rows, notify)


def read_item_table(
    table: Table,
    columns: Mapping[str, str],
    text: Sequence[str],
    notify: Notify,
    *,
    skip_bad_rows: bool,
) -> tuple[list[Item], DroppedRows]:
    """Return all items, sorted by id, and the rows dropped.

    Raises:
        DataError: There is no item, or a bad row that is not to be skipped.
    """
    frame = table.read(columns)
    check_type(frame[ITEM], TEXTS, table.name, columns[ITEM], "ids as text or as whole numbers")
    lines: dict[str, int] = {}
    rows, bad = [], []
    for row in frame.iter_rows(named=True):
        for role in columns:
            row[role] = _text(row[role])
        if table.lists and columns.get(GENRES) in table.lists:
            row[GENRES] = row[GENRES].replace(" ", "|")
        if fault := _fault(row, lines, table.unit):
            reason, message = fault
            value = "|".join(row[role] for role in columns)
            hint = "Remove one of the two" if reason == "duplicate_item" else "Correct the row"
            bad.append(BadRow(table.name, row[LINE], reason, message, value, hint, table.unit))
        else:
            lines[row[ITEM]] = row[LINE]
            rows.append(row)
    dropped = DroppedRows.of(bad, len(frame), skip=skip_bad_rows)
    if not rows:
        raise DataError(
            "holds no item",
            code="no_items",
            where=table.name,
            hint="Check that the file is complete",
        )
    return _sorted([_item(row, row[TITLE], text) for row in rows], rows, notify), dropped


def _fault(row: Mapping[str, Any], lines: Mapping[str, int], unit: str) -> tuple[str, str] | None:
    """Return the reason and the message if a row is no item."""
    item_id = row[ITEM][:_SHOWN]
    if row[FAULT]:
        what = "number of fields is not that of the header"
        if FAULTS[row[FAULT]] == "not_json":
            what = "line is not a JSON object"
        return "item_field_count", f"the {what}"
    if not item_id:
        return "item_without_id", "the item has no id"
    if not row[TITLE]:
        return "item_without_title", f"item {item_id} has no title"
    if row[ITEM] in lines:
        return "duplicate_item", f"item {item_id} is already in {unit} {lines[row[ITEM]]}"
    return None


def _text(value: Any) -> str:
    """Return a value of any type as text; lists as their parts between bars."""
    if isinstance(value, list):
        return "|".join(map(_text, value))
    return "" if value is None else str(value).strip()


def _item(row: Mapping[str, Any], title: str, text: Sequence[str]) -> Item:
    """Return an item with its id as text. Its year is that of the column, else of the title."""
    year = _YEAR.fullmatch(_text(row.get(YEAR)))
    bare, in_title = split_year(title)
    found = int(year[1]) if year else in_title
    name = bare if found == in_title else title
    genres = split_genres(_text(row.get(GENRES)))
    texts = (", ".join(genres) if c == GENRES else _text(row[_TEXT + c]) for c in text)
    return Item(row[ITEM], name, found, genres, tuple(texts))


def _sorted(items: list[Item], rows: list[dict[str, Any]], notify: Notify) -> list[Item]:
    """Return items in the order of their ids, which become numbers if all of them are some."""
    odd = [text for row in rows if (text := _text(row.get(YEAR))) and not _YEAR.fullmatch(text)]
    if odd:
        notify(f"{len(odd):,} items have a year that is none, such as {odd[0][:20]!r}: left out")
    if all(is_whole_number(str(item.item_id)) for item in items):
        items = [item._replace(item_id=int(item.item_id)) for item in items]
    return sorted(items, key=lambda item: item.item_id)
