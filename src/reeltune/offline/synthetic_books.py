"""Synthetic ratings of books: a sparse catalogue with ids of text, a scale of 1 to 10 and dates.

Taste follows author and genre. A rating is the sum of the author's quality, the reader's preference
for the genre and for the author, the reader's leniency and noise, shifted so that half of all
ratings reach 7. A book says nothing about itself beyond its text, so a method that reads the text
can predict ratings of books that nobody has rated. The same seed gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from reeltune.files import atomic_folder
from reeltune.offline.synthetic import README_FILE, readme_of, start
from reeltune.ragged import Ints

MIN_RATINGS: Final = 2
DEFAULT_RATINGS_PER_USER: Final = 12
_LEAST_BOOKS: Final = 20

_BOOKS_PER_AUTHOR: Final = 10
_QUALITY: Final = 2.2
_GENRE_PREFERENCE: Final = 1.2
_AUTHOR_PREFERENCE: Final = 0.8
_LENIENCY: Final = 0.6
_NOISE: Final = 1.2
_OTHER_GENRE_SHARE: Final = 0.15
_POPULARITY_SLOPE: Final = 0.6
_FIRST_DAY: Final = np.datetime64("2012-01-01")
_DAYS: Final = 10 * 365
_ON_SALE_AT_FIRST: Final = 0.3
"""The share of books that can be rated from the first day; the others appear one after another."""

_FILES: Final = ("ratings.csv", "books.csv", README_FILE)
README: Final = """SYNTHETIC RATINGS, made by a program: no real readers and no real books.

Made by: reeltune fetch synthetic-books --users {users} --items {items} \
--ratings-per-user {ratings_per_user} --seed {seed}

ratings.csv (user_id,isbn,score,reviewed_at) and books.csv (isbn,name,author,genre,year,blurb) are
for trying programs out. Numbers measured on them say nothing about people.
"""

_GENRES: Final = {
    "Crime": ("inspector", "alibi", "harbour", "ransom", "witness"),
    "Fantasy": ("dragon", "oath", "sorcerer", "kingdom", "runes"),
    "History": ("treaty", "emperor", "archive", "siege", "railway"),
    "Romance": ("letters", "summer", "wedding", "vineyard", "promise"),
    "Science Fiction": ("orbit", "android", "signal", "colony", "reactor"),
    "Travel": ("caravan", "monsoon", "passport", "lagoon", "border"),
}
_NAMES: Final = (
    ("Al", "Bren", "Cas", "Dor", "Ek", "Four"),
    ("berg", "ley", "mann", "nier", "quist", "šova"),
)
_TITLES: Final = (
    "A House of {}",
    "After the {}",
    "{}, and Other Losses",
    "The Last {}",
    "{} at Dusk",
)


def make_synthetic_books(
    folder: Path,
    users: int,
    items: int,
    ratings_per_user: int = DEFAULT_RATINGS_PER_USER,
    seed: int = 0,
) -> int:
    """Write ``ratings.csv``, ``books.csv`` and ``README.txt``; return the number of ratings.

    An old folder is replaced. The mean number of ratings is a little below ``ratings_per_user``,
    since a book drawn twice by one reader counts once.

    Raises:
        FetchError: A number is out of its range.
    """
    import polars as pl

    numbers, fewest = (users, items, ratings_per_user, seed), (_LEAST_BOOKS, MIN_RATINGS)
    book_rng, draw_rng, rating_rng = start(3, folder, _FILES, numbers, fewest)
    authors = -(-items // _BOOKS_PER_AUTHOR)
    author = book_rng.integers(authors, size=items)
    genre = book_rng.integers(len(_GENRES), size=authors)[author]
    other = book_rng.random(items) < _OTHER_GENRE_SHARE
    genre = np.where(other, book_rng.integers(len(_GENRES), size=items), genre)
    user, item, day = _draw(users, items, ratings_per_user, draw_rng)
    score = _scores(user, item, author, genre, (users, authors), rating_rng)
    isbns = [f"{isbn:010}" for isbn in book_rng.permutation(10 * items)[:items]]
    readers = np.array([f"reader-{number:05x}" for number in book_rng.permutation(16**5)[:users]])
    ratings = {
        "user_id": readers[user],
        "isbn": np.array(isbns)[item],
        "score": score,
        "reviewed_at": np.datetime_as_string(_FIRST_DAY + day),
    }
    with atomic_folder(folder) as temporary:
        pl.DataFrame(ratings).write_csv(temporary / "ratings.csv")
        books = _books(isbns, author, genre, book_rng)
        pl.DataFrame(books, orient="row", schema=["isbn", *_COLUMNS]).write_csv(
            temporary / "books.csv"
        )
        (temporary / README_FILE).write_text(readme_of(README, *numbers), encoding="utf-8")
    return len(user)


def _draw(
    users: int, items: int, ratings_per_user: int, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    """Draw who rates which book on which day, in order of time.

    Books are numbered by the day they appear, and only those that have appeared are drawn.
    """
    extra = rng.exponential(ratings_per_user - MIN_RATINGS, size=users)
    counts = MIN_RATINGS + extra.round().astype(np.int64)
    user = np.repeat(np.arange(users), counts)
    day = rng.integers(_DAYS, size=len(user))
    share = _ON_SALE_AT_FIRST + (1 - _ON_SALE_AT_FIRST) * day / _DAYS
    appeared = np.maximum(1, (share * items).astype(np.int64))
    cumulative = np.cumsum((1.0 + rng.permutation(items)) ** -_POPULARITY_SLOPE)
    item = np.searchsorted(cumulative, rng.random(len(user)) * cumulative[appeared - 1])
    _, first = np.unique(user * items + item, return_index=True)
    first = first[np.argsort(day[first], kind="stable")]
    return user[first], item[first], day[first]


def _scores(
    user: Ints,
    item: Ints,
    author: Ints,
    genre: Ints,
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> Ints:
    """Return whole ratings from 1 to 10; ``shape`` is the number of readers and of authors."""
    users, authors = shape
    quality = rng.normal(0, _QUALITY, size=authors)
    level = quality[author[item]] + rng.normal(0, _LENIENCY, size=users)[user]
    level += rng.normal(0, _GENRE_PREFERENCE, size=(users, len(_GENRES)))[user, genre[item]]
    level += rng.normal(0, _AUTHOR_PREFERENCE, size=shape)[user, author[item]]
    level += rng.normal(0, _NOISE, size=len(user))
    return np.clip(np.round(level - np.median(level) + 7), 1, 10).astype(np.int64)


_COLUMNS: Final = ("name", "author", "genre", "year", "blurb")


def _books(isbns: list[str], author: Ints, genre: Ints, rng: np.random.Generator) -> list[tuple]:
    names = list(_GENRES)
    rows = []
    for isbn, writer, kind in zip(isbns, author.tolist(), genre.tolist(), strict=True):
        words = _GENRES[names[kind]]
        first, second = rng.choice(len(words), size=2, replace=False).tolist()
        title = _TITLES[rng.integers(len(_TITLES))].format(words[first].capitalize())
        blurb = f"A story of {words[first]} and {words[second]}, told by {_author(writer)}."
        year = int(rng.integers(1950, 2012))
        rows.append((isbn, f"{title} {isbn[-4:]}", _author(writer), names[kind], year, blurb))
    return rows


def _author(number: int) -> str:
    """Return a name; after all have been used, with a number as of a dynasty."""
    first, last = _NAMES
    round_, index = divmod(number, len(first) * len(last))
    name = f"{chr(ord('A') + number % 26)}. {first[index % len(first)]}{last[index // len(first)]}"
    return f"{name} {round_ + 1}" if round_ else name
