"""Histories: of a user of the prepared data, or of ratings typed or read from a file.

A typed title only selects an item: prompts show the catalogue's title, so control tokens in the
input cannot reach the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Final, Literal, TypeVar

import numpy as np

from reeltune.data.history import History
from reeltune.data.ids import Ids, shown_id
from reeltune.data.timelines import Timelines
from reeltune.domain import RatingScale, RatingWords, plain_text
from reeltune.errors import ConfigError, RequestError
from reeltune.recommend.catalogue import Catalogue

T = TypeVar("T")

_NUMBERS: Final = Ids()

_MAX_LISTED: Final = 20
"""An error lists this many faults and counts the rest."""

_SHOWN: Final = 5
"""Ratings left out that are named."""


@dataclass(frozen=True)
class Export:
    """The site that a rating was exported from, and the site's scale."""

    site: str
    scale: RatingScale


@dataclass(frozen=True)
class Entry:
    """One rating as written.

    Attributes:
        where: Source of the entry, for errors: ``ratings.csv, line 3``.
        item: As :meth:`Catalogue.find` reads it, or an id.
        rating: As text.
        time: Seconds or an ISO date; empty if not given.
        error: Why the entry as a whole cannot be read; None if it can.
        by_id: Whether the item is an id.
        export: Where it was exported. Such a rating is converted to the scale of the data, and left
            out if the catalogue has no such item.
    """

    where: str
    item: str = ""
    rating: str = ""
    time: str = ""
    error: RequestError | None = None
    by_id: bool = False
    export: Export | None = None


def refuse_user_and_ratings(user: int | str | None, *, ratings: bool) -> None:
    """Refuse a request with both a user and ratings; one with neither is for somebody new.

    Raises:
        ConfigError: ``user_or_ratings``.
    """
    if user is not None and ratings:
        raise ConfigError(
            "both a user and ratings are given", code="user_or_ratings", hint="Give one of them"
        )


def user_history(timelines: Timelines, user_id: int | str, ids: Ids = _NUMBERS) -> History:
    """Return all ratings of a user of the prepared data, held-out ones included.

    Raises:
        RequestError: There is no such user.
    """
    users, key = timelines.user_id, ids.key(user_id)
    first, last = (
        (0, 0) if key is None else (np.searchsorted(users, key, side) for side in ("left", "right"))
    )
    if first == last:
        raise RequestError(
            f"no user has the id {shown_id(user_id)}",
            code="unknown_user",
            hint=f"User ids are {ids.describe(users)}",
        )
    return History.from_timelines(timelines, range(int(first), int(last)))


def typed_entry(text: str) -> Entry:
    """Split ``Heat (1995)=5`` at the last ``=``; a title may contain others."""
    where = f"--rated {text!r}"
    item, equals, rating = text.rpartition("=")
    if equals:
        return Entry(where, item.strip(), rating.strip())
    hint = f"Write {f'{text}=RATING'!r}"
    error = RequestError("no rating is given", code="missing_rating", where=where, hint=hint)
    return Entry(where, error=error)


def rated_history(
    catalogue: Catalogue,
    scale: RatingScale,
    from_file: Sequence[Entry] = (),
    typed: Sequence[Entry] = (),
    notify: Callable[[str], None] = lambda _: None,
) -> History:
    """Return ratings as a history.

    Args:
        catalogue: Finds the items.
        scale: The edition's ratings.
        from_file: Ordered by time if any entry has one, else in file order.
        typed: Oldest first; they follow those of the file.
        notify: Receives a line about converted ratings, and one about those that are left out.

    Raises:
        RequestError: Lists the faults of all entries.
    """
    reader = _Reader(catalogue, scale)
    timed = any(entry.time for entry in from_file)
    ratings = [found for entry in from_file if (found := reader.read(entry, timed))]
    newer = [found for entry in typed if (found := reader.read(entry, timed=False))]
    reader.raise_errors()
    if export := next((entry.export for entry in from_file), None):
        for line in reader.about(export, len(from_file)):
            notify(line)
    ordered = sorted(ratings, key=itemgetter(0)) + newer
    return History.of([item_idx for _, item_idx, _ in ordered], [r for _, _, r in ordered])


class _Reader:
    """Reads entries and collects their errors, so that all are reported together."""

    def __init__(self, catalogue: Catalogue, scale: RatingScale) -> None:
        self._catalogue = catalogue
        self._scale = scale
        self._errors: list[RequestError] = []
        self._where_rated: dict[int, str] = {}
        self._left_out: list[str] = []

    def read(self, entry: Entry, timed: bool) -> tuple[float, int, float] | None:
        """Return an entry's time, item index and rating; 0 stands for parts with errors.

        None is an exported rating of an item that is not found.
        """
        if entry.export is not None and not self._is_known(entry):
            self._left_out.append(entry.item)
            return None
        if entry.error is not None:
            self._errors.append(entry.error)
            return 0.0, 0, 0.0
        time = self._collect(self._time, entry) if timed else 0.0
        return time, self._collect(self._item_idx, entry), self._collect(self._rating, entry)

    def about(self, export: Export, entries: int) -> Iterator[str]:
        """Yield how an export was read, and what was left out of it."""
        kept = entries - len(self._left_out)
        converted = f" converted from {export.scale} to {self._scale}"
        how = " read" if export.scale == self._scale else converted
        yield f"{kept:,} ratings of {export.site}{how}"
        if left_out := len(self._left_out):
            shown = ", ".join(plain_text(item) for item in self._left_out[:_SHOWN])
            yield (
                f"{left_out:,} of {entries:,} ratings left out, since no item or several have the "
                f"title and year: {shown}{' ...' if left_out > _SHOWN else ''}"
            )

    def _is_known(self, entry: Entry) -> bool:
        """Return whether exactly one item has the title and year, and is not yet rated."""
        try:
            return self._catalogue.find(entry.item) not in self._where_rated
        except RequestError:
            return False

    def raise_errors(self) -> None:
        """Raise the collected errors, if any, as one."""
        errors = self._errors
        if len(errors) == 1:
            raise errors[0]
        if errors:
            more = len(errors) - _MAX_LISTED
            lines = [str(error) for error in errors[:_MAX_LISTED]]
            lines += [f"and {more} more"] if more > 0 else []
            message = f"{len(errors)} faults in the ratings:"
            raise RequestError(message, code="invalid_ratings", items=lines)

    def _collect(self, parse: Callable[[Entry], T], entry: Entry) -> T | Literal[0]:
        try:
            return parse(entry)
        except RequestError as error:
            error.where = entry.where
            self._errors.append(error)
            return 0

    def _item_idx(self, entry: Entry) -> int:
        if not entry.item:
            message = f"no {self._catalogue.words.domain.item} is given"
            raise RequestError(message, code="missing_item", hint="Give its title or its id")
        find = self._catalogue.index_of if entry.by_id else self._catalogue.find
        item_idx = find(entry.item)
        if (first := self._where_rated.get(item_idx)) is not None:
            raise RequestError(
                f"{plain_text(self._catalogue.name(item_idx))} is already rated by {first}",
                code="item_rated_twice",
                hint="Keep one of the two",
            )
        self._where_rated[item_idx] = entry.where
        return item_idx

    def _rating(self, entry: Entry) -> float:
        scale = entry.export.scale if entry.export else self._scale
        hint = RatingWords(self._catalogue.words.domain, scale).choices()
        if not entry.rating:
            raise RequestError("no rating is given", code="missing_rating", hint=hint)
        rating = _number(entry.rating)
        if rating is None or not scale.contains(rating):
            raise RequestError(
                f"the rating {entry.rating!r} is not on the scale",
                code="rating_not_on_scale",
                hint=hint,
            )
        return rating if scale == self._scale else _converted(rating, scale, self._scale)

    def _time(self, entry: Entry) -> float:
        if not entry.time:
            raise RequestError(
                "no time is given, but other ratings have one",
                code="missing_rating_time",
                hint="Give all ratings a time, or none",
            )
        seconds = _number(entry.time)
        if seconds is not None:
            return seconds
        try:
            moment = datetime.fromisoformat(entry.time)
        except ValueError:
            raise RequestError(
                f"the time {entry.time!r} cannot be read",
                code="invalid_rating_time",
                hint="Give seconds, or a date such as 2024-05-31",
            ) from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _converted(rating: float, scale: RatingScale, to: RatingScale) -> float:
    """Return the rating on another scale that is as far from its ends, rounded to its steps."""
    share = (rating - scale.min) / (scale.max - scale.min)
    wanted = to.min + share * (to.max - to.min)
    return min(to.ratings(), key=lambda rating: abs(rating - wanted))


def _number(text: str) -> float | None:
    """Return a finite number, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
