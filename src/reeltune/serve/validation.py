"""Checks of requests against the data and the limits of the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.config.schema import ServingSection
from reeltune.data.history import History
from reeltune.domain import RatingScale
from reeltune.errors import RequestError
from reeltune.recommend.catalogue import Catalogue
from reeltune.serve.schemas import RatedItem

Ints = npt.NDArray[np.int64]

_MAX_LISTED: Final = 10
"""How many unknown ids one error lists."""


class RequestValidator:
    """Turns item ids into item indices and rejects what is not allowed."""

    def __init__(self, catalogue: Catalogue, scale: RatingScale, serving: ServingSection) -> None:
        self._scale = scale
        self._serving = serving
        self._index_of_id = catalogue.index_of_id

    def history(self, ratings: Sequence[RatedItem]) -> History:
        """Return the ratings of a request as a history.

        Raises:
            RequestError: Too many, an unknown item, one that is rated twice, or a rating that is
                not on the scale.
        """
        self._check_count(len(ratings), "history", "history")
        indices = self._indices([rated.item_id for rated in ratings], "history")
        seen: set[int] = set()
        for position, rated in enumerate(ratings):
            if rated.item_id in seen:
                raise RequestError(
                    f"film {rated.item_id} is rated twice",
                    code="item_rated_twice",
                    where=f"history.{position}.item_id",
                    hint="Send the latest rating only",
                )
            seen.add(rated.item_id)
            if not self._scale.contains(rated.rating):
                raise RequestError(
                    f"the rating {rated.rating} is not on the scale",
                    code="rating_not_on_scale",
                    where=f"history.{position}.rating",
                    hint=f"Give a rating from {self._scale}",
                )
        return History.of(indices.tolist(), [rated.rating for rated in ratings])

    def candidates(self, item_ids: Sequence[int]) -> Ints:
        """Return the indices of the items to predict, in the order given.

        Raises:
            RequestError: Too many, or an unknown one.
        """
        self._check_count(len(item_ids), "item_ids", "candidates")
        return self._indices(item_ids, "item_ids")

    def check_counts(self, top_k: int, candidates: int | None) -> None:
        """Reject a request for too many recommendations or candidates.

        Raises:
            RequestError: It asks for more than allowed.
        """
        self._check_count(top_k, "top_k", "top")
        self._check_count(candidates or 0, "candidates", "candidates")

    def _indices(self, item_ids: Sequence[int], where: str) -> Ints:
        unknown = list(dict.fromkeys(one for one in item_ids if one not in self._index_of_id))
        if unknown:
            listed = ", ".join(str(item_id) for item_id in unknown[:_MAX_LISTED])
            more = len(unknown) - _MAX_LISTED
            raise RequestError(
                f"no film has the id {listed}" + (f" (and {more} more)" if more > 0 else ""),
                code="unknown_item",
                where=where,
                hint="GET /items finds films and their ids",
            )
        return np.array([self._index_of_id[item_id] for item_id in item_ids], dtype=np.int64)

    def _check_count(self, count: int, where: str, limit: str) -> None:
        most = int(getattr(self._serving, f"max_{limit}"))
        if count > most:
            raise RequestError(
                f"{count} is more than the {most} one request may have",
                code="over_request_limit",
                where=where,
                hint=f"Ask for less, or raise serving.max_{limit}",
            )
