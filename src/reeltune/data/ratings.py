"""Reading and validating ratings: one vectorized pass, then a description of the first bad rows.

Files are read by the line: no field holds a line break, and the four of a rating no separator.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from reeltune.data.badrows import ROWS_LISTED, BadRow
from reeltune.data.columns import YEAR_2100, Columns
from reeltune.data.layouts import Layout, check_text, column_indices, cut_off_error, read_header
from reeltune.domain import RatingScale
from reeltune.errors import DataError

LINE: Final = "line"
FAULT: Final = "fault"
"""0 for a good row, else the index of its reason in :data:`FAULTS`."""

FIRST_LINE: Final = "first_line"
"""Of a duplicate: the line of the rating that is kept."""

CSV_COLUMNS: Final = ("userId", "movieId", "rating", "timestamp")
FIELDS: Final = (Columns.USER, Columns.ITEM, Columns.RATING, Columns.TIMESTAMP)

FAULTS: Final = (
    "",
    "field_count",
    "empty_value",
    "not_a_number",
    "rating_off_scale",
    "timestamp_not_positive",
    "timestamp_too_large",
    "unknown_item",
    "duplicate_rating",
    "not_json",
    "not_a_time",
    "timestamp_other_unit",
)

_BLANKS: Final = " \t\r\ufeff"  # stripped from every field; the last is a BOM
_QUOTES: Final = r'^"([^"]*)"$'
_QUOTED: Final = r'(^|,)(?:(")(?:[^",]|"")*(?:,|"")(?:[^"]|"")*"|("[^",]*"))'
"""A quoted field; one that holds a comma or a quote, so no number, is replaced by one quote."""
_CUT: Final = ("field_count", "empty_value", "not_a_number", "not_json", "not_a_time")
_SHOWN_CHARACTERS: Final = 80
_YEAR_1995: Final = 788_918_400
_LARGEST_SCALE: Final = 100
_DECIMAL_COMMA: Final = re.compile(r"[+-]?[0-9]+,[0-9]+")
_COMMA_HINT: Final = "Write a decimal point in place of the decimal comma, as in 1.5"

_WHOLE_NUMBER: Final = (
    re.compile(r"[+-]?[0-9]{1,18}"),
    "a whole number without decimals, of at most 18 digits",
)
DECIMAL: Final = (re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"), "a number")
_EXPECTED: Final = (_WHOLE_NUMBER, _WHOLE_NUMBER, DECIMAL, _WHOLE_NUMBER)
"""The pattern and the description of each of :data:`FIELDS`."""


def read_ratings(path: Path, layout: Layout, item_ids: pl.Series) -> pl.DataFrame:
    """Read every rating in file order, each with its line and its fault. Numbers may be quoted.

    ``item_ids`` are the known item ids (int64, unique), indexed by ``item_idx``.

    Returns:
        Columns ``user_id``, ``item_id`` (int64), ``item_idx`` (int32), ``rating`` (float32),
        ``timestamp`` (int64), :data:`LINE` (uint32) and :data:`FAULT` (uint8).

    Raises:
        DataError: The file is empty, cut off, lacks a column or is not UTF-8 text.
    """
    quoted, complete = check_text(path)
    names, indices = _field_indices(path, layout)
    fields = split_lines(path, layout.separator, len(names), header=layout.header, quoted=quoted)
    items = pl.LazyFrame({Columns.ITEM: item_ids}).with_row_index(Columns.ITEM_IDX)
    ratings = (
        fields.select(
            LINE,
            _field_fault(indices, len(names)).alias(FAULT),
            *(
                pl.col(field_name(index)).cast(dtype, strict=False).alias(name)
                for index, name, dtype in zip(
                    indices, FIELDS, (pl.Int64, pl.Int64, pl.Float64, pl.Int64), strict=True
                )
            ),
        )
        .join(items, on=Columns.ITEM, how="left", maintain_order="left")
        .with_columns(_value_fault(layout.scale).alias(FAULT))
        .select(
            Columns.USER,
            Columns.ITEM,
            pl.col(Columns.ITEM_IDX).cast(pl.Int32),
            pl.col(Columns.RATING).cast(pl.Float32),
            Columns.TIMESTAMP,
            LINE,
            FAULT,
        )
    )
    if quoted and layout.header:
        _refuse_open_quote(path)
    table = ratings.collect(engine="streaming")
    if not complete and is_cut(table):
        raise cut_off_error(path, table[LINE][-1])
    return table


def is_cut(ratings: pl.DataFrame) -> bool:
    """Return whether the last row lacks a field, as no other, or digits of the time of all others.

    Where a tenth of all rows is as bad, the file is wrong as a whole, and not cut.
    """
    if len(ratings) < 2:
        return False
    fault, time = ratings[FAULT][-1], ratings[Columns.TIMESTAMP][-1]
    others = ratings[:-1]
    if FAULTS[fault] in _CUT:
        bad = others[FAULT].filter(others[FAULT].is_in([FAULTS.index(each) for each in _CUT]))
        return fault not in bad and 10 * len(bad) < len(others)
    least = others.filter(pl.col(FAULT) == 0)[Columns.TIMESTAMP].min()
    return isinstance(time, int) and isinstance(least, int) and 3 * time < least


def _refuse_open_quote(path: Path) -> None:
    odd = pl.col("text").str.count_matches('"', literal=True) % 2 == 1
    found = _scan_lines(path).filter(odd).head(1).collect(engine="streaming")
    if len(found):
        raise DataError(
            "a quote is not closed on this line",
            code="bad_csv",
            where=f"{path.name}, line {found[LINE][0]}",
            hint="Close every quote; ratings are read without line breaks inside fields",
        )


def _field_indices(path: Path, layout: Layout) -> tuple[list[str], list[int]]:
    """Return the names of all fields of a line, and the indices of those in :data:`FIELDS`."""
    if not layout.header:
        return list(FIELDS), list(range(len(FIELDS)))
    header = read_header(path)
    return header, column_indices(path.name, header, CSV_COLUMNS)


def _scan_lines(path: Path) -> pl.LazyFrame:
    """Return every line, with its number from 1."""
    return pl.scan_lines(path, name="text", row_index_name=LINE, row_index_offset=1, glob=False)


def split_lines(
    path: Path, separator: str, width: int, *, header: bool, quoted: bool
) -> pl.LazyFrame:
    """Split every line, except the header and blank ones, into ``width`` fields and a rest.

    Numbers may be ``quoted``. The fields are columns named by :func:`field_name`.
    """
    # Where tabs are separators, a line of tabs is a row of empty fields.
    blank = pl.col("text").str.strip_chars(_BLANKS.replace(separator, "")) == ""
    lines = _scan_lines(path).filter(~blank)
    if header:
        lines = lines.filter(pl.col(LINE) > 1)
    names = [field_name(index) for index in range(width + 1)]
    text = pl.col("text")
    if quoted and header:
        text = text.str.replace_all(_QUOTED, "${1}${2}${3}")
    fields = text.str.splitn(separator, width + 1).struct.rename_fields(names)
    table = lines.select(LINE, fields.alias("fields")).unnest("fields")
    bare = pl.col(names).str.strip_chars(_BLANKS)
    return table.with_columns(
        bare.str.replace(_QUOTES, "${1}").str.strip_chars(_BLANKS) if quoted else bare
    )


def field_name(index: int) -> str:
    """Return the name of the column of a field."""
    return f"field_{index}"


def _field_fault(indices: list[int], width: int) -> pl.Expr:
    """Find rows with too few or too many fields, and rows with an empty one."""
    wrong_count = pl.col(field_name(width - 1)).is_null() | pl.col(field_name(width)).is_not_null()
    empty = pl.any_horizontal(pl.col(field_name(index)) == "" for index in indices)
    return first_fault([(wrong_count, "field_count"), (empty, "empty_value")])


def _value_fault(scale: RatingScale) -> pl.Expr:
    """Find rows with impossible values; earlier faults take precedence."""
    rating, timestamp = pl.col(Columns.RATING), pl.col(Columns.TIMESTAMP)
    no_number = pl.any_horizontal(pl.col(name).is_null() for name in FIELDS) | rating.is_nan()
    off_scale = ~rating.is_between(scale.min, scale.max) | (rating / scale.step % 1 != 0)
    fault = first_fault(
        [
            (no_number, "not_a_number"),
            (off_scale, "rating_off_scale"),
            (timestamp <= 0, "timestamp_not_positive"),
            (timestamp >= YEAR_2100, "timestamp_too_large"),
            (pl.col(Columns.ITEM_IDX).is_null(), "unknown_item"),
        ]
    )
    return pl.when(pl.col(FAULT) > 0).then(pl.col(FAULT)).otherwise(fault)


def first_fault(tests: list[tuple[pl.Expr, str]]) -> pl.Expr:
    """Return the index of the first fault whose test is true, 0 if none is."""
    numbered = [
        pl.when(test).then(pl.lit(FAULTS.index(fault), dtype=pl.UInt8)) for test, fault in tests
    ]
    return pl.coalesce(*numbered, pl.lit(0, dtype=pl.UInt8))


def count_faults(bad: pl.DataFrame) -> Counter[str]:
    """Count bad ratings by reason."""
    return Counter({FAULTS[fault]: n for fault, n in bad.group_by(FAULT).len().iter_rows()})


def rating_span(ratings: pl.DataFrame) -> tuple[float, float]:
    """Return the lowest and the highest rating that is a number; 0 if none is."""
    finite = ratings[Columns.RATING].filter(ratings[Columns.RATING].is_finite())
    low, high = finite.min(), finite.max()
    return (low, high) if isinstance(low, float) and isinstance(high, float) else (0.0, 0.0)


def describe_faults(
    path: Path, layout: Layout, bad: pl.DataFrame, span: tuple[float, float]
) -> list[BadRow]:
    """Describe the first ``ROWS_LISTED`` bad ratings of each reason, in file order.

    ``bad`` has their ``line``, ``fault`` and, for duplicates, ``first_line``; ``span`` is the
    lowest and the highest rating of the file.
    """
    listed = bad.sort(LINE).group_by(FAULT, maintain_order=True).head(ROWS_LISTED)
    lines = _scan_lines(path).join(listed.lazy(), on=LINE, maintain_order="left")
    header, indices = _field_indices(path, layout)
    return [
        _describe(path.name, layout, header, indices, {**row, "span": span})
        for row in lines.collect(engine="streaming").iter_rows(named=True)
    ]


def _describe(
    file: str, layout: Layout, header: list[str], indices: list[int], row: dict[str, Any]
) -> BadRow:
    """Describe a bad row by its text, line, fault and first line, and the span of all ratings."""
    reason, line = FAULTS[row[FAULT]], row["text"].rstrip("\r")
    fields = line.split(layout.separator)
    if layout.header and len(line) < csv.field_size_limit():
        (fields,) = csv.reader([line])
    fields = [field.strip(_BLANKS)[:_SHOWN_CHARACTERS] for field in fields]
    if len(fields) != len(header):
        message = f"{len(fields)} fields, expected {len(header)}: {line[:_SHOWN_CHARACTERS]!r}"
        return BadRow(file, row[LINE], reason, message, line)
    if fields == header:
        return BadRow(file, row[LINE], reason, "the header is repeated", line, "Remove the line")
    named = [(header[index], fields[index]) for index in indices]
    return describe_values(file, row, named, scale=layout.scale, items_file=layout.items_file)


def describe_values(
    file: str,
    row: dict[str, Any],
    named: Sequence[tuple[str, str]],
    *,
    scale: RatingScale,
    items_file: str,
    expected: Sequence[tuple[re.Pattern[str], str]] = _EXPECTED,
) -> BadRow:
    """Describe a bad row by the names and texts of its user, item, rating and time.

    ``row`` has its line, fault and first line, and the span of all ratings; ``expected`` are the
    pattern and the description of each value.
    """
    reason = FAULTS[row[FAULT]]
    (_, user), (_, item), (_, rating), (time, timestamp) = named
    whole = ",".join(text for _, text in named)
    empty = next((name for name, text in named if not text), "a field")
    column, not_a_number, words = _first_not_a_number(named, expected)
    comma = _COMMA_HINT if _DECIMAL_COMMA.fullmatch(not_a_number) else ""
    message, value, hint = {
        "field_count": ("the number of fields is not that of the header", whole, ""),
        "not_json": ("is not a JSON object", whole, "Write one object a line"),
        "empty_value": (f"{empty} is empty", whole, ""),
        "not_a_number": (f"{column} is {not_a_number!r}, expected {words}", not_a_number, comma),
        "rating_off_scale": (
            f"{rating} is no rating of the scale {scale}",
            rating,
            _scale_hint(scale, *row["span"]),
        ),
        "not_a_time": (
            f"{time} is {timestamp!r}, neither an ISO date nor a number",
            timestamp,
            "Write times as 2015-01-31 or 2015-01-31T12:00:00Z, or as seconds since 1970 (UTC)",
        ),
        "timestamp_other_unit": (
            f"{time} {timestamp} is in another unit than most times",
            timestamp,
            "Write all times in one unit, such as seconds since 1970 (UTC)",
        ),
        "timestamp_not_positive": (
            f"timestamp {timestamp} is not positive",
            timestamp,
            "Timestamps are seconds since 1970 (UTC), above zero: correct the row",
        ),
        "timestamp_too_large": (
            f"timestamp {timestamp} is after the year 2100, so probably not in seconds",
            timestamp,
            _seconds_hint(timestamp) if reason == "timestamp_too_large" else "",
        ),
        "unknown_item": (
            f"item {item} is not in {items_file}",
            item,
            f"Add the item to {items_file}",
        ),
        "duplicate_rating": (
            f"user {user} has already rated item {item}, on line {row[FIRST_LINE]}",
            f"user {user}, item {item}",
            "Remove one of the two, or pass --keep last",
        ),
    }[reason]
    return BadRow(file, row[LINE], reason, message, value, hint or "Correct the row")


def _scale_hint(scale: RatingScale, lowest: float, highest: float) -> str:
    is_larger = scale.max < highest <= _LARGEST_SCALE
    divide = f" (divide by {highest / scale.max:g})" if is_larger else ""
    return (
        f"Correct the row; if ratings from {lowest:g} to {highest:g} are another scale, convert "
        f"all of them to {scale}{divide}"
    )


def _seconds_hint(timestamp: str) -> str:
    for unit in (10**3, 10**6, 10**9):
        if timestamp.isdecimal() and _YEAR_1995 <= int(timestamp) // unit < YEAR_2100:
            return f"Divide the timestamps by {unit} to have seconds"
    return "Write the timestamps as seconds since 1970 (UTC)"


def _first_not_a_number(
    fields: Sequence[tuple[str, str]], expected: Sequence[tuple[re.Pattern[str], str]]
) -> tuple[str, str, str]:
    """Return the name and text of the first field that is not a number, and what it should be."""
    return next(
        (
            (name, text, words)
            for (name, text), (pattern, words) in zip(fields, expected, strict=True)
            if not pattern.fullmatch(text)
        ),
        ("the row", ",".join(text for _, text in fields), "numbers"),
    )
