"""Made-up films for synthetic ratings, with titles as awkward as real ones.

Which film gets which oddity depends on its row alone, so that even forty films hold every kind.
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
_MOST_GENRES: Final = 3


@dataclass(frozen=True)
class SyntheticFilms:
    """Films, one entry each.

    Attributes:
        ids: Ascending, with gaps, as in real editions.
        titles: With the year in brackets, mostly.
        genre_mask: Shape (films, genres); True where the film has the genre.
        genre_names: The genres as ``movies.csv`` writes them.
    """

    ids: npt.NDArray[np.int64]
    titles: list[str]
    genre_mask: npt.NDArray[np.bool_]
    genre_names: list[str]


def make_films(count: int, rng: np.random.Generator) -> SyntheticFilms:
    """Make ``count`` films."""
    ids = np.cumsum(rng.integers(1, 4, size=count))
    years = rng.integers(_FIRST_YEAR, _LAST_YEAR + 1, size=count)
    first = rng.integers(len(_FIRST), size=count)
    second = rng.integers(len(_SECOND), size=count)
    used: Counter[str] = Counter()
    titles = [_title(row, int(first[row]), int(second[row]), used) for row in range(count)]
    dated = [
        title if row % 40 == 17 else f"{title} ({years[row]})" for row, title in enumerate(titles)
    ]
    mask = _genre_mask(count, rng)
    names = ["|".join(GENRES[genre] for genre in np.flatnonzero(row)) or NO_GENRES for row in mask]
    return SyntheticFilms(ids, dated, mask, names)


def _title(row: int, first: int, second: int, used: Counter[str]) -> str:
    """Return a title; one that came before gets a number, as sequels do."""
    if row % 13 == 6:
        words = _ACCENTED[first % len(_ACCENTED)]
    else:
        words = f"{_FIRST[first]} {_SECOND[second]}"
    used[words] += 1
    numbered = words if used[words] == 1 else f"{words} {used[words]}"
    if row % 23 == 5:
        return f'The "{numbered}" Affair'
    return f"{numbered}, The" if row % 11 == 3 else numbered


def _genre_mask(count: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Give every film one to three genres, every sixtieth none."""
    chosen = rng.integers(len(GENRES), size=(count, _MOST_GENRES))
    kept = np.arange(_MOST_GENRES) < rng.integers(1, _MOST_GENRES + 1, size=(count, 1))
    kept[31::60] = False
    mask = np.zeros((count, len(GENRES)), dtype=np.bool_)
    film, place = np.nonzero(kept)
    mask[film, chosen[film, place]] = True
    return mask
