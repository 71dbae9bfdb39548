"""Ratings and items of one's own, in any table: read, checked and given keys like an edition."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from reeltune.data import table_columns as roles
from reeltune.data.badrows import ROWS_LISTED, BadRow, DroppedRows
from reeltune.data.columns import NO_TIMES, YEAR_2100, Columns
from reeltune.data.ids import NUMBER, TEXT
from reeltune.data.layouts import cut_off_error
from reeltune.data.ratings import (
    DECIMAL,
    FAULT,
    FAULTS,
    FIRST_LINE,
    LINE,
    count_faults,
    describe_values,
    first_fault,
    is_cut,
)
from reeltune.data.source import SourceTables
from reeltune.data.table_columns import find_columns, has_header, refuse_missing, refuse_unknown
from reeltune.data.table_files import Table, open_table
from reeltune.data.table_items import (
    FLOATS,
    TEXTS,
    are_whole_numbers,
    check_type,
    items_of_ratings,
    keys_of,
    read_item_table,
    text_columns,
)
from reeltune.data.table_values import (
    LIKE,
    Histogram,
    choose_threshold,
    read_numbers,
    read_scale,
    read_times,
)
from reeltune.domain import WHOLE_STARS, Item, RatingScale
from reeltune.errors import ConfigError, DataError

Notify = Callable[[str], None]

_ANYTHING: Final = (re.compile(r"(?s).*"), "anything")
_EXPECTED: Final = (_ANYTHING, _ANYTHING, DECIMAL, _ANYTHING)
_SHOWN: Final = 80
_MOST_NO_NUMBERS: Final = 0.25  # of the ratings, so that the others say what the scale is
_ROUNDING: Final = 1e-4  # ratings may have been stored in 32 bits
_DATES: Final = (pl.Date, pl.Datetime)
_TYPES: Final = (
    (roles.USER, TEXTS, "ids as text or as whole numbers"),
    (roles.ITEM, TEXTS, "ids as text or as whole numbers"),
    (roles.RATING, (pl.String, pl.Boolean, pl.Null, *FLOATS), "ratings as numbers"),
    (roles.TIME, (pl.String, pl.Null, *_DATES, *FLOATS), "times as dates or numbers"),
)
"""Types of columns other than whole numbers."""
_NEEDED: Final = (roles.USER, roles.ITEM, roles.RATING)


@dataclass(frozen=True)
class TableSource:
    """Tables to prepare.

    Attributes:
        ratings: The table of ratings.
        items: The table of items; without it, columns of the ratings describe the items.
        columns: Columns that are named rather than guessed, by role.
        scale: The scale of the ratings; None to guess it.
        threshold: The lowest rating that counts as liked; None to choose it.
        needs_times: Whether a table without times is refused.
    """

    ratings: Path
    items: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    scale: RatingScale | None = None
    threshold: float | None = None
    needs_times: bool = False


class _Opened(NamedTuple):
    """The tables with their columns; without a table of items, the ratings describe them."""

    ratings: Table
    columns: dict[str, str]
    items: Table | None
    item_columns: dict[str, str]


class _Ratings(NamedTuple):
    """All ratings with ids as text, and what was found out about them."""

    events: pl.DataFrame
    scale: RatingScale
    histogram: Histogram
    times: str


def read_tables(
    source: TableSource,
    scratch: Path,
    notify: Notify,
    *,
    skip_bad_rows: bool,
    text: Sequence[str] = (),
) -> SourceTables:
    """Read ratings and items, guess what was not said, and report each guess.

    ``text`` are the columns whose text items get; ``genres`` are those that are shown as genres.

    Raises:
        ConfigError: There are no times, and the split needs them.
        DataError: A table or a guess is not clear, or a bad row is not to be skipped.
    """
    opened = _open(source, scratch, notify)
    texts = text_columns(opened.items or opened.ratings, text)
    columns = opened.columns | (texts if opened.items is None else {})
    ratings = _read_ratings(opened, columns, source.scale, notify)
    if opened.items is None:
        items, dropped = items_of_ratings(ratings.events, columns, text, notify), DroppedRows()
    else:
        items, dropped = read_item_table(
            opened.items, opened.item_columns | texts, text, notify, skip_bad_rows=skip_bad_rows
        )
    text_items = any(isinstance(item.item_id, str) for item in items)
    events, user_texts = _with_keys(ratings.events, items, text_items=text_items)
    table = opened.ratings
    if not table.complete and is_cut(events):
        raise cut_off_error(table.path, events[LINE][-1], table.name)
    files = [(source.ratings, len(events))]
    if source.items is not None:
        files.append((source.items, len(items) + dropped.total))
    return SourceTables(
        items=items,
        dropped_items=dropped,
        ratings=events,
        describe=partial(_describe, opened, ratings.scale),
        scale=ratings.scale,
        files=files,
        threshold=choose_threshold(
            source.threshold, ratings.histogram, ratings.scale, table.name, notify
        ),
        user_texts=user_texts,
        about={
            "ids": {
                "user": NUMBER if user_texts is None else TEXT,
                "item": TEXT if text_items else NUMBER,
            },
            "tables": _about(source, opened, ratings),
        },
    )


def _about(source: TableSource, opened: _Opened, ratings: _Ratings) -> dict[str, Any]:
    """Return what was named or guessed, for ``meta.json``."""
    return {
        "columns": opened.columns,
        "item_columns": opened.item_columns,
        "times": ratings.times,
        "scale": "guessed" if source.scale is None else "given",
        "threshold": "chosen" if source.threshold is None else "given",
        "histogram": [[rating, n] for rating, n in ratings.histogram.count.items()],
    }


def _open(source: TableSource, scratch: Path, notify: Notify) -> _Opened:
    """Open the tables and report which column is which."""
    header = has_header(source.columns)
    table = open_table(source.ratings, scratch, header=header)
    described = roles.ITEM_ROLES[1:] if source.items is None else ()
    wanted = (*roles.EVENT_ROLES, *described)
    columns = find_columns(table.name, table.columns, source.columns, wanted)
    matched: list[roles.Matched] = [(table.name, table.columns, columns, _NEEDED)]
    opened = _Opened(table, columns, None, {})
    if source.items is not None:
        items = open_table(source.items, scratch, header=header)
        found = find_columns(items.name, items.columns, source.columns, roles.ITEM_ROLES)
        matched.append((items.name, items.columns, found, (roles.ITEM, roles.TITLE)))
        opened = opened._replace(items=items, item_columns=found)
    refuse_missing(source.columns, matched)
    opened_tables = [(opened.ratings, opened.columns), (opened.items, opened.item_columns)]
    tables = [(table.name, table.columns, found) for table, found in opened_tables if table]
    refuse_unknown(source.columns, tables)
    for name, _, found in tables:
        named = ", ".join(f"{role}={column}" for role, column in found.items())
        notify(f"Columns of {name}: {named}")
    if source.needs_times and roles.TIME not in columns:
        raise ConfigError(
            "the split needs a column of times, and none was found",
            code="split_without_times",
            where=opened.ratings.name,
            hint="Name it, as in --columns time=NAME, or choose --split user or users",
        )
    return opened


def _read_ratings(
    opened: _Opened, columns: Mapping[str, str], given: RatingScale | None, notify: Notify
) -> _Ratings:
    """Return all ratings: ids as text, rating (float64), seconds, line, and fault."""
    table = opened.ratings
    events = table.read(columns)
    if events.is_empty():
        raise DataError(
            "holds no rating",
            code="no_ratings",
            where=table.name,
            hint="Check that the file is complete",
        )
    for role, kinds, wanted in _TYPES:
        if role in columns:
            check_type(events[role], kinds, table.name, columns[role], wanted)
    events = events.with_columns(pl.col(roles.USER, roles.ITEM).cast(pl.String))
    # An empty text is a missing value.
    events = events.with_columns(pl.when(pl.col(pl.String) != "").then(pl.col(pl.String)))
    ratings, scale = read_numbers(events[roles.RATING], given)
    _refuse_no_numbers(opened, events, ratings, scale)
    scale, histogram = read_scale(ratings, scale, table.name, notify, given=given is not None)
    missing = pl.any_horizontal(pl.col(r).is_null() for r in roles.EVENT_ROLES if r in columns)
    empty = events.select(missing.alias("empty"))["empty"]
    if roles.TIME in columns:
        unit, seconds, other_unit = read_times(events[roles.TIME])
        notify(f"Times: {unit}, kept as whole seconds since 1970 (UTC)")
    else:
        unit, seconds, other_unit = NO_TIMES, events[LINE].cast(pl.Int64), empty.clear(len(empty))
        notify("Times: no such column, so the order of the rows is taken for that of the ratings")
    events = events.with_columns(ratings, seconds.alias(roles.TIME))
    fault = _fault(scale, empty, other_unit.fill_null(value=False))
    step = ((pl.col(roles.RATING) - scale.min) / scale.step).round()
    on_scale = (scale.min + step * scale.step).round(6).alias(roles.RATING)  # as scale.ratings()
    events = events.with_columns(on_scale, fault.alias(FAULT))
    return _Ratings(events, scale, histogram, unit)


def _refuse_no_numbers(
    opened: _Opened, events: pl.DataFrame, ratings: pl.Series, scale: RatingScale | None
) -> None:
    """Raise a DataError if too many ratings are no numbers to tell anything from the others."""
    bad = events.filter(~ratings.is_finite().fill_null(value=False))
    if len(bad) > _MOST_NO_NUMBERS * len(events):
        wrong = "rating_off_scale" if scale == LIKE else "not_a_number"
        fault = first_fault(
            [(pl.col(roles.RATING).is_null(), "empty_value"), (pl.lit(True), wrong)]
        )
        fault = pl.when(pl.col(FAULT) > 0).then(pl.col(FAULT)).otherwise(fault)
        bad = bad.select(LINE, fault.alias(FAULT), pl.lit(None).alias(FIRST_LINE))
        rows = _describe(opened, scale or WHOLE_STARS, bad)
        DroppedRows.of(rows, len(events), skip=False, counts=count_faults(bad))


def _fault(scale: RatingScale, empty: pl.Series, other_unit: pl.Series) -> pl.Expr:
    """Find rows with missing and impossible values; earlier faults take precedence."""
    rating, time = pl.col(roles.RATING), pl.col(roles.TIME)
    steps = (rating - scale.min) / scale.step
    off_scale = ~rating.is_between(scale.min, scale.max) | (
        (steps - steps.round()).abs() > _ROUNDING
    )
    no_number = rating.is_null() | rating.is_nan()
    fault = first_fault(
        [
            (pl.lit(empty), "empty_value"),
            (no_number, "rating_off_scale" if scale == LIKE else "not_a_number"),
            (off_scale, "rating_off_scale"),
            (time.is_null(), "not_a_time"),
            (pl.lit(other_unit), "timestamp_other_unit"),
            (time <= 0, "timestamp_not_positive"),
            (time >= YEAR_2100, "timestamp_too_large"),
        ]
    )
    return pl.when(pl.col(FAULT) > 0).then(pl.col(FAULT)).otherwise(fault)


def _with_keys(
    events: pl.DataFrame, items: Sequence[Item], *, text_items: bool
) -> tuple[pl.DataFrame, list[str] | None]:
    """Return all ratings with keys for ids, and the ids of users if they are text."""
    item_texts = pl.Series([str(item.item_id) for item in items], dtype=pl.String)
    item_idx = keys_of(events[roles.ITEM], item_texts)
    unknown = pl.lit(FAULTS.index("unknown_item"), dtype=pl.UInt8)
    fault = (
        pl.when((pl.col(FAULT) == 0) & item_idx.is_null()).then(unknown).otherwise(pl.col(FAULT))
    )
    events = events.with_columns(fault.alias(FAULT))
    users = events.filter(pl.col(FAULT) == 0)[roles.USER].unique()
    user_texts = None if are_whole_numbers(users) else users.sort()
    user = events[roles.USER]
    user_keys = (
        user.cast(pl.Int64, strict=False) if user_texts is None else keys_of(user, user_texts)
    )
    item_keys = item_idx if text_items else events[roles.ITEM].cast(pl.Int64, strict=False)
    table = events.select(
        user_keys.alias(Columns.USER),
        item_keys.alias(Columns.ITEM),
        item_idx.cast(pl.Int32).alias(Columns.ITEM_IDX),
        pl.col(roles.RATING).cast(pl.Float32).alias(Columns.RATING),
        pl.col(roles.TIME).alias(Columns.TIMESTAMP),
        LINE,
        FAULT,
    )
    return table, user_texts if user_texts is None else user_texts.to_list()


def _describe(opened: _Opened, scale: RatingScale, bad: pl.DataFrame) -> list[BadRow]:
    """Describe the first ``ROWS_LISTED`` bad ratings of each reason, in file order."""
    table, columns = opened.ratings, opened.columns
    listed = bad.sort(LINE).group_by(FAULT, maintain_order=True).head(ROWS_LISTED)
    given = {role: columns[role] for role in roles.EVENT_ROLES if role in columns}
    rows = table.read(given).drop(FAULT).join(listed, on=LINE, maintain_order="left")
    described = []
    for row in rows.iter_rows(named=True):
        values = [(columns.get(role, role), row.get(role)) for role in roles.EVENT_ROLES]
        named = [(name, "" if v is None else str(v)[:_SHOWN]) for name, v in values]
        bad_row = describe_values(
            table.name,
            {**row, "span": (scale.min, scale.max)},
            named,
            scale=scale,
            items_file=(opened.items or table).name,
            expected=_EXPECTED,
        )
        if bad_row.reason == "rating_off_scale":
            bad_row = replace(bad_row, hint="Correct the row, or give another --scale")
        described.append(replace(bad_row, unit=table.unit))
    return described
