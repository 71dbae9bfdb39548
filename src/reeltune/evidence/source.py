"""Evidence on films that are asked about, as the prompt tells it; made of the past alone.

Of the film: training ratings, for a training row those of other parts of the users. Of the user:
earlier events. Nothing depends on the stars of the event itself, nor on anything after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.data.columns import TRAIN
from reeltune.data.folder import Codes, Timelines
from reeltune.data.history import History
from reeltune.evidence.alike import Alike
from reeltune.evidence.film_view import (
    FOLDS,
    FilmView,
    deal_users,
    is_learned,
    training_ratings,
    views_without_parts,
)
from reeltune.evidence.genres import genre_affinity, genre_affinity_after, genre_table
from reeltune.evidence.running import Running
from reeltune.evidence.taste import Taste, taste_before
from reeltune.prompts.renderer import COUNTS, EXPECTED_STEPS, SHARE_STEPS, Evidence, Film

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_SEED: Final = 0
"""The parts of users belong to the data, not to a run: adapters are asked as they were taught."""


class EvidenceSource:
    """Tells what is known of films that are asked about.

    Args:
        known: All events of the prepared data.
        films: Its films.
        threshold: Stars from which a film counts as liked.
        kinds: What is told.
    """

    def __init__(
        self,
        known: Timelines,
        films: Sequence[Film],
        threshold: float,
        kinds: tuple[Evidence, ...],
    ) -> None:
        self.known, self.threshold, self.kinds = known, threshold, kinds
        self._genres = genre_table(films)
        train = np.flatnonzero(known.split == TRAIN)
        self._ratings = training_ratings(known, train)
        self._part = deal_users(known, _SEED)
        self._views = views_without_parts(known, self._ratings, len(films), self._part)
        self._by_all = self._views.take(FOLDS)

    @cached_property
    def _alike(self) -> Alike:
        return Alike(self.known, self._ratings, self._part, self._views)

    def of_events(self) -> Codes:
        """Return the evidence on every event of the prepared data, shape ``(events, kinds)``."""
        known, everybody = self.known, np.full(len(self.known), FOLDS)
        learned = is_learned(known)
        codes = np.zeros((len(known), len(self.kinds)), dtype=np.int16)
        for part, told in ((self._part, learned), (everybody, ~learned)):
            film = self._views.take(part, known.film_row)
            alike = partial(self._added_by_alike, part, told)
            found = self._before_each(film, known.position, known.film_row, known.stars, alike)
            codes[told] = found[told]
        return codes

    def of_history(self, history: History, shown: int) -> History:
        """Return the newest events of a history with the evidence on each, made of all before it.

        Args:
            history: Everything the user has rated; evidence it has already stays.
            shown: How many events are returned.
        """
        if history.evidence is not None:
            return history.last(shown)
        rows = history.film_row

        def alike(above: Floats) -> Floats:
            return self._alike.along(FOLDS, rows, above)

        told = self._before_each(
            self._by_all.take(rows), np.arange(len(rows)), rows, history.stars, alike
        )
        return replace(history, evidence=told).last(shown)

    def of_candidates(self, history: History, candidates: Ints) -> Codes:
        """Return the evidence on films asked about after a history, all of it.

        Args:
            history: Everything the user has rated.
            candidates: Film rows, shape ``(n,)``.

        Returns:
            Shape ``(n, kinds)``.
        """
        film = self._by_all.take(candidates)
        # One event more, whose own stars nothing is made of: what is known before it is the whole.
        row = np.append(history.film_row, 0)
        stars = np.append(history.stars, np.float32(0))
        lift = stars - self._by_all.stars[row]
        running = Running(np.arange(len(row)))
        before = taste_before(
            running, stars >= self.threshold, lift, float(self._by_all.any_like[0])
        )
        taste = before.last
        if "expected" not in self.kinds:
            return self._codes(film, taste, np.zeros(len(candidates)))
        rated, lift, level = history.film_row, lift[:-1], before.level[:-1]
        mean_lift = float(taste.mean_lift[0])
        added = genre_affinity_after(self._genres, rated, lift, mean_lift, candidates)
        added += self._alike.after(rated, lift - level, candidates)
        return self._codes(film, taste, added)

    def _before_each(
        self,
        film: FilmView,
        position: npt.NDArray[np.integer],
        film_row: npt.NDArray[np.integer],
        stars: npt.NDArray[np.float32],
        added_by_alike: Callable[[Floats], Floats],
    ) -> Codes:
        """Return the evidence on each of some events, of their users' earlier events.

        Args:
            film: What others say of each event's film.
            position: Events of the same user before each.
            film_row: Their films.
            stars: What they were given.
            added_by_alike: Tells what alike films add, from what was given above expectation.
        """
        lift = stars - film.stars
        running = Running(position)
        taste = taste_before(running, stars >= self.threshold, lift, film.any_like)
        added = np.zeros(len(stars))
        if "expected" in self.kinds:
            added += genre_affinity(self._genres, film_row, running, lift, taste.mean_lift)
            added += added_by_alike(lift - taste.level)
        return self._codes(film, taste, added)

    def _added_by_alike(self, part: Ints, told: Bools, above: Floats) -> Floats:
        """Return what alike films add to events, where a part of the users is not asked.

        Args:
            part: The part that is not asked, one entry per event, equal within a user.
            told: Which events are wanted.
            above: What each event's user gave more than was to be expected.
        """
        known, added = self.known, np.zeros(len(self.known))
        starts = np.flatnonzero(known.position == 0)
        ends = np.append(starts[1:], len(known))
        # Part after part: what is made for one serves all its users.
        for user in np.argsort(part[starts], kind="stable"):
            own = slice(starts[user], ends[user])
            if told[own].any():
                rows = known.film_row[own].astype(np.int64)
                added[own] = self._alike.along(int(part[starts[user]]), rows, above[own])
        return added

    def _codes(self, film: FilmView, taste: Taste, added: Floats) -> Codes:
        """Return the entries of what each kind can say, shape ``(n, kinds)``."""
        entries: dict[Evidence, Callable[[], Ints]] = {
            "film": lambda: _share_entry(film.like_rate, film.count),
            "user": lambda: _share_entry(taste.like_rate, taste.events),
            "recent": lambda: np.rint(taste.lately * (SHARE_STEPS - 1)).astype(np.int64),
            "expected": lambda: _expected_entry(film.stars + taste.level + added),
        }
        codes = np.zeros((len(film.stars), len(self.kinds)), dtype=np.int16)
        for column, kind in enumerate(self.kinds):
            codes[:, column] = entries[kind]()
        return codes


def _share_entry(share: Floats, count: Floats) -> Ints:
    step = np.rint(share * (SHARE_STEPS - 1)).astype(np.int64)
    return (np.searchsorted(COUNTS, np.rint(count), side="right") - 1) * SHARE_STEPS + step


def _expected_entry(stars: Floats) -> Ints:
    return np.rint(stars * 10).clip(0, EXPECTED_STEPS - 1).astype(np.int64)
