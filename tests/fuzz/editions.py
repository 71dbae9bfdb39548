"""Tiny editions, and a second, simple reading of them in plain Python."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

import pyarrow.parquet as pq

from reeltune.data.columns import YEAR_2100
from reeltune.data.layouts import CSV, DAT_1M, DAT_10M, TAB_100K, Layout
from tests.data.editions import TELLTALES, ItemRow, Rating, write_edition

LAYOUTS = {"csv": CSV, "1m": DAT_1M, "10m": DAT_10M, "100k": TAB_100K}
HISTORY_LEN = 2
THRESHOLD = 4.0
_GENRES = ("Action", "Comedy", "Drama", "Film-Noir", "Sci-Fi")
NO_GENRES = {"", "(no genres listed)", "unknown"}
_BLANKS = " \t\r\ufeff"
_YEAR_AT_END = re.compile(r"\((1[89]\d\d|20\d\d)\)$")


class Event(NamedTuple):
    """A rating as prepared."""

    user: int
    item: int
    rating: float
    time: int
    liked: bool


class Film(NamedTuple):
    """An item as prepared."""

    title: str
    year: int | None
    genres: tuple[str, ...]


class Prepared(NamedTuple):
    """What ``prepare`` made: events in its order, items by id, and how many rows it dropped."""

    events: list[Event]
    items: dict[int, Film]
    dropped: int
    items_dropped: int


def random_edition(random: Random, folder: Path, layout: str) -> Path:
    """Write an edition in which every user has several ratings of different items."""
    items = [
        ItemRow(
            number * 7 + random.randrange(7),
            random.choice(("Film", "Amélie", 'A "Quoted", Film', "2001", "Été"))
            + f" {number}"
            + random.choice((f" ({1930 + number * 3})", "")),
            "|".join(random.sample(_GENRES, random.randint(1, 3))),
        )
        for number in range(1, 15)
    ]
    if layout != "csv":
        items = [ItemRow(item, title.replace('"', ""), genres) for item, title, genres in items]
    step = 2 if layout in ("csv", "10m") else 1
    ratings = [
        Rating(
            user,
            item.item,
            (
                f"{random.randint(1, 5 * step) / step:.1f}"
                if step == 2
                else f"{random.randint(1, 5)}"
            ),
            1_000_000_000 + random.randrange(10_000_000),
        )
        for user in range(1, 7)
        for item in random.sample(items, random.randint(8, 12))
    ]
    encoding = "utf-8" if layout in ("csv", "10m") else "latin-1"
    write_edition(folder, ratings, items, layout, encoding=encoding)
    for name in TELLTALES.values():
        if (folder / name).exists():
            (folder / name).write_text("1::2::3\n")
    return folder


def read_prepared(folder: Path, meta: dict[str, object]) -> Prepared:
    """Read the tables of a prepared folder."""
    events = pq.read_table(folder / "timelines.parquet").to_pylist()
    items = pq.read_table(folder / "items.parquet").to_pylist()
    counts = meta["counts"]
    assert isinstance(counts, dict)
    return Prepared(
        [
            Event(e["user_id"], e["item_id"], e["rating"], e["timestamp"], e["liked"])
            for e in events
        ],
        {i["item_id"]: Film(i["title"], i["year"], tuple(i["genres"])) for i in items},
        counts["dropped"],
        counts["items_dropped"],
    )


@dataclass(frozen=True)
class Reading:
    """An edition read in a simple way.

    Attributes:
        good: Ratings that can be used, of which the first of each user and item.
        rows: Number of rating rows, good and bad.
        items: Titles and genres as they are in the file, of each id; several where it is repeated.
        item_rows: Number of item rows.
        lone_cr: Whether a carriage return without line feed makes the number of rows a matter of
            opinion.
    """

    good: set[Event]
    rows: int
    items: dict[int, list[tuple[str, str]]]
    item_rows: int
    lone_cr: bool

    def genres_of(self, item: int) -> set[str]:
        """The genres of an item, separated by bars."""
        return set(self.items[item][0][1].split("|")) - NO_GENRES

    def fault_of(self, prepared: Prepared) -> str | None:
        """Return how the prepared data differ from this reading, if they do."""
        events = set(prepared.events)
        if len(events) != len(prepared.events):
            return "a rating is there twice"
        if foreign := sorted(events - self.good):
            return f"ratings that the file does not have: {foreign[:3]}"
        kept = len(prepared.events) + prepared.dropped
        if kept != self.rows and not self.lone_cr:
            return (
                f"{len(prepared.events)} ratings kept and {prepared.dropped} dropped of {self.rows}"
            )
        if foreign := sorted(prepared.items.keys() - self.items.keys()):
            return f"items that the file does not have: {foreign[:3]}"
        kept = len(prepared.items) + prepared.items_dropped
        if kept != self.item_rows and not self.lone_cr:
            return (
                f"{len(prepared.items)} items kept and {prepared.items_dropped} dropped of "
                f"{self.item_rows}"
            )
        for item, film in prepared.items.items():
            if "\0" in film.title:
                return f"a NUL character in the title of item {item}"
            if not any(_is_film(film, *raw) for raw in self.items[item]):
                return f"item {item} is {film}, in the file {self.items[item]}"
        return None


def read_simply(folder: Path, layout: Layout) -> Reading | None:
    """Read an edition line by line; None if its files cannot be read at all."""
    try:
        items = _read_items(folder / layout.items_file, layout)
        text = (folder / layout.ratings_file).read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, csv.Error, ValueError):
        return None
    lines = re.split("\r\n|\n|\r", text)
    names = ["userId", "movieId", "rating", "timestamp"]
    if layout.header:
        header = [name.strip(_BLANKS) for name in next(csv.reader(lines[:1]), [])]
        if any(header.count(name) != 1 for name in names):
            return None
        places, width, lines = [header.index(name) for name in names], len(header), lines[1:]
    else:
        places, width = list(range(4)), 4
    rows = [line for line in lines if line.strip(_BLANKS.replace(layout.separator, ""))]
    known = {item for item, _, _ in items}
    good: dict[tuple[int, int], Event] = {}
    for line in rows:
        event = _event(line, layout, places, width)
        if event is not None and event.item in known:
            good.setdefault((event.user, event.item), event)
    by_id: dict[int, list[tuple[str, str]]] = {}
    for item, title, genres in items:
        if item is not None:
            by_id.setdefault(item, []).append((title, genres))
    raw = text + (folder / layout.items_file).read_bytes().decode("latin-1")
    lone_cr = bool(re.search("\r(?!\n)", raw))
    return Reading(set(good.values()), len(rows), by_id, len(items), lone_cr)


def _event(line: str, layout: Layout, places: list[int], width: int) -> Event | None:
    if layout.header:
        if line.count('"') % 2:
            return None
        fields = next(csv.reader([line]), [])
    else:
        fields = line.split(layout.separator)
    if len(fields) == width + 1 and not fields[-1]:
        fields.pop()  # a separator at the end
    if len(fields) != width:
        return None
    user, item, rating, time = (fields[place].strip(_BLANKS).strip('"').strip() for place in places)
    if not all(re.fullmatch(r"[+-]?[0-9]{1,18}", text) for text in (user, item, time)):
        return None
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", rating):
        return None
    value, scale = float(rating), layout.scale
    if not scale.min <= value <= scale.max or value / scale.step % 1:
        return None
    if not 0 < int(time) < YEAR_2100:
        return None
    return Event(int(user), int(item), value, int(time), value >= THRESHOLD)


def _read_items(path: Path, layout: Layout) -> list[tuple[int | None, str, str]]:
    """Return id (None if it is none), title and genres of every row that is not blank."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if layout.header:
            raise
        text = data.decode("latin-1")
    if layout.header:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        header = [name.strip() for name in rows[0]] if rows else []
        places = [header.index(name) for name in ("movieId", "title", "genres")]
        if any(header.count(header[place]) != 1 for place in places):
            raise ValueError("a column is there twice")
        rows = [row for row in rows[1:] if any(field.strip() for field in row)]
        width = len(header)
    else:
        separator, width = ("|", 24) if layout is TAB_100K else ("::", 3)
        rows = [line.rstrip("\r").split(separator) for line in text.split("\n") if line.strip()]
        places = [0, 1, 2]
    found = []
    for cells in rows:
        row = cells
        if len(row) == width + 1 and not row[-1]:
            row.pop()
        if layout.separator == "::" and len(row) > width:  # a title may hold the separator
            row = [row[0], "::".join(row[1:-1]), row[-1]]
        fields = [row[place] if place < len(row) else "" for place in places]
        is_id = re.fullmatch(r"\s*[0-9]{1,18}\s*", fields[0]) and len(row) == width
        genres = f"flags {row[5:].count('1')}" if layout is TAB_100K else fields[2]
        found.append((int(fields[0]) if is_id else None, fields[1], genres))
    return found


def _is_film(film: Film, title: str, genres: str) -> bool:
    """Return whether a prepared item says what its row says."""
    text = title.strip()
    if film.year is None:
        same_title = film.title == text and not re.search(r"\S\s*\((19|20)\d\d\)$", text)
    else:
        at_end = _YEAR_AT_END.search(text)
        same_title = text.startswith(film.title) and str(film.year) in text
        same_title &= at_end is None or int(at_end[1]) == film.year
    if genres.startswith("flags "):  # of u.item; "unknown" is no genre
        return same_title and 0 <= int(genres.removeprefix("flags ")) - len(film.genres) <= 1
    listed = (re.split(r"\|", genres), re.split(r"[|,/]", genres))
    return same_title and any(_bare(film.genres) == _bare(each) - NO_GENRES for each in listed)


def _bare(genres: Iterable[str]) -> set[str]:
    """Return genres without the brackets and quotes of a list."""
    return {genre.strip(" []'\"") for genre in genres}
