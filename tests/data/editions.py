"""Tiny editions in every layout, written by the tests themselves."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from reeltune.data.items import GENRE_FLAGS


class Rating(NamedTuple):
    """One rating; stars as text, the way files hold them."""

    user: int
    item: int
    rating: str
    time: int


class ItemRow(NamedTuple):
    """One film; genres separated by ``|``."""

    item: int
    title: str
    genres: str = "Drama"


NAMES = {
    "csv": ("ratings.csv", "movies.csv"),
    "1m": ("ratings.dat", "movies.dat"),
    "10m": ("ratings.dat", "movies.dat"),
    "100k": ("u.data", "u.item"),
}
TELLTALES = {"1m": "users.dat", "10m": "tags.dat"}


def items(count: int) -> list[ItemRow]:
    """Films 10, 20, ... with titles and years of their own."""
    return [
        ItemRow(10 * n, f"Film {n} ({1990 + n % 30})", "Action|Drama") for n in range(1, count + 1)
    ]


def timeline(user: int, count: int, *, start: int = 1_000_000) -> list[Rating]:
    """``count`` ratings by one user of films 10, 20, ..., each a second after the one before."""
    return [Rating(user, 10 * n, "4" if n % 2 else "3", start + n) for n in range(1, count + 1)]


def write_edition(
    folder: Path,
    ratings: Iterable[Rating],
    item_rows: Sequence[ItemRow],
    layout: str = "csv",
    *,
    encoding: str = "utf-8",
    newline: str = "\n",
) -> Path:
    """Write an edition and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    ratings_name, items_name = NAMES[layout]
    separator = {"csv": ",", "100k": "\t"}.get(layout, "::")
    lines = [separator.join(map(str, rating)) for rating in ratings]
    if layout == "csv":
        lines.insert(0, "userId,movieId,rating,timestamp")
        with (folder / items_name).open("w", encoding=encoding, newline="") as stream:
            writer = csv.writer(stream, lineterminator=newline)
            writer.writerow(("movieId", "title", "genres"))
            writer.writerows(item_rows)
    else:
        make = _item_line if layout == "100k" else "::".join
        text = [make((str(item), title, genres)) for item, title, genres in item_rows]
        _write(folder / items_name, text, encoding, newline)
    if layout in TELLTALES:
        (folder / TELLTALES[layout]).touch()
    _write(
        folder / ratings_name, lines, "utf-8-sig" if encoding == "utf-8-sig" else "utf-8", newline
    )
    return folder


def write_zip(path: Path, folder: Path, inside: str = "") -> Path:
    """Put the files of a folder into a zip, below the folder ``inside``."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{inside}{file.name}")
    return path


def read_timelines(folder: Path) -> pl.DataFrame:
    """The prepared timelines."""
    return pl.read_parquet(folder / "timelines.parquet")


def _item_line(row: Sequence[str]) -> str:
    item, title, genres = row
    flags = ("1" if genre in genres.split("|") else "0" for genre in GENRE_FLAGS)
    return "|".join((item, title, "01-Jan-1995", "", "http://example.org", *flags))


def _write(path: Path, lines: Sequence[str], encoding: str, newline: str) -> None:
    text = "".join(line + newline for line in lines)
    path.write_bytes(text.encode(encoding))
