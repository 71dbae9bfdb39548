"""Reading ratings: 32 million lines lazily, and a close look at the few that are bad.

Every layout is read by the line: the fields of a rating never hold a separator or a line break, so
one vectorized split serves commas, ``::`` and tabs, and the line number of a bad row is exact.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from reeltune.data.columns import YEAR_2100, Columns
from reeltune.data.headers import column_indices, read_header
from reeltune.data.layouts import Layout
from reeltune.domain import RatingScale
from reeltune.errors import DataError

LINE: Final = "line"
FAULT: Final = "fault"
"""0 for a good row, else the position of its reason in :data:`FAULTS`."""

CSV_COLUMNS: Final = ("userId", "movieId", "rating", "timestamp")
FIELDS: Final = (Columns.USER, Columns.ITEM, Columns.STARS, Columns.TIMESTAMP)

FAULTS: Final = (
    "",
    "field_count",
    "empty_value",
    "not_a_number",
    "stars_off_scale",
    "timestamp_not_positive",
    "timestamp_too_large",
    "unknown_item",
    "duplicate_rating",
)

BLANKS: Final = " \t\r\ufeff"
"""Stripped from every field, like the quotes; the last one is a BOM."""


def read_ratings(path: Path, layout: Layout, item_ids: pl.Series) -> pl.DataFrame:
    """Read every rating in file order, each with its line and its fault.

    Blank lines are no ratings. Numbers may stand in quotes.

    Args:
        path: The ratings file.
        layout: How it is laid out.
        item_ids: The film ids known (int64, unique), in the order ``item_idx`` counts them.

    Returns:
        Columns ``user_id``, ``item_id`` (int64), ``item_idx`` (int32), ``stars`` (float32),
        ``timestamp`` (int64), :data:`LINE` (uint32) and :data:`FAULT` (uint8).

    Raises:
        DataError: The file is empty, has not the columns needed or is not UTF-8 text.
    """
    if path.stat().st_size == 0:
        raise DataError(
            "is empty",
            code="empty_file",
            where=path.name,
            hint="Check that the file is complete",
        )
    names, places = field_places(path, layout)
    fields = _split(path, layout, width=len(names))
    items = pl.LazyFrame({Columns.ITEM: item_ids}).with_row_index(Columns.ITEM_IDX)
    ratings = (
        fields.select(
            LINE,
            _field_fault(places, len(names)).alias(FAULT),
            *(
                _text(places[index]).cast(dtype, strict=False).alias(name)
                for index, (name, dtype) in enumerate(
                    zip(FIELDS, (pl.Int64, pl.Int64, pl.Float64, pl.Int64), strict=True)
                )
            ),
        )
        .join(items, on=Columns.ITEM, how="left", maintain_order="left")
        .with_columns(_value_fault(layout.scale).alias(FAULT))
        .select(
            Columns.USER,
            Columns.ITEM,
            pl.col(Columns.ITEM_IDX).cast(pl.Int32),
            pl.col(Columns.STARS).cast(pl.Float32),
            Columns.TIMESTAMP,
            LINE,
            FAULT,
        )
    )
    try:
        return ratings.collect(engine="streaming")
    except pl.exceptions.ComputeError as error:
        line = _first_line_not_utf8(path)
        if line is None:
            raise
        raise DataError(
            "is not UTF-8 text",
            code="not_utf8",
            where=f"{path.name}, line {line}",
            hint="Check that this is the ratings file; save it as UTF-8",
        ) from error


def field_places(path: Path, layout: Layout) -> tuple[list[str], list[int]]:
    """Return the names of all fields of a line, and where user, film, stars and timestamp stand.

    Raises:
        DataError: The header does not name them.
    """
    if not layout.header:
        return list(FIELDS), list(range(len(FIELDS)))
    header = read_header(path)
    return header, column_indices(path.name, header, CSV_COLUMNS)


def _split(path: Path, layout: Layout, width: int) -> pl.LazyFrame:
    """Split every line that is no header and not blank into ``width`` fields and a rest."""
    # Where tabs part the fields, a line of tabs is a row of empty fields.
    blank = pl.col("text").str.strip_chars(BLANKS.replace(layout.separator, "")) == ""
    lines = pl.scan_lines(
        path, name="text", row_index_name=LINE, row_index_offset=1, glob=False
    ).filter(~blank)
    if layout.header:
        lines = lines.filter(pl.col(LINE) > 1)
    names = [_field(place) for place in range(width + 1)]
    fields = pl.col("text").str.splitn(layout.separator, width + 1).struct.rename_fields(names)
    return lines.select(LINE, fields.alias("fields")).unnest("fields")


def _field(place: int) -> str:
    return f"field_{place}"


def _text(place: int) -> pl.Expr:
    return pl.col(_field(place)).str.strip_chars(BLANKS + '"')


def _field_fault(places: list[int], width: int) -> pl.Expr:
    """Find rows with too few or too many fields, and rows with an empty one."""
    wrong_count = pl.col(_field(width - 1)).is_null() | pl.col(_field(width)).is_not_null()
    empty = pl.any_horizontal(_text(place) == "" for place in places)
    return _first_fault([(wrong_count, "field_count"), (empty, "empty_value")])


def _value_fault(scale: RatingScale) -> pl.Expr:
    """Find rows whose values cannot be; the faults found before them stay."""
    stars, timestamp = pl.col(Columns.STARS), pl.col(Columns.TIMESTAMP)
    no_number = pl.any_horizontal(pl.col(name).is_null() for name in FIELDS) | stars.is_nan()
    off_scale = ~stars.is_between(scale.min, scale.max) | (stars / scale.step % 1 != 0)
    found = _first_fault(
        [
            (no_number, "not_a_number"),
            (off_scale, "stars_off_scale"),
            (timestamp <= 0, "timestamp_not_positive"),
            (timestamp >= YEAR_2100, "timestamp_too_large"),
            (pl.col(Columns.ITEM_IDX).is_null(), "unknown_item"),
        ]
    )
    return pl.when(pl.col(FAULT) > 0).then(pl.col(FAULT)).otherwise(found)


def _first_fault(tests: list[tuple[pl.Expr, str]]) -> pl.Expr:
    """Return the number of the first fault whose test is true, 0 when none is."""
    numbered = [
        pl.when(test).then(pl.lit(FAULTS.index(fault), dtype=pl.UInt8)) for test, fault in tests
    ]
    return pl.coalesce(*numbered, pl.lit(0, dtype=pl.UInt8))


def _first_line_not_utf8(path: Path) -> int | None:
    with path.open("rb") as stream:
        for line, text in enumerate(stream, start=1):
            try:
                text.decode("utf-8")
            except UnicodeDecodeError:
                return line
    return None
