"""Files of ratings: CSV with a heading, or a JSON list of objects."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from reeltune.errors import RequestError
from reeltune.recommend.rated import Entry

TITLE: Final = ("title", "film")
FILM_ID: Final = ("movieid", "film_id")
STARS: Final = ("rating", "stars")
TIME: Final = ("timestamp",)

_NEEDED: Final = (
    "Name the film in a column title (or movieId), and the stars in a column rating, "
    "separated by commas"
)
_Values = Mapping[str, str]
"""The values of a row by column."""

_Row = tuple[str, _Values | str]
"""Where a row stands in its file, and its values, or why it cannot be read and what to do."""


class _Columns(NamedTuple):
    """What the columns of a file are called."""

    title: str | None
    film_id: str | None
    stars: str
    time: str | None


def read_rated_file(path: Path) -> list[Entry]:
    """Return the ratings of a file, as they are written and in their order.

    The film is a column ``title`` or ``film`` (a title, or ``#6``), or ``movieId`` or ``film_id``,
    which counts where both are given; the stars are ``rating`` or ``stars``; when it was rated may
    be a ``timestamp``. Other columns are passed over, and capitals make no difference.

    Args:
        path: A file that ends with ``.csv`` or ``.json``.

    Raises:
        RequestError: It cannot be read, names no films or stars, or holds no rating.
    """
    readers = {".csv": _csv_rows, ".json": _json_rows}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise RequestError(
            f"ratings are read from {' or '.join(readers)} files, not from {path.suffix!r}",
            where=str(path),
            hint="Give the file the ending of what it holds",
        )
    columns, rows = read(path, _text(path))
    if not rows:
        raise RequestError("no rating is in this file", where=str(path), hint=_NEEDED)
    stars = _column(path, columns, STARS)
    title, film_id, time = (_column(path, columns, names) for names in (TITLE, FILM_ID, TIME))
    if stars is None or (title is None and film_id is None):
        missing = "the stars" if stars is None else "the film"
        raise RequestError(
            f"no column names {missing}; there are {', '.join(columns) or 'none'}",
            where=str(path),
            hint=_NEEDED,
        )
    named = _Columns(title, film_id, stars, time)
    return [_entry(f"{path}, {place}", values, named) for place, values in rows]


def _entry(place: str, values: _Values | str, named: _Columns) -> Entry:
    if isinstance(values, str):
        return Entry(place, unreadable=values)
    film_id = values.get(named.film_id or "", "")
    if film_id and not film_id.isdecimal():
        return Entry(place, unreadable=f"{film_id!r} is no id of a film. Ids are whole numbers")
    return Entry(
        place=place,
        film=f"#{film_id}" if film_id else values.get(named.title or "", ""),
        stars=values.get(named.stars, ""),
        time=values.get(named.time or "", ""),
    )


def _column(path: Path, columns: Sequence[str], names: Sequence[str]) -> str | None:
    """Return which of some names a column has."""
    found = [name for name in names if name in columns]
    if len(found) > 1 or any(columns.count(name) > 1 for name in found):
        raise RequestError(
            f"several columns say the same: {', '.join(c for c in columns if c in names)}",
            where=str(path),
            hint="Keep one of them",
        )
    return found[0] if found else None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(
            f"is not UTF-8 text (byte {error.start})", where=str(path), hint="Save it as UTF-8"
        ) from None
    except OSError as error:
        raise RequestError(
            f"cannot be read ({error.strerror})", where=str(path), hint="Give a file that is there"
        ) from None


def _csv_rows(path: Path, text: str) -> tuple[list[str], list[_Row]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = [(f"line {reader.line_num}", fields) for fields in reader if any(fields)]
    except csv.Error as error:
        raise RequestError(
            f"not CSV ({error})",
            where=f"{path}, line {reader.line_num}",
            hint="Set titles that hold commas or quotes in quotes, and double the quotes in them",
        ) from None
    if not lines:
        return [], []
    columns = [name.strip().casefold() for name in lines[0][1]]
    return columns, [(place, _fields(columns, fields)) for place, fields in lines[1:]]


def _fields(columns: list[str], fields: list[str]) -> _Values | str:
    if len(fields) != len(columns):
        return (
            f"{len(fields)} fields where {len(columns)} are expected. Set titles that hold commas "
            "in quotes"
        )
    return dict(zip(columns, (field.strip() for field in fields), strict=True))


def _json_rows(path: Path, text: str) -> tuple[list[str], list[_Row]]:
    mend = 'Write a list such as [{"title": "Heat (1995)", "rating": 5}]'
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"not JSON ({error})", where=str(path), hint=mend) from None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise RequestError("not a list of objects", where=str(path), hint=mend)
    objects = [{key.casefold(): _told(value) for key, value in one.items()} for one in found]
    columns = list(dict.fromkeys(key for one in objects for key in one))
    return columns, [(f"entry {number}", one) for number, one in enumerate(objects, 1)]


def _told(value: Any) -> str:
    """Return a JSON value as a CSV file would hold it."""
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value)
