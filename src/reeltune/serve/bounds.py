"""What may be asked: how much of it, about which films, with which stars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.asking.judge import Judge
from reeltune.config.schema import ServingSection
from reeltune.data.history import History
from reeltune.errors import RequestError
from reeltune.recommend.candidates import ALL, CandidateLimit, default_limit
from reeltune.recommend.catalogue import Catalogue
from reeltune.serve import contract

Ints = npt.NDArray[np.int64]

_MOST_NAMED: Final = 10
"""How many unknown ids one refusal names."""


class Bounds:
    """Checks what needs the data or the configuration.

    Args:
        judge: Which model answers.
        catalogue: Knows the films.
        serving: The limits.
    """

    def __init__(self, judge: Judge, catalogue: Catalogue, serving: ServingSection) -> None:
        self.serving = serving
        self._row_of_id = {film.item_id: row for row, film in enumerate(catalogue.items)}
        self.candidate_limit = _candidate_limit(
            serving, judge.subject.base.choices.device.value.type
        )
        self.scale = judge.subject.tokens.renderer.settings.scale

    def sentence(self) -> str:
        """Return how many films are judged unless a request says so, and why, as a sentence."""
        return (
            f"candidates scored per request by default: {self.candidate_limit.count} "
            f"({self.candidate_limit.reason})"
        )

    @property
    def limits(self) -> contract.Limits:
        """The most of each that one request may ask for."""
        serving = self.serving
        return contract.Limits(
            candidates=serving.max_candidates, history=serving.max_history, top=serving.max_top
        )

    def history(self, rated: Sequence[contract.Rated]) -> History:
        """Return what was rated, of which the newest events are shown.

        Raises:
            RequestError: Too many films, an unknown one, one that is rated twice, or stars that
                are not on the scale.
        """
        self._refuse_more(len(rated), "rated", "films", "history")
        rows = self.rows([one.item_id for one in rated], "rated")
        twice = [one.item_id for one, new in zip(rated, _first_time(rows), strict=True) if not new]
        if twice:
            raise RequestError(
                f"film {twice[0]} is rated twice",
                code="duplicate_rating",
                where="rated",
                hint="Give each film's latest stars only",
            )
        for place, one in enumerate(rated):
            self._refuse_off_scale(one.rating, f"rated.{place}.stars")
        return History.of(rows.tolist(), [one.rating for one in rated])

    def candidates(self, item_ids: Sequence[int]) -> Ints:
        """Return the rows of films to judge, in their order.

        Raises:
            RequestError: Too many, or an unknown one.
        """
        self._refuse_more(len(item_ids), "item_ids", "films", "candidates")
        return self.rows(item_ids, "item_ids")

    def candidate_count(self, candidates: int | None) -> int | None:
        """Return how many of the most rated films are judged; None for the default.

        Raises:
            RequestError: Too many.
        """
        self._refuse_more(candidates or 0, "candidates", "films", "candidates")
        return candidates

    def top(self, top: int) -> int:
        """Return how many films are returned.

        Raises:
            RequestError: Too many.
        """
        self._refuse_more(top, "top", "films", "top")
        return top

    def rows(self, item_ids: Sequence[int], where: str) -> Ints:
        """Return the rows of films by their MovieLens ids.

        Raises:
            RequestError: There are no such films.
        """
        unknown = list(dict.fromkeys(one for one in item_ids if one not in self._row_of_id))
        if unknown:
            listed = ", ".join(str(one) for one in unknown[:_MOST_NAMED])
            more = len(unknown) - _MOST_NAMED
            raise RequestError(
                f"no film has the id {listed}" + (f" (and {more} more)" if more > 0 else ""),
                code="unknown_item",
                where=where,
                hint="GET /films finds films and their ids",
            )
        return np.array([self._row_of_id[one] for one in item_ids], dtype=np.int64)

    def _refuse_more(self, count: int, where: str, what: str, limit: str) -> None:
        most = int(getattr(self.serving, f"max_{limit}"))
        if count > most:
            raise RequestError(
                f"{count} {what} are more than the {most} one request may have",
                code="over_request_limit",
                where=where,
                hint=f"Ask for fewer, or raise serving.max_{limit}",
            )

    def _refuse_off_scale(self, rating: float, where: str) -> None:
        if not self.scale.contains(rating):
            raise RequestError(
                f"{rating} stars are not on the scale from {self.scale}",
                code="rating_off_scale",
                where=where,
            )


def _candidate_limit(serving: ServingSection, device_type: str) -> CandidateLimit:
    """Return how many candidates are scored if a request does not say."""
    if serving.default_candidates is not None:
        limit = CandidateLimit(serving.default_candidates, "serving.default_candidates")
    else:
        limit = default_limit(device_type)
    if limit.count == ALL or limit.count > serving.max_candidates:
        return CandidateLimit(serving.max_candidates, "serving.max_candidates")
    return limit


def _first_time(rows: Ints) -> npt.NDArray[np.bool_]:
    """Return whether each row is one that has not come before."""
    first = np.zeros(len(rows), dtype=bool)
    first[np.unique(rows, return_index=True)[1]] = True
    return first
