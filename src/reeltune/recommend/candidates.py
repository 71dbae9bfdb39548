"""For whom films are looked for, and which films are judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from reeltune.data.folder import Timelines
from reeltune.data.history import History
from reeltune.errors import RequestError
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.filters import Filters, most_rated

Ints = npt.NDArray[np.int64]

CPU_CANDIDATES: Final = 300
"""How many films are judged where there is no CUDA device and nobody says how many.

A model of 135 million parameters gives 10 to 20 verdicts a second on two cores.
"""


def user_history(timelines: Timelines, user_id: int) -> History:
    """Return everything a user of the prepared data has rated, held-out events included.

    Raises:
        RequestError: There is no such user.
    """
    users = timelines.user_id
    first, last = np.searchsorted(users, [user_id, user_id + 1]).tolist()
    if first == last:
        raise RequestError(
            f"no user has the id {user_id}",
            code="unknown_user",
            hint=f"User ids range from {users[0]} to {users[-1]}",
        )
    return History.from_timelines(timelines, range(first, last))


def unrated(catalogue: Catalogue, filters: Filters, history: History) -> Ints:
    """Return the films that fit and have not been rated, in the order of their rows.

    Raises:
        RequestError: There is none, or a genre is none that any film has.
    """
    fitting = filters.rows(catalogue)
    rows = np.setdiff1d(fitting, history.item_idx)
    if not len(rows):
        rated = f", and all {len(fitting)} that fit have been rated" if len(fitting) else ""
        raise RequestError(
            f"no film is left to judge{rated}", code="no_items_left", hint="Loosen the filters"
        )
    return rows


@dataclass(frozen=True)
class Candidates:
    """The films to judge.

    Attributes:
        rows: Which, ascending, shape ``(n,)``.
        fitting: How many there were to choose from.
        sentence: How many are judged, and why so many.
    """

    rows: Ints
    fitting: int
    sentence: str


def choose_candidates(
    catalogue: Catalogue, rows: Ints, asked: int | Literal["all"] | None, device_type: str
) -> Candidates:
    """Return the films to judge: the most often rated, if not all.

    Args:
        catalogue: Knows how often each was rated.
        rows: The films that come into question, ascending.
        asked: How many somebody wants judged; None leaves it to the device.
        device_type: What the model runs on: ``cuda``, ``cpu`` or another.
    """
    reason = "as asked"
    if asked is None and device_type == "cuda":
        asked, reason = "all", "a CUDA device judges thousands in seconds"
    elif asked is None:
        asked = CPU_CANDIDATES
        reason = "without a CUDA device all would take long; --candidates all judges them"
    chosen = most_rated(catalogue, rows, None if asked == "all" else asked)
    fitting = f"{len(rows):,} films that fit and are not rated yet"
    if len(chosen) < len(rows):
        sentence = f"judging the {len(chosen):,} most often rated of {fitting} ({reason})"
    elif asked == "all":
        sentence = f"judging all {fitting} ({reason})"
    else:
        sentence = f"judging all {fitting}"
    return Candidates(chosen, len(rows), sentence)
