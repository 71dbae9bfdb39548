"""Synthetic ratings in MovieLens' CSV form, with a preference that can be learned.

A rating is the item's quality, plus the user's preference for its genres, plus the user's
leniency, plus noise. The level is set so that half of all ratings reach 4.0. The same seed gives
the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reeltune.domain import HALF_STARS
from reeltune.errors import FetchError
from reeltune.files import atomic_folder
from reeltune.offline.synthetic_items import GENRES, SyntheticItems, make_items

MIN_RATINGS: Final = 20
DEFAULT_RATINGS_PER_USER: Final = 60

_QUALITY: Final = 0.5
_PREFERENCE: Final = 0.9
_LENIENCY: Final = 0.3
_NOISE: Final = 0.5
_ROUNDS_TO_FOUR: Final = 3.75  # ratings are rounded to halves: from here on up they become 4.0
_POPULARITY_SLOPE: Final = 0.7
_DRAW_ROUNDS: Final = 8
_FIRST_SECOND: Final = 946_684_800  # 2000-01-01, UTC: after the release of every item
_START_SPAN: Final = 15 * 365 * 86_400
_MEAN_GAP_SECONDS: Final = 3_600.0
_SAME_SECOND_SHARE: Final = 0.25

_README_FILE: Final = "README.txt"
_README: Final = """SYNTHETIC RATINGS, made by a program: no real users, no real films,
no MovieLens data.

Made by: reeltune fetch synthetic --users {users} --films {items} \
--ratings-per-user {ratings_per_user} --seed {seed}

ratings.csv (userId,movieId,rating,timestamp) and movies.csv (movieId,title,genres) have the form
of a MovieLens edition, for trying programs out. Numbers measured on them say nothing about people.
"""

IntArray = npt.NDArray[np.int64]


def make_synthetic(
    folder: Path,
    users: int,
    items: int,
    ratings_per_user: int = DEFAULT_RATINGS_PER_USER,
    seed: int = 0,
) -> int:
    """Write ``ratings.csv``, ``movies.csv`` and ``README.txt`` and return the number of ratings.

    Args:
        folder: Where to write; appears complete or not at all, an old one is replaced.
        users: Number of users; each gets at least 20 ratings, a few get many.
        items: Number of items, at least 20.
        ratings_per_user: The mean to aim for, from 20 to ``items``; fewer come out where a busy
            user would need more items than there are.
        seed: Root of all randomness.

    Raises:
        FetchError: A number is out of its range.
    """
    for flag, value, least, most in (
        ("--users", users, 1, None),
        ("--films", items, MIN_RATINGS, None),
        ("--ratings-per-user", ratings_per_user, MIN_RATINGS, items),
        ("--seed", seed, 0, None),
    ):
        if value < least or (most is not None and value > most):
            raise FetchError(
                f"{value} is out of range",
                code="synthetic_size_out_of_range",
                where=flag,
                hint=f"Give {least} {'or more' if most is None else f'to {most}'}; every user "
                f"rates at least {MIN_RATINGS} different films",
            )
    item_rng, user_rng, choice_rng, rating_rng, time_rng = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)
    )
    made = make_items(items, item_rng)
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
        readme = _readme(users, items, ratings_per_user, seed)
        (temporary / _README_FILE).write_text(readme, encoding="utf-8")
    return len(user)


def is_made_with(
    folder: Path, users: int, items: int, ratings_per_user: int, seed: int = 0
) -> bool:
    """Tell whether ``folder`` holds what :func:`make_synthetic` writes for these numbers."""
    readme, expected = folder / _README_FILE, _readme(users, items, ratings_per_user, seed)
    return readme.is_file() and readme.read_text(encoding="utf-8") == expected


def _readme(users: int, items: int, ratings_per_user: int, seed: int) -> str:
    return _README.format(users=users, items=items, ratings_per_user=ratings_per_user, seed=seed)


def _choose(counts: IntArray, items: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Choose different items for each user, popular ones more often.

    Args:
        counts: Number of ratings of each user.
        items: Number of items.
        rng: Source of randomness.

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
        drawn = np.searchsorted(cumulative, rng.random(len(owner)), side="right")
        keys = np.sort(np.concatenate([keys, owner * items + np.minimum(drawn, items - 1)]))
        # np.unique of numpy 2.4 takes ten times as long.
        keys = keys[np.append(True, keys[1:] != keys[:-1])]
    # Users who have rated nearly everything get the rest from what they have not drawn yet.
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
    user: IntArray, item: IntArray, users: int, made: SyntheticItems, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return ratings from 0.5 to 5.0 in halves."""
    quality = rng.normal(0.0, _QUALITY, size=len(made.ids))
    leniency = rng.normal(0.0, _LENIENCY, size=users)
    preference = rng.normal(0.0, _PREFERENCE, size=(users, len(GENRES)))
    score = quality[item] + leniency[user] + rng.normal(0.0, _NOISE, size=len(user))
    share = made.genre_mask / np.maximum(made.genre_mask.sum(axis=1, keepdims=True), 1)
    for genre in range(len(GENRES)):  # one genre at a time: memory stays at a few columns
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


def _write(folder: Path, made: SyntheticItems, ratings: dict[str, npt.NDArray[Any]]) -> None:
    import polars as pl

    # By user and item as in MovieLens: readers must not take the order of rows for that of time.
    pl.DataFrame(ratings).sort("userId", "movieId").write_csv(folder / "ratings.csv")
    items = {"movieId": made.ids, "title": made.titles, "genres": made.genre_names}
    pl.DataFrame(items).write_csv(folder / "movies.csv")
