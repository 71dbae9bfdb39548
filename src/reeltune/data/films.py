"""Reading the films of an edition.

A hundred thousand rows at most: read in plain Python, so that quoted line breaks are understood
and every complaint names the physical line.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl

from reeltune.data.badrows import BadRow, DroppedRows
from reeltune.data.columns import Columns
from reeltune.data.film_rows import FIELDS_BEFORE_FLAGS, GENRE_FLAGS, FilmRow, film_rows
from reeltune.data.layouts import Layout
from reeltune.data.titles import NO_GENRES, split_genres, split_year
from reeltune.domain import Film
from reeltune.errors import DataError

_ID_DIGITS = 18  # what fits into 64 bits whatever the digits


def read_films(
    path: Path, layout: Layout, *, skip_bad_rows: bool
) -> tuple[list[Film], DroppedRows]:
    """Read all films, sorted by film id.

    A film without a year is fine. Of two rows with the same film id the first is kept.

    Args:
        path: The films file.
        layout: How it is laid out.
        skip_bad_rows: Leave bad rows out instead of stopping at the first.

    Returns:
        The films, and the rows left out.

    Raises:
        DataError: The file cannot be read as the layout says, or has a bad row.
    """
    films: dict[int, Film] = {}
    lines: dict[int, int] = {}
    bad: list[BadRow] = []
    for row in film_rows(path, layout):
        film = _to_film(path.name, row)
        if isinstance(film, Film) and film.film_id in films:
            film = _bad(
                path.name,
                row,
                "duplicate_film",
                f"film {film.film_id} is already on line {lines[film.film_id]}",
                "Remove one of the two",
            )
        if isinstance(film, BadRow):
            bad.append(film)
        else:
            films[film.film_id] = film
            lines[film.film_id] = row.line
    dropped = DroppedRows()
    dropped.refuse_or_add(bad, Counter(row.reason for row in bad), skip=skip_bad_rows)
    if not films:
        raise DataError(
            "holds no film",
            code="no_items",
            where=path.name,
            hint="Check that the file is complete",
        )
    return [films[film_id] for film_id in sorted(films)], dropped


def films_frame(films: list[Film]) -> pl.DataFrame:
    """Return films as the table of ``films.parquet``."""
    schema = {
        Columns.FILM: pl.Int64(),
        Columns.TITLE: pl.String(),
        Columns.YEAR: pl.Int16(),
        Columns.GENRES: pl.List(pl.String()),
    }
    rows = [(film.film_id, film.title, film.year, list(film.genres)) for film in films]
    return pl.DataFrame(rows, schema=schema, orient="row")


def _to_film(name: str, row: FilmRow) -> Film | BadRow:
    """Return the film of a row, or what is wrong with it."""
    if len(row.fields) != row.expected:
        what = f"{len(row.fields)} fields where {row.expected} are expected"
        return _bad(name, row, "film_field_count", what, "Correct the row (or its separators)")
    film_id = row.fields[0].strip()
    if not (film_id.isascii() and film_id.isdigit() and len(film_id) <= _ID_DIGITS):
        return _bad(name, row, "film_id_not_a_number", f"the film id is {film_id!r}, not a number")
    title, year = split_year(row.fields[1])
    if not title:
        return _bad(name, row, "film_without_title", f"film {film_id} has no title")
    if row.expected == FIELDS_BEFORE_FLAGS + len(GENRE_FLAGS):
        flags = [flag.strip() for flag in row.fields[FIELDS_BEFORE_FLAGS:]]
        if not set(flags) <= {"0", "1"}:
            what = f"the genre flags of film {film_id} are not all 0 or 1"
            return _bad(name, row, "film_genre_flags", what)
        flagged = (genre for genre, flag in zip(GENRE_FLAGS, flags, strict=True) if flag == "1")
        genres = tuple(genre for genre in flagged if genre not in NO_GENRES)
    else:
        genres = split_genres(row.fields[2])
    return Film(int(film_id), title, year, genres)


def _bad(name: str, row: FilmRow, reason: str, what: str, mend: str = "Correct the row") -> BadRow:
    return BadRow(name, row.line, reason, what, "|".join(row.fields), mend)
