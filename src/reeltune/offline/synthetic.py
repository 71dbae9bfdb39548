"""Synthetic ratings in MovieLens' CSV form, with learnable preferences.

A rating is the sum of the item's quality, the user's preference for its genres, the user's leniency
and noise, shifted so that half of all ratings reach 4.0. The same seed gives the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reeltune.domain import HALF_STARS
from reeltune.errors import FetchError
from reeltune.files import atomic_folder, refuse_foreign

MIN_RATINGS: Final = 20
DEFAULT_RATINGS_PER_USER: Final = 60

_QUALITY: Final = 0.5
_PREFERENCE: Final = 0.9
_LENIENCY: Final = 0.3
_NOISE: Final = 0.5
_ROUNDS_TO_FOUR: Final = 3.75  # rounded to halves, the least 4.0
_POPULARITY_SLOPE: Final = 0.7
_DRAW_ROUNDS: Final = 8
_FIRST_SECOND: Final = 946_684_800  # 2000-01-01, UTC: after the release of every item
_START_SPAN: Final = 15 * 365 * 86_400
_MEAN_GAP_SECONDS: Final = 3_600.0
_SAME_SECOND_SHARE: Final = 0.25

README_FILE: Final = "README.txt"
_FILES: Final = ("ratings.csv", "movies.csv", README_FILE)
README: Final = """SYNTHETIC RATINGS, made by a program: no real users, no real films,
no MovieLens data.

Made by: reeltune fetch synthetic --users {users} --items {items} \
--ratings-per-user {ratings_per_user} --seed {seed}

ratings.csv (userId,movieId,rating,timestamp) and movies.csv (movieId,title,genres) have the form
of a MovieLens edition, for trying programs out. Numbers measured on them say nothing about people.
"""

GENRES: Final = (
    *("Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller"),
    *("War", "Western"),
)
NO_GENRES: Final = "(no genres listed)"

_FIRST: Final = (
    *("Amber", "Borrowed", "Crooked", "Distant", "Eleventh", "Forgotten", "Gentle", "Hollow"),
    *("Iron", "Juniper", "Kindled", "Lonesome", "Midwinter", "Northern", "Opal", "Paper"),
    *("Quarrelsome", "Restless", "Salted", "Tidal", "Unfinished", "Velvet", "Wandering", "Yellow"),
)
_SECOND: Final = (
    *("Almanac", "Beekeeper", "Cartographer", "Dockyard", "Echo", "Ferryman", "Granary"),
    *("Harvest", "Inlet", "Jubilee", "Kiln", "Lighthouse", "Metronome", "Nightingale", "Orchard"),
    *("Pendulum", "Quarry", "Regatta", "Semaphore", "Turnstile", "Undertow", "Viaduct", "Windmill"),
)
_ACCENTED: Final = ("Été à Brûmes", "Mañana en Peñalta", "Über den Flöhen", "Řeka Žáru")
_FIRST_YEAR: Final = 1930
_LAST_YEAR: Final = 1999
_MAX_GENRES: Final = 3

IntArray = npt.NDArray[np.int64]


def make_synthetic(
    folder: Path,
    users: int,
    items: int,
    ratings_per_user: int = DEFAULT_RATINGS_PER_USER,
    seed: int = 0,
) -> int:
    """Write ``ratings.csv``, ``movies.csv`` and ``README.txt``; return the number of ratings.

    Every user has at least 20 ratings, a few have many. An old folder is replaced. The mean can be
    below ``ratings_per_user`` if active users rate all items.

    Raises:
        FetchError: A number is out of its range.
    """
    numbers = users, items, ratings_per_user, seed
    streams = start(5, folder, _FILES, numbers, (MIN_RATINGS, MIN_RATINGS))
    item_rng, user_rng, choice_rng, rating_rng, time_rng = streams
    made = _make_items(items, item_rng)
    extra = user_rng.exponential(ratings_per_user - MIN_RATINGS, size=users)
    counts = np.minimum(MIN_RATINGS + extra.round().astype(np.int64), items)
    user, item = _choose(counts, items, choice_rng)
    ratings = {
        "userId": user + 1,
        "movieId": made.ids[item],
        "rating": _ratings(user, item, users, made, rating_rng),
        "timestamp": _timestamps(user, counts, time_rng),
    }
    with atomic_folder(folder) as temporary:
        _write(temporary, made, ratings)
        (temporary / README_FILE).write_text(readme_of(README, *numbers), encoding="utf-8")
    return len(user)


def start(
    count: int, folder: Path, files: Sequence[str], numbers: Sequence[int], fewest: Sequence[int]
) -> Iterator[np.random.Generator]:
    """Check numbers and folder, and return as many random streams of the seed.

    ``numbers`` are those of :func:`readme_of`, ``fewest`` the least of items and ratings per user.
    """
    flags = ("--users", "--items", "--ratings-per-user", "--seed")
    least, most = (1, *fewest, 0), (None, None, numbers[1], None)
    for flag, value, low, high in zip(flags, numbers, least, most, strict=True):
        if value < low or (high is not None and value > high):
            raise FetchError(
                f"{value} is out of range",
                code="synthetic_size_out_of_range",
                where=flag,
                hint=f"Give {low} {'or more' if high is None else f'to {high}'}",
            )
    refuse_foreign(folder, files, FetchError, code="other_files_in_folder")
    return map(np.random.default_rng, np.random.SeedSequence(numbers[-1]).spawn(count))


def readme_of(text: str, users: int, items: int, ratings_per_user: int, seed: int) -> str:
    """Return the text of ``README.txt``, which names the numbers the data were made with."""
    return text.format(users=users, items=items, ratings_per_user=ratings_per_user, seed=seed)


def _choose(counts: IntArray, items: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Choose ``counts[u]`` different items for each user u, popular ones more often.

    Returns:
        User and item index of every rating, users ascending, each user's items in random order.
    """
    users = len(counts)
    weight = (1.0 + rng.permutation(items)) ** -_POPULARITY_SLOPE
    cumulative = np.cumsum(weight / weight.sum())
    keys = np.empty(0, dtype=np.int64)  # user * items + item, sorted, distinct
    for _ in range(_DRAW_ROUNDS):
        missing = counts - np.bincount(keys // items, minlength=users)
        if not missing.any():
            break
        owner = np.repeat(np.arange(users), missing)
        chosen = np.searchsorted(cumulative, rng.random(len(owner)), side="right")
        keys = np.sort(np.concatenate([keys, owner * items + np.minimum(chosen, items - 1)]))
        # np.unique of numpy 2.4 takes ten times as long.
        keys = keys[np.append(True, keys[1:] != keys[:-1])]
    # Users with nearly all items get the rest from those they do not have yet.
    missing = counts - np.bincount(keys // items, minlength=users)
    added = [keys]
    for user in np.flatnonzero(missing):
        begin, end = np.searchsorted(keys, [user * items, (user + 1) * items])
        unseen = np.setdiff1d(np.arange(items), keys[begin:end] - user * items)
        added.append(user * items + rng.choice(unseen, size=missing[user], replace=False))
    keys = np.sort(np.concatenate(added))
    order = np.lexsort((rng.random(len(keys)), keys // items))
    return (keys // items)[order], (keys % items)[order]


def _ratings(
    user: IntArray, item: IntArray, users: int, made: _Items, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return ratings from 0.5 to 5.0 in halves."""
    quality = rng.normal(0.0, _QUALITY, size=len(made.ids))
    leniency = rng.normal(0.0, _LENIENCY, size=users)
    preference = rng.normal(0.0, _PREFERENCE, size=(users, len(GENRES)))
    score = quality[item] + leniency[user] + rng.normal(0.0, _NOISE, size=len(user))
    share = made.genre_mask / np.maximum(made.genre_mask.sum(axis=1, keepdims=True), 1)
    for genre in range(len(GENRES)):  # by genre, to save memory
        score += preference[user, genre] * share[item, genre]
    level = score + (_ROUNDS_TO_FOUR - np.median(score))
    scale = HALF_STARS
    return np.clip(np.round(level / scale.step) * scale.step, scale.min, scale.max)


def _timestamps(user: IntArray, counts: IntArray, rng: np.random.Generator) -> IntArray:
    """Return seconds since 1970, not decreasing within a user, often equal as in real editions."""
    gaps = rng.exponential(_MEAN_GAP_SECONDS, size=len(user))
    gaps[rng.random(len(user)) < _SAME_SECOND_SHARE] = 0.0
    elapsed = np.cumsum(gaps)
    first = np.cumsum(counts) - counts
    start = _FIRST_SECOND + rng.integers(_START_SPAN, size=len(counts))
    return start[user] + (elapsed - elapsed[first][user]).astype(np.int64)


def _write(folder: Path, made: _Items, ratings: dict[str, npt.NDArray[Any]]) -> None:
    import polars as pl

    # By user and item as in MovieLens, so that the order of rows is not that of time.
    pl.DataFrame(ratings).sort("userId", "movieId").write_csv(folder / "ratings.csv")
    items = {"movieId": made.ids, "title": made.titles, "genres": made.genre_names}
    pl.DataFrame(items).write_csv(folder / "movies.csv")


@dataclass(frozen=True)
class _Items:
    """Columns of items; ``genre_mask`` has the shape (items, genres)."""

    ids: npt.NDArray[np.int64]
    titles: list[str]
    genre_mask: npt.NDArray[np.bool_]
    genre_names: list[str]


def _make_items(count: int, rng: np.random.Generator) -> _Items:
    """Make items with titles as awkward as real ones: any forty in a row hold every kind."""
    ids = np.cumsum(rng.integers(1, 4, size=count))
    years = rng.integers(_FIRST_YEAR, _LAST_YEAR + 1, size=count)
    first = rng.integers(len(_FIRST), size=count)
    second = rng.integers(len(_SECOND), size=count)
    used: Counter[str] = Counter()
    titles = [_title(i, int(first[i]), int(second[i]), used) for i in range(count)]
    dated = [title if i % 40 == 17 else f"{title} ({years[i]})" for i, title in enumerate(titles)]
    mask = _genre_mask(count, rng)
    names = ["|".join(GENRES[genre] for genre in np.flatnonzero(row)) or NO_GENRES for row in mask]
    return _Items(ids, dated, mask, names)


def _title(index: int, first: int, second: int, used: Counter[str]) -> str:
    """Return a title; a repeated one gets a number, as sequels do."""
    if index % 13 == 6:
        words = _ACCENTED[first % len(_ACCENTED)]
    else:
        words = f"{_FIRST[first]} {_SECOND[second]}"
    used[words] += 1
    numbered = words if used[words] == 1 else f"{words} {used[words]}"
    if index % 23 == 5:
        return f'The "{numbered}" Affair'
    return f"{numbered}, The" if index % 11 == 3 else numbered


def _genre_mask(count: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Give every item one to three genres, every sixtieth none."""
    chosen = rng.integers(len(GENRES), size=(count, _MAX_GENRES))
    kept = np.arange(_MAX_GENRES) < rng.integers(1, _MAX_GENRES + 1, size=(count, 1))
    kept[31::60] = False
    mask = np.zeros((count, len(GENRES)), dtype=np.bool_)
    item, slot = np.nonzero(kept)
    mask[item, chosen[item, slot]] = True
    return mask
