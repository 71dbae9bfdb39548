"""Ratings that somebody types, or keeps in a file, as a history.

What is typed may hold anything, a model's control tokens included, and can do no harm: a text only
chooses a film of the catalogue, and prompts show that film's own title.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from reeltune.data.history import History
from reeltune.errors import RequestError
from reeltune.prompts.renderer import PromptSettings, format_stars, plain_text
from reeltune.recommend.catalogue import Catalogue

_LISTED: Final = 20
"""How many faults are listed; the others are counted."""


@dataclass(frozen=True)
class Entry:
    """One rating as it was written down.

    Attributes:
        place: Where it stands, for errors: ``ratings.csv, line 3``.
        film: A title as :meth:`Catalogue.find` reads it, or ``#`` and an id.
        stars: As text.
        time: When, in seconds or as an ISO date; empty where nothing is said.
        unreadable: Why nothing of this can be read, and what to do; empty where it can.
    """

    place: str
    film: str = ""
    stars: str = ""
    time: str = ""
    unreadable: str = ""


@dataclass(frozen=True)
class _Rating:
    film_row: int
    stars: float
    time: float


def typed_entry(text: str) -> Entry:
    """Return what ``Heat (1995)=5`` says; the last ``=`` separates, so a title may hold one."""
    place = f"--rated {text!r}"
    film, equals, stars = text.rpartition("=")
    if not equals:
        return Entry(place, unreadable='no stars are given. Write "Heat (1995)=4.5"')
    return Entry(place, film.strip(), stars.strip())


def rated_history(
    catalogue: Catalogue,
    settings: PromptSettings,
    kept: Sequence[Entry] = (),
    typed: Sequence[Entry] = (),
) -> History:
    """Return ratings as a history.

    Args:
        catalogue: Finds the films.
        settings: Knows the edition's scale of stars.
        kept: Of a file, ordered by their times where it has any, otherwise as they stand.
        typed: Newer than all of those, oldest first.

    Raises:
        RequestError: With everything that is wrong with any of them.
    """
    reader = _Reader(catalogue, settings)
    timed = any(entry.time for entry in kept)
    ratings = [reader.rating(entry, timed) for entry in kept]
    ratings += [reader.rating(entry, timed=False) for entry in typed]
    reader.refuse()
    newer = len(kept)
    ordered = sorted(ratings[:newer], key=lambda one: one.time) + ratings[newer:]
    return History.of([one.film_row for one in ordered], [one.stars for one in ordered])


class _Reader:
    """Reads entries, and keeps what is wrong with them to be told at once."""

    def __init__(self, catalogue: Catalogue, settings: PromptSettings) -> None:
        self._catalogue = catalogue
        self._lowest, self._highest = settings.scale_min, settings.scale_max
        self._faults: list[RequestError] = []
        self._place_of: dict[int, str] = {}

    def rating(self, entry: Entry, timed: bool) -> _Rating:
        """Return what an entry says; where a part of it is wrong, something stands in for that."""
        if entry.unreadable:
            self._fault(entry, entry.unreadable)
            return _Rating(-1, 0.0, 0.0)
        time = self._time(entry) if timed else 0.0
        return _Rating(self._row(entry), self._stars(entry), time)

    def refuse(self) -> None:
        """Raise what is wrong, if anything is."""
        faults = self._faults
        if len(faults) == 1:
            raise faults[0]
        if faults:
            more = len(faults) - _LISTED
            lines = [str(fault) for fault in faults[:_LISTED]]
            lines += [f"and {more} more"] if more > 0 else []
            listed = "\n".join(f"  - {line}" for line in lines)
            raise RequestError(f"{len(faults)} faults in the ratings:\n{listed}")

    def _row(self, entry: Entry) -> int:
        if not entry.film:
            self._fault(entry, "no film is named", "Give its title or its id")
            return -1
        try:
            row = self._catalogue.find(entry.film)
        except RequestError as error:
            self._fault(entry, error.message, error.hint)
            return -1
        if row in self._place_of:
            name = plain_text(self._catalogue.name(row))
            what = f"{name} is rated already by {self._place_of[row]}"
            self._fault(entry, what, "Keep one of the two")
        self._place_of.setdefault(row, entry.place)
        return row

    def _stars(self, entry: Entry) -> float:
        mend = (
            f"Give {format_stars(self._lowest)} to {format_stars(self._highest)} stars in steps "
            "of 0.5"
        )
        if not entry.stars:
            self._fault(entry, "no stars are given", mend)
            return 0.0
        stars = _number(entry.stars)
        on_scale = stars is not None and self._lowest <= stars <= self._highest
        if stars is None or not on_scale or not (2 * stars).is_integer():
            self._fault(entry, f"{entry.stars!r} stars are not on the scale", mend)
            return 0.0
        return stars

    def _time(self, entry: Entry) -> float:
        if not entry.time:
            self._fault(entry, "no time is given, but others have one", "Give all a time, or none")
            return 0.0
        seconds = _number(entry.time)
        if seconds is not None:
            return seconds
        try:
            moment = datetime.fromisoformat(entry.time)
        except ValueError:
            mend = "Give seconds, or a date such as 2024-05-31"
            self._fault(entry, f"the time {entry.time!r} cannot be read", mend)
            return 0.0
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    def _fault(self, entry: Entry, what: str, mend: str | None = None) -> None:
        self._faults.append(RequestError(what, where=entry.place, hint=mend))


def _number(text: str) -> float | None:
    """Return a finite number, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
