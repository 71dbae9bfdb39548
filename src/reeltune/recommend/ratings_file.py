"""Files and frames of somebody's own ratings: tables of any format, or a JSON list of objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from reeltune.data.table_columns import (
    ITEM,
    RATING,
    TIME,
    TITLE,
    has_header,
    match_columns,
    refuse_unknown,
)
from reeltune.domain import RatingScale
from reeltune.errors import RequestError
from reeltune.recommend.user_ratings import Entry, Export

_EXPORTS: Final = {
    "IMDb": ({"const", "your rating", "title", "year"}, RatingScale(1.0, 10.0, 1.0)),
    "Letterboxd": ({"letterboxd uri", "name", "year", "rating"}, RatingScale(0.5, 5.0, 0.5)),
}
"""The columns that tell an export of a site, and the site's scale."""

ROLES: Final = (TITLE, ITEM, RATING, TIME)
_NAMES: Final = {
    TITLE: ("title", "film"),
    ITEM: ("movieid", "item_id", "film_id"),
    RATING: ("rating", "stars"),
    TIME: ("timestamp",),
}
"""Names of each role that precede other usual ones."""

_Values = Mapping[str, str]
_Row = tuple[str, _Values | RequestError]  # where it is; values by column, or what is wrong


def read_ratings_file(path: Path, named: Mapping[str, str]) -> list[Entry]:
    """Return the ratings of a file, unchecked and in file order.

    The item is in a column ``title`` or ``film`` (a title, or ``#6``), or in ``movieId``,
    ``item_id`` or ``film_id``, which takes precedence. The rating is in ``rating`` or ``stars``;
    ``timestamp`` is optional. If there is none of these, other usual names are looked for. Other
    columns are ignored, and so is case. The exports of IMDb and Letterboxd are read as they are.

    Args:
        path: A table as of :mod:`reeltune.data.table_files`, or a JSON list of objects.
        named: By role, the names of columns that are not to be guessed.

    Raises:
        DataError: The file cannot be read or is empty.
        RequestError: It lacks a column, or its list is not JSON.
    """
    from reeltune.data.table_files import open_table

    with TemporaryDirectory() as folder:
        lines = _json_lines(path, Path(folder))
        if lines is not None and not lines.stat().st_size:
            return []
        table = open_table(lines or path, Path(folder), header=has_header(named))
        frame = table.read({str(index): name for index, name in enumerate(table.columns)})
    columns = [name.casefold() for name in table.columns]
    unit = table.unit if lines is None else "entry"
    rows: list[_Row] = []
    for *values, line, fault in frame.iter_rows():
        row: _Values | RequestError = dict(zip(columns, map(_as_text, values), strict=True))
        if fault:
            row = RequestError(
                "the number of fields is not that of the header, or the line is no JSON object",
                code="wrong_field_count",
                where=f"{path}, {unit} {line}",
                hint="Put titles with commas in double quotes",
            )
        rows.append((f"{unit} {line}", row))
    return _entries(str(path), columns, rows, named)


def _json_lines(path: Path, folder: Path) -> Path | None:
    """Write the entries of a JSON list to a file, one a line; None if the file has no list."""
    if not path.is_file() or path.read_bytes()[:16].strip(b"\xef\xbb\xbf \r\n\t")[:1] != b"[":
        return None
    lines = folder / path.name
    try:
        entries = json.loads(path.read_bytes())
        if not all(isinstance(entry, dict) for entry in entries):
            raise ValueError("an entry is no object")
        lines.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries), encoding="utf-8")
    except (ValueError, RecursionError) as error:
        raise RequestError(
            f"not a JSON list of objects ({error})",
            code="ratings_file_not_json",
            where=str(path),
            hint='Write a list such as [{"title": "Heat (1995)", "rating": 5}]',
        ) from None
    return lines


def read_ratings_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[Entry]:
    """Return the ratings of a table as :func:`read_ratings_file` does.

    Raises:
        RequestError: It lacks a column.
    """
    content = [{key.casefold(): _as_text(value) for key, value in row.items()} for row in rows]
    named = [(f"row {number}", row) for number, row in enumerate(content)]
    return _entries("ratings", [column.casefold() for column in columns], named, {})


def _entries(
    where: str, columns: Sequence[str], rows: Sequence[_Row], named: Mapping[str, str]
) -> list[Entry]:
    if not rows and not columns:  # an empty frame
        return []
    for site, (names, scale) in _EXPORTS.items():
        if names <= set(columns) and not named:
            return [_exported(f"{where}, {row}", values, site, scale) for row, values in rows]
    exact = {role: [name for name in columns if name in _NAMES[role]] for role in ROLES}
    chosen = {role: names[0] for role, names in exact.items() if len(names) == 1}
    chosen |= {role: name.casefold() for role, name in named.items()}
    items = [role for role in (TITLE, ITEM) if exact[role] or role in named] or [TITLE, ITEM]
    found = match_columns(where, columns, chosen, (*items, RATING, TIME), ())
    if RATING not in found or not (TITLE in found or ITEM in found):
        missing = "title or item_id" if RATING in found else "rating"
        raise RequestError(
            f"no column {missing}; the columns are {', '.join(columns) or 'none'}",
            code="missing_ratings_column",
            where=where,
            hint="Give the item in a column title or item_id and the rating in a column rating, or "
            "name them: --columns item=NAME,rating=NAME",
        )
    refuse_unknown({role: chosen[role] for role in named}, [(where, columns, found)])
    names = [found.get(role, "") for role in ROLES]
    return [_entry(f"{where}, {row}", values, names) for row, values in rows]


def _entry(where: str, values: _Values | RequestError, columns: Sequence[str]) -> Entry:
    if isinstance(values, RequestError):
        return Entry(where, error=values)
    title, item_id, rating, time = (values.get(column, "") for column in columns)
    return Entry(where, item_id or title, rating, time, by_id=bool(item_id))


def _exported(where: str, values: _Values | RequestError, site: str, scale: RatingScale) -> Entry:
    """Return a row of an export; both sites have a column ``Year``."""
    if isinstance(values, RequestError):
        return Entry(where, error=values)
    title = values.get("title") or values.get("name", "")
    item = f"{title} ({values['year']})" if values["year"] else title
    rating = values["your rating" if site == "IMDb" else "rating"]
    time = values.get("date rated") or values.get("date", "")
    return Entry(where, item, rating, time, export=Export(site, scale))


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | int | float | list | dict):
        return json.dumps(value)
    return str(value).strip()
