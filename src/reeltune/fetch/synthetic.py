"""Synthetic ratings in MovieLens' CSV form, with a taste that can be learned.

Stars are a film's quality, plus the user's taste for its genres, plus the user's leniency, plus
noise. The level is set so that half of all ratings reach 4.0 stars. The same seed gives the same
bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reeltune.errors import FetchError
from reeltune.fetch.synthetic_films import GENRES, SyntheticFilms, make_films
from reeltune.fetch.trouble import disk_errors
from reeltune.files import atomic_folder

LEAST_RATINGS: Final = 20
DEFAULT_RATINGS_PER_USER: Final = 60

_QUALITY: Final = 0.5
_TASTE: Final = 0.9
_LENIENCY: Final = 0.3
_NOISE: Final = 0.5
_HALF_WAY_TO_FOUR: Final = 3.75  # stars are rounded to halves: from here on up they become 4.0
_POPULARITY_SLOPE: Final = 0.7
_DRAW_ROUNDS: Final = 8
_FIRST_SECOND: Final = 946_684_800  # 2000-01-01, UTC: after the last made-up film
_START_SPAN: Final = 15 * 365 * 86_400
_MEAN_GAP_SECONDS: Final = 3_600.0
_SAME_SECOND_SHARE: Final = 0.25

_README_FILE: Final = "README.txt"
_README: Final = """SYNTHETIC RATINGS, made by a program: no real users, no real films,
no MovieLens data.

Made by: reeltune fetch synthetic --users {users} --films {films} \
--ratings-per-user {ratings_per_user} --seed {seed}

ratings.csv (userId,movieId,rating,timestamp) and movies.csv (movieId,title,genres) have the form
of a MovieLens edition, for trying programs out. Numbers measured on them say nothing about people.
"""

IntArray = npt.NDArray[np.int64]


def make_synthetic(
    folder: Path,
    users: int,
    films: int,
    ratings_per_user: int = DEFAULT_RATINGS_PER_USER,
    seed: int = 0,
) -> int:
    """Write ``ratings.csv``, ``movies.csv`` and ``README.txt`` and return the number of ratings.

    Args:
        folder: Where to write; appears complete or not at all, an old one is replaced.
        users: Number of users; each gets at least 20 ratings, a few get many.
        films: Number of films, at least 20.
        ratings_per_user: The mean number of ratings to aim for, from 20 up to the number of films
            (fewer come out where a busy user would need more films than there are).
        seed: The root of all randomness.

    Raises:
        FetchError: A number is out of its range.
    """
    _check_numbers(users, films, ratings_per_user, seed)
    readme = _readme(users, films, ratings_per_user, seed)
    film_rng, user_rng, choice_rng, star_rng, time_rng = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)
    )
    made = make_films(films, film_rng)
    counts = _counts(users, films, ratings_per_user, user_rng)
    user, film = _choose(counts, films, choice_rng)
    ratings = {
        "userId": user + 1,
        "movieId": made.ids[film],
        "rating": _stars(user, film, users, made, star_rng),
        "timestamp": _timestamps(user, counts, time_rng),
    }
    with disk_errors(folder), atomic_folder(folder) as temporary:
        _write(temporary, made, ratings)
        (temporary / _README_FILE).write_text(readme, encoding="utf-8")
    return len(user)


def is_made_with(
    folder: Path, users: int, films: int, ratings_per_user: int, seed: int = 0
) -> bool:
    """Tell whether ``folder`` holds what :func:`make_synthetic` makes from these numbers."""
    readme = folder / _README_FILE
    return readme.is_file() and readme.read_text(encoding="utf-8") == _readme(
        users, films, ratings_per_user, seed
    )


def _readme(users: int, films: int, ratings_per_user: int, seed: int) -> str:
    return _README.format(users=users, films=films, ratings_per_user=ratings_per_user, seed=seed)


def _check_numbers(users: int, films: int, ratings_per_user: int, seed: int) -> None:
    if users < 1:
        raise FetchError(f"--users is {users}", hint="Give at least 1")
    if films < LEAST_RATINGS:
        raise FetchError(
            f"--films is {films}, but every user rates at least {LEAST_RATINGS} different ones",
            hint=f"Give at least {LEAST_RATINGS}",
        )
    if not LEAST_RATINGS <= ratings_per_user <= films:
        raise FetchError(
            f"--ratings-per-user is {ratings_per_user}",
            hint=f"Give {LEAST_RATINGS} to {films}, the number of films",
        )
    if seed < 0:
        raise FetchError(f"--seed is {seed}", hint="Give 0 or more")


def _counts(users: int, films: int, mean: int, rng: np.random.Generator) -> IntArray:
    """Return how many films each user rates: at least 20, skewed, ``mean`` on average."""
    extra = rng.exponential(mean - LEAST_RATINGS, size=users).round().astype(np.int64)
    return np.minimum(LEAST_RATINGS + extra, films)


def _choose(counts: IntArray, films: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Choose different films for each user, popular ones more often.

    Returns:
        User and film row of every rating, users ascending, each user's films in random order.
    """
    users = len(counts)
    weight = (1.0 + rng.permutation(films)) ** -_POPULARITY_SLOPE
    cumulative = np.cumsum(weight / weight.sum())
    keys = np.empty(0, dtype=np.int64)  # user * films + film
    for _ in range(_DRAW_ROUNDS):
        missing = counts - np.bincount(keys // films, minlength=users)
        if not missing.any():
            break
        owner = np.repeat(np.arange(users), missing)
        drawn = np.searchsorted(cumulative, rng.random(len(owner)), side="right")
        keys = _distinct(np.concatenate([keys, owner * films + np.minimum(drawn, films - 1)]))
    keys = _top_up(keys, counts, films, rng)
    user = keys // films
    order = np.lexsort((rng.random(len(keys)), user))
    return user[order], (keys % films)[order]


def _distinct(keys: IntArray) -> IntArray:
    """Return the distinct keys, sorted; ``np.unique`` of numpy 2.4 takes ten times as long."""
    ordered = np.sort(keys)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])]


def _top_up(keys: IntArray, counts: IntArray, films: int, rng: np.random.Generator) -> IntArray:
    """Give users who have seen nearly everything the rest from what they have not drawn yet."""
    missing = counts - np.bincount(keys // films, minlength=len(counts))
    added = [keys]
    for user in np.flatnonzero(missing):
        begin, end = np.searchsorted(keys, [user * films, (user + 1) * films])
        unseen = np.setdiff1d(np.arange(films), keys[begin:end] - user * films)
        added.append(user * films + rng.choice(unseen, size=missing[user], replace=False))
    return np.sort(np.concatenate(added))


def _stars(
    user: IntArray, film: IntArray, users: int, made: SyntheticFilms, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return stars from 0.5 to 5.0 in halves for every rating."""
    quality = rng.normal(0.0, _QUALITY, size=len(made.ids))
    leniency = rng.normal(0.0, _LENIENCY, size=users)
    taste = rng.normal(0.0, _TASTE, size=(users, len(GENRES)))
    score = quality[film] + leniency[user] + rng.normal(0.0, _NOISE, size=len(user))
    share = made.genre_mask / np.maximum(made.genre_mask.sum(axis=1, keepdims=True), 1)
    for genre in range(len(GENRES)):  # one genre at a time: memory stays at a few columns
        score += taste[user, genre] * share[film, genre]
    level = score + (_HALF_WAY_TO_FOUR - np.median(score))
    return np.clip(np.round(level * 2) / 2, 0.5, 5.0)


def _timestamps(user: IntArray, counts: IntArray, rng: np.random.Generator) -> IntArray:
    """Return seconds since 1970 that never fall within a user, often equal as in real editions."""
    gaps = rng.exponential(_MEAN_GAP_SECONDS, size=len(user))
    gaps[rng.random(len(user)) < _SAME_SECOND_SHARE] = 0.0
    elapsed = np.cumsum(gaps)
    first_row = np.cumsum(counts) - counts
    start = _FIRST_SECOND + rng.integers(_START_SPAN, size=len(counts))
    return start[user] + (elapsed - elapsed[first_row][user]).astype(np.int64)


def _write(folder: Path, made: SyntheticFilms, ratings: dict[str, npt.NDArray[Any]]) -> None:
    import polars as pl

    # By user and film as in MovieLens: readers must not take the order of rows for that of time.
    pl.DataFrame(ratings).sort("userId", "movieId").write_csv(folder / "ratings.csv")
    films = {"movieId": made.ids, "title": made.titles, "genres": made.genre_names}
    pl.DataFrame(films).write_csv(folder / "movies.csv")
