"""The recommender: filters, candidates, ranking, base comparison and explanation.

Which queries the model is asked and what becomes of its predictions are separate steps, so that a
server can batch the queries of many requests:

1. :meth:`Recommender.select` chooses candidates; ``selection.query`` asks about them.
2. :meth:`Recommender.rank` orders them by P(like).
3. :meth:`Recommender.follow_up` gives the queries about the top items: the base model's, and one
   per rating of the history for the reasons.
4. :meth:`Recommender.result` assembles the answer.

:meth:`Recommender.recommend` runs all four with a predictor.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from reeltune.data.history import History
from reeltune.errors import RequestError
from reeltune.recommend.candidates import (
    CandidateCount,
    CandidateLimit,
    ItemPool,
    default_limit,
    most_rated,
)
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.filters import Filters
from reeltune.recommend.results import RatedItem, Reason, Recommendation, Recommendations
from reeltune.runs.log import LOGGER
from reeltune.scoring.predictor import Query

if TYPE_CHECKING:
    from reeltune.scoring.predictions import Predictions
    from reeltune.scoring.predictor import Predictor
    from reeltune.scoring.scorer import Progress

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_CACHED_POOLS = 32


@dataclass(frozen=True)
class RecommendationRequest:
    """What to recommend, and for whom.

    Attributes:
        history: All ratings of the user; their items are not recommended.
        filters: Conditions on the items.
        top_k: Number of recommendations.
        candidates: Number of candidates to score, most rated first; None uses the default.
        base: Also return the base model's predictions.
        reasons: Number of ratings to name per recommendation.
    """

    history: History
    filters: Filters = field(default_factory=Filters)
    top_k: int = 10
    candidates: CandidateCount | None = None
    base: bool = False
    reasons: int = 0


@dataclass(frozen=True)
class Selection:
    """The candidates of a request.

    Attributes:
        request: The request.
        query: History and candidates, for the model.
        eligible: Number of unrated items that match the filters.
        limit: How many of them are scored at most, and why.
    """

    request: RecommendationRequest
    query: Query
    eligible: int
    limit: CandidateLimit

    def sentence(self) -> str:
        """Return the number of candidates and its reason, for the log."""
        scored = len(self.query.candidates)
        if scored < self.eligible:
            choice = f"the {scored:,} most rated of {self.eligible:,} eligible films"
            return f"scoring {choice} ({self.limit.reason})"
        return f"scoring all {self.eligible:,} eligible films"


@dataclass(frozen=True)
class Ranking:
    """The top items, highest P(like) first.

    Attributes:
        items: Their indices, shape ``(n,)``.
        p_like: Predicted probabilities, shape ``(n,)``.
    """

    items: Ints
    p_like: Floats

    @classmethod
    def top(cls, items: Ints, predictions: Predictions, count: int | None = None) -> Ranking:
        """Rank items by P(like), ties by the uncalibrated log odds, then in the given order."""
        order = np.lexsort((-predictions.log_odds, -predictions.p_yes))[:count]
        return cls(items[order], predictions.p_yes[order])


@dataclass(frozen=True)
class FollowUp:
    """Queries about the top items.

    Attributes:
        base: For the base model; None if not requested.
        ablated: The shown history in full, then without each of its ratings, oldest first; empty
            if no reasons are requested.
    """

    base: Query | None
    ablated: tuple[Query, ...]


class Recommender:
    """Recommends items of a catalogue.

    Args:
        catalogue: The items.
        history_len: Number of the newest ratings that the model is shown.
        used_history: Number of the newest ratings that predictions depend on.
        has_adapter: Whether the base model is another model.
        trained_history: Length of the shortest history in training.
        limit: Number of candidates if a request sets none.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        history_len: int,
        used_history: int,
        has_adapter: bool,
        trained_history: int,
        limit: CandidateLimit,
    ) -> None:
        self.catalogue = catalogue
        self.history_len = history_len
        self.limit = limit
        self._used_history = used_history
        self._has_adapter = has_adapter
        self._trained_history = trained_history
        self._pool = functools.lru_cache(_CACHED_POOLS)(self._make_pool)

    @classmethod
    def of(
        cls,
        predictor: Predictor,
        catalogue: Catalogue | None = None,
        limit: CandidateLimit | None = None,
    ) -> Recommender:
        """Return a recommender for a predictor's model and data."""
        folder = predictor.loaded.folder
        return cls(
            Catalogue.of(folder) if catalogue is None else catalogue,
            history_len=predictor.history_len,
            used_history=predictor.max_history,
            has_adapter=predictor.has_adapter,
            trained_history=min(folder.min_history, folder.history_len),
            limit=limit or default_limit(predictor.loaded.device.type),
        )

    def select(self, request: RecommendationRequest) -> Selection:
        """Choose the candidates.

        Raises:
            RequestError: No item has one of the genres.
        """
        eligible = self._pool(request.filters).without(request.history.item_idx)
        limit = self.limit
        if request.candidates is not None:
            limit = CandidateLimit(request.candidates, "as requested")
        query = Query(request.history.last(self._used_history), most_rated(eligible, limit.count))
        return Selection(request, query, len(eligible), limit)

    def rank(self, selection: Selection, predictions: Predictions) -> Ranking:
        """Return the top items.

        Args:
            selection: The candidates.
            predictions: Of ``selection.query``.
        """
        return Ranking.top(selection.query.candidates, predictions, selection.request.top_k)

    def follow_up(self, selection: Selection, ranking: Ranking) -> FollowUp:
        """Return the queries that base comparison and reasons need."""
        request, query = selection.request, selection.query
        compare = request.base and self._has_adapter
        base = Query(query.history, ranking.items) if compare else None
        histories = leave_one_out(self._shown(request)) if request.reasons else []
        return FollowUp(base, tuple(Query(each, ranking.items) for each in histories))

    def result(
        self,
        selection: Selection,
        ranking: Ranking,
        base: Predictions | None = None,
        ablated: Sequence[Predictions] = (),
    ) -> Recommendations:
        """Assemble the answer.

        Args:
            selection: The candidates.
            ranking: The top items.
            base: Predictions of ``follow_up.base``.
            ablated: Predictions of ``follow_up.ablated``.
        """
        request = selection.request
        shown = self._shown(request)
        count = len(ranking.items)
        p_base: list[float | None] = [None] * count if base is None else base.p_yes.tolist()
        reasons: list[tuple[Reason, ...]] = [()] * count
        if ablated:
            reasons = self._reasons(shown, [each.p_yes for each in ablated], request.reasons)
        per_item = zip(ranking.items, ranking.p_like, p_base, reasons, strict=True)
        return Recommendations(
            recommendations=tuple(
                Recommendation(self.catalogue.summary(int(item)), float(p), b, why)
                for item, p, b, why in per_item
            ),
            scored=len(selection.query.candidates),
            eligible=selection.eligible,
            notes=self._notes(len(shown)),
            history=tuple(
                RatedItem(self.catalogue.summary(item), rating)
                for item, rating in zip(shown.item_idx.tolist(), shown.rating.tolist(), strict=True)
            ),
            rated=len(request.history),
        )

    def recommend(
        self,
        predictor: Predictor,
        request: RecommendationRequest,
        progress: Callable[[str], Progress] = lambda _: lambda _done, _total: None,
    ) -> Recommendations:
        """Answer a request with a predictor, and log how many candidates are scored.

        Args:
            predictor: Runs the model.
            request: The request.
            progress: Starts a progress bar of the given name.

        Raises:
            RequestError: No item has one of the genres.
        """
        selection = self.select(request)
        LOGGER.info(selection.sentence())
        (predictions,) = predictor.predict([selection.query], progress=progress("candidates"))
        ranking = self.rank(selection, predictions)
        queries = self.follow_up(selection, ranking)
        base, ablated = None, []
        if queries.base is not None:
            (base,) = predictor.predict([queries.base], base=True, progress=progress("base"))
        if queries.ablated:
            ablated = predictor.predict(queries.ablated, progress=progress("reasons"))
        return self.result(selection, ranking, base, ablated)

    def _make_pool(self, filters: Filters) -> ItemPool:
        return ItemPool.most_rated_first(self.catalogue, filters.matching(self.catalogue))

    def _shown(self, request: RecommendationRequest) -> History:
        return request.history.last(self.history_len)

    def _reasons(
        self, shown: History, p_like: Sequence[Floats], count: int
    ) -> list[tuple[Reason, ...]]:
        """Return the strongest effects per item."""
        effects = rating_effects(p_like)
        order = np.argsort(-np.abs(effects), axis=0, kind="stable")[:count]
        return [
            tuple(
                Reason(
                    self.catalogue.summary(int(shown.item_idx[position])),
                    float(shown.rating[position]),
                    float(effects[position, item]),
                )
                for position in order[:, item]
            )
            for item in range(effects.shape[1])
        ]

    def _notes(self, shown: int) -> tuple[str, ...]:
        if not self._has_adapter or shown >= self._trained_history:
            return ()
        ratings = "1 rating" if shown == 1 else f"{shown} ratings"
        return (
            f"the model is shown {ratings} and was trained on histories of "
            f"{self._trained_history} or more: predictions are less reliable",
        )


def require_eligible(catalogue: Catalogue, request: RecommendationRequest) -> None:
    """Check a request before a model is loaded.

    Raises:
        RequestError: No unrated item matches the filters, or no item has one of the genres.
    """
    matching = request.filters.matching(catalogue)
    if not len(np.setdiff1d(matching, request.history.item_idx)):
        rated = f", and all {len(matching)} that match are rated" if len(matching) else ""
        raise RequestError(
            f"no film is left to recommend{rated}", code="no_items_left", hint="Loosen the filters"
        )


def leave_one_out(shown: History) -> list[History]:
    """Return a history in full, then without each of its ratings, oldest first.

    A shortened history is not refilled, so only the removed rating differs. Signals are computed
    anew for each.
    """
    shown = replace(shown, context=None)
    return [shown, *(shown.without(position) for position in range(len(shown)))]


def rating_effects(p_like: Sequence[Floats]) -> Floats:
    """Return P(like) with each rating minus P(like) without it, shape ``(ratings, items)``.

    Args:
        p_like: Predictions after each history of :func:`leave_one_out`, shape ``(items,)`` each.
    """
    stacked = np.array(p_like)
    return stacked[0] - stacked[1:]
