"""Files of ratings: CSV with a header, or a JSON list of objects."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from reeltune.domain import RatingScale
from reeltune.errors import RequestError
from reeltune.recommend.user_ratings import Entry, Export

_EXPORTS: Final = {
    "IMDb": ({"const", "your rating", "title", "year"}, RatingScale(1.0, 10.0, 1.0)),
    "Letterboxd": ({"letterboxd uri", "name", "year", "rating"}, RatingScale(0.5, 5.0, 0.5)),
}
"""The columns that tell an export of a site, and the site's scale."""

TITLE: Final = ("title", "film")
ITEM_ID: Final = ("movieid", "item_id", "film_id")
RATING: Final = ("rating", "stars")
TIME: Final = ("timestamp",)

_COLUMNS_HINT: Final = (
    "Give the item in a column title or item_id and the rating in a column rating, "
    "separated by commas"
)
_Values = Mapping[str, str]
_Row = tuple[str, _Values | RequestError]
"""Where a row is, and its values by column or why they cannot be read."""


def read_ratings_file(path: Path) -> list[Entry]:
    """Return the ratings of a ``.csv`` or ``.json`` file, unchecked and in file order.

    The item is in a column ``title`` or ``film`` (a title, or ``#6``), or in ``movieId``,
    ``item_id`` or ``film_id``, which takes precedence. The rating is in ``rating`` or ``stars``;
    ``timestamp`` is optional. Other columns are ignored, and so is case. The exports of IMDb and
    Letterboxd are read as they are.

    Raises:
        RequestError: The file cannot be read, is empty or lacks a column.
    """
    readers = {".csv": _csv_rows, ".json": _json_rows}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise RequestError(
            f"ratings are read from {' or '.join(readers)} files, not from {path.suffix!r}",
            code="unsupported_ratings_file",
            where=str(path),
            hint="Name the file after its format",
        )
    columns, rows = read(path, _text(path))
    return _entries(str(path), columns, rows)


def read_ratings_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[Entry]:
    """Return the ratings of a table as :func:`read_ratings_file` does.

    Raises:
        RequestError: It lacks a column.
    """
    content = [{key.casefold(): _as_text(value) for key, value in row.items()} for row in rows]
    named = [(f"row {number}", row) for number, row in enumerate(content)]
    return _entries("ratings", [column.casefold() for column in columns], named)


def _entries(where: str, columns: Sequence[str], rows: Sequence[_Row]) -> list[Entry]:
    if not rows and not columns:  # an empty list of objects
        return []
    for site, (names, scale) in _EXPORTS.items():
        if names <= set(columns):
            return [_exported(f"{where}, {row}", values, site, scale) for row, values in rows]
    rating = _column(where, columns, RATING)
    title, item_id, time = (_column(where, columns, names) for names in (TITLE, ITEM_ID, TIME))
    if rating is None or (title is None and item_id is None):
        missing = "rating" if rating is None else "title or item_id"
        raise RequestError(
            f"no column {missing}; the columns are {', '.join(columns) or 'none'}",
            code="missing_ratings_column",
            where=where,
            hint=_COLUMNS_HINT,
        )
    names = [title or "", item_id or "", rating, time or ""]
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


def _column(where: str, columns: Sequence[str], names: Sequence[str]) -> str | None:
    present = [name for name in names if name in columns]
    if len(present) > 1 or any(columns.count(name) > 1 for name in present):
        raise RequestError(
            f"several columns with one meaning: {', '.join(c for c in columns if c in names)}",
            code="repeated_ratings_column",
            where=where,
            hint="Keep one of them",
        )
    return present[0] if present else None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(
            f"is not UTF-8 text (byte {error.start})",
            code="ratings_file_not_utf8",
            where=str(path),
            hint="Save it as UTF-8",
        ) from None
    except OSError as error:
        raise RequestError(
            f"cannot be read ({error.strerror})",
            code="unreadable_ratings_file",
            where=str(path),
            hint="Check the path",
        ) from None


def _csv_rows(path: Path, text: str) -> tuple[list[str], list[_Row]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = [(f"line {reader.line_num}", fields) for fields in reader if any(fields)]
    except csv.Error as error:
        raise RequestError(
            f"not CSV ({error})",
            code="invalid_csv",
            where=f"{path}, line {reader.line_num}",
            hint="Put titles with commas or quotes in double quotes, and double the quotes inside",
        ) from None
    if not lines:
        raise RequestError(
            "is empty", code="empty_ratings_file", where=str(path), hint=_COLUMNS_HINT
        )
    columns = [name.strip().casefold() for name in lines[0][1]]
    return columns, [
        (where, _fields(f"{path}, {where}", columns, fields)) for where, fields in lines[1:]
    ]


def _fields(where: str, columns: list[str], fields: list[str]) -> _Values | RequestError:
    if len(fields) != len(columns):
        return RequestError(
            f"{len(fields)} fields, {len(columns)} expected",
            code="wrong_field_count",
            where=where,
            hint="Put titles with commas in double quotes",
        )
    return dict(zip(columns, (field.strip() for field in fields), strict=True))


def _json_rows(path: Path, text: str) -> tuple[list[str], list[_Row]]:
    hint = 'Write a list such as [{"title": "Heat (1995)", "rating": 5}]'
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(
            f"not JSON ({error})", code="ratings_file_not_json", where=str(path), hint=hint
        ) from None
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise RequestError(
            "not a list of objects", code="not_a_list_of_ratings", where=str(path), hint=hint
        )
    objects = [{key.casefold(): _as_text(v) for key, v in entry.items()} for entry in content]
    columns = list(dict.fromkeys(key for entry in objects for key in entry))
    return columns, [(f"entry {number}", entry) for number, entry in enumerate(objects, 1)]


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | int | float | list | dict):
        return json.dumps(value)
    return str(value).strip()
