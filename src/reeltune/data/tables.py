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
    LINE,
    describe_values,
    first_fault,
    is_cut,
)
from reeltune.data.source import SourceTables
from reeltune.data.table_columns import has_header, match_columns, refuse_unknown
from reeltune.data.table_files import Table, open_table
from reeltune.data.table_items import (
    are_whole_numbers,
    as_text,
    items_of_ratings,
    keys_of,
    read_item_table,
    text_columns,
    type_error,
)
from reeltune.data.table_values import (
    LIKE,
    Histogram,
    guess_scale,
    one_label_error,
    read_times,
    says_like,
    to_numbers,
)
from reeltune.domain import RatingScale, format_rating
from reeltune.errors import ConfigError, DataError

Notify = Callable[[str], None]

_ANYTHING: Final = (re.compile(r"(?s).*"), "anything")
_EXPECTED: Final = (_ANYTHING, _ANYTHING, DECIMAL, _ANYTHING)
_SHOWN: Final = 80
_FEW: Final = 8  # values of a scale of likes
_ROUNDING: Final = 1e-4  # ratings may have been stored in 32 bits
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
    header = has_header(source.columns)
    table = open_table(source.ratings, scratch, header=header)
    item_table = source.items and open_table(source.items, scratch, header=header)
    described = () if item_table else roles.ITEM_ROLES[1:]
    columns = match_columns(table, source.columns, (*roles.EVENT_ROLES, *described), _NEEDED)
    item_columns = item_table and match_columns(
        item_table, source.columns, roles.ITEM_ROLES, (roles.ITEM, roles.TITLE)
    )
    refuse_unknown(source.columns, [table, item_table], [columns, item_columns or {}])
    for name, found in ((table.name, columns), (item_table and item_table.name, item_columns)):
        if found:
            notify(f"Columns of {name}: {', '.join(f'{role}={c}' for role, c in found.items())}")
    if source.needs_times and roles.TIME not in columns:
        raise ConfigError(
            "the split needs a column of times, and none was found",
            code="split_without_times",
            where=table.name,
            hint="Name it, as in --columns time=NAME, or choose --split user or users",
        )
    texts = text_columns(item_table or table, text)
    wanted = columns if item_table else columns | texts
    ratings = _read_ratings(table, wanted, source.scale, notify)
    if item_table and item_columns:
        items, dropped, item_rows = read_item_table(
            item_table, item_columns | texts, text, notify, skip_bad_rows=skip_bad_rows
        )
        files = [(source.items or item_table.path, item_rows)]
    else:
        items, dropped = items_of_ratings(ratings.events, wanted, text, notify), DroppedRows()
        files = []
    item_texts = pl.Series([str(item.item_id) for item in items], dtype=pl.String)
    events, user_texts = _with_keys(ratings.events, item_texts, text_items=_has_text(items))
    if not table.complete and is_cut(events):
        raise cut_off_error(table.name, events[LINE][-1], "the last row")
    threshold = _choose_threshold(source.threshold, ratings, table.name, notify)
    items_name = item_table.name if item_table else table.name
    return SourceTables(
        items=items,
        dropped_items=dropped,
        ratings=events,
        describe=partial(_describe, table, columns, ratings.scale, items_name),
        scale=ratings.scale,
        files=[(source.ratings, len(events)), *files],
        threshold=threshold,
        user_texts=user_texts,
        about={
            "ids": {
                "user": NUMBER if user_texts is None else TEXT,
                "item": TEXT if _has_text(items) else NUMBER,
            },
            "tables": {
                "columns": columns,
                "item_columns": item_columns or {},
                "times": ratings.times,
                "scale": "guessed" if source.scale is None else "given",
                "threshold": "chosen" if source.threshold is None else "given",
                "histogram": [[rating, n] for rating, n in ratings.histogram.count.items()],
            },
        },
    )


def _has_text(items: list[Any]) -> bool:
    return any(isinstance(item.item_id, str) for item in items)


def _read_ratings(
    table: Table, columns: Mapping[str, str], scale: RatingScale | None, notify: Notify
) -> _Ratings:
    """Return all ratings: ids as text, rating (float64), seconds, line, and fault."""
    events = table.read(columns)
    if events.is_empty():
        raise DataError(
            "holds no rating",
            code="no_ratings",
            where=table.name,
            hint="Check that the file is complete",
        )
    ids = [as_text(events[role], table.name, columns[role]) for role in (roles.USER, roles.ITEM)]
    events = events.with_columns(ids)
    # An empty text is a missing value.
    events = events.with_columns(pl.when(pl.col(pl.String) != "").then(pl.col(pl.String)))
    given = events[roles.RATING]
    if not (given.dtype.is_numeric() or given.dtype in (pl.String, pl.Boolean, pl.Null)):
        raise type_error(given, table.name, columns[roles.RATING], "ratings as numbers")
    likes = scale is None and given.n_unique() <= _FEW and says_like(given)
    found = LIKE if likes else scale
    ratings = events.select(to_numbers(pl.col(roles.RATING), found))[roles.RATING]
    histogram = Histogram.of(ratings)
    found = found or guess_scale(histogram, table.name)
    how = "guessed from" if scale is None else "as given, for"
    notify(f"Scale: {found}, {how} {sum(histogram.count.values()):,} ratings")
    for line in histogram.lines():
        notify(line)
    given_roles = [role for role in roles.EVENT_ROLES if role in columns]
    missing = pl.any_horizontal(pl.col(role).is_null() for role in given_roles)
    empty = events.select(missing.alias("empty"))["empty"]
    if roles.TIME in columns:
        given = events[roles.TIME]
        if not (given.dtype.is_numeric() or given.dtype in (pl.String, pl.Date, pl.Datetime)):
            raise type_error(given, table.name, columns[roles.TIME], "times as dates or numbers")
        unit, seconds, other_unit = read_times(given)
        notify(f"Times: {unit}, kept as whole seconds since 1970 (UTC)")
    else:
        unit, seconds, other_unit = NO_TIMES, events[LINE].cast(pl.Int64), empty.clear(len(empty))
        notify("Times: no such column, so the order of the rows is taken for that of the ratings")
    events = events.with_columns(ratings, seconds.alias(roles.TIME))
    fault = _fault(found, empty, other_unit.fill_null(value=False))
    return _Ratings(events.with_columns(fault.alias(FAULT)), found, histogram, unit)


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
    events: pl.DataFrame, item_texts: pl.Series, *, text_items: bool
) -> tuple[pl.DataFrame, list[str] | None]:
    """Return the columns of all ratings with keys for ids, and the ids of users if they are text.

    ``item_texts`` are the ids of all items, by ``item_idx``.
    """
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


def _choose_threshold(given: float | None, ratings: _Ratings, where: str, notify: Notify) -> float:
    """Return the threshold, by default the step with the share of likes nearest to one half."""
    scale = ratings.scale
    on_scale = Histogram({r: n for r, n in ratings.histogram.count.items() if scale.contains(r)})
    threshold = on_scale.threshold(scale) if given is None else given
    total = sum(on_scale.count.values())
    liked = sum(n for rating, n in on_scale.count.items() if rating >= threshold)
    if total and liked in (0, total):
        raise one_label_error(f"of {total:,} ratings, {liked:,} are liked", where)
    how = "the step nearest to the middle of likes and dislikes" if given is None else "as given"
    notify(
        f"Liked: {format_rating(threshold)} or higher, {how}: "
        f"{liked / max(total, 1):.1%} of the ratings"
    )
    return threshold


def _describe(
    table: Table,
    columns: Mapping[str, str],
    scale: RatingScale,
    items_file: str,
    bad: pl.DataFrame,
) -> list[BadRow]:
    """Describe the first ``ROWS_LISTED`` bad ratings of each reason, in file order."""
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
            items_file=items_file,
            noun="item",
            expected=_EXPECTED,
        )
        if bad_row.reason == "rating_off_scale":
            bad_row = replace(bad_row, hint="Correct the row, or give another --scale")
        described.append(replace(bad_row, unit=table.unit))
    return described
