"""Items for synthetic ratings, with titles as awkward as real ones.

The oddity of a title depends on its index alone, so that forty items hold every kind.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

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


@dataclass(frozen=True)
class SyntheticItems:
    """Items, one entry each.

    Attributes:
        ids: Ascending, with gaps.
        titles: Most with the year in brackets.
        genre_mask: Shape (items, genres).
        genre_names: Genres in the form of ``movies.csv``.
    """

    ids: npt.NDArray[np.int64]
    titles: list[str]
    genre_mask: npt.NDArray[np.bool_]
    genre_names: list[str]


def make_items(count: int, rng: np.random.Generator) -> SyntheticItems:
    """Make ``count`` items."""
    ids = np.cumsum(rng.integers(1, 4, size=count))
    years = rng.integers(_FIRST_YEAR, _LAST_YEAR + 1, size=count)
    first = rng.integers(len(_FIRST), size=count)
    second = rng.integers(len(_SECOND), size=count)
    used: Counter[str] = Counter()
    titles = [_title(i, int(first[i]), int(second[i]), used) for i in range(count)]
    dated = [title if i % 40 == 17 else f"{title} ({years[i]})" for i, title in enumerate(titles)]
    mask = _genre_mask(count, rng)
    names = ["|".join(GENRES[genre] for genre in np.flatnonzero(row)) or NO_GENRES for row in mask]
    return SyntheticItems(ids, dated, mask, names)


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
