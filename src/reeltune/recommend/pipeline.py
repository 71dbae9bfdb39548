"""The pipeline of a request: filters, candidates, ranking, base comparison and explanation.

:meth:`RecommendationPipeline.recommend` runs four steps, separate so that a server can batch the
queries of many requests: ``select`` chooses candidates, ``rank`` orders them by P(like),
``follow_up`` returns the queries about the top items (for the base model, and one per rating for
the reasons), ``result`` assembles the response.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from reeltune.data.history import NOW, History
from reeltune.errors import RequestError
from reeltune.ragged import Floats, Ints
from reeltune.recommend.candidates import (
    CandidateCount,
    CandidateLimit,
    Filters,
    ItemPool,
    default_limit,
    most_rated,
)
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.results import RatedItem, Reason, Recommendation, Recommendations
from reeltune.runs.log import LOGGER
from reeltune.scoring.predictor import Query, history_note

if TYPE_CHECKING:
    from reeltune.scoring.predictions import Predictions
    from reeltune.scoring.predictor import Predictor
    from reeltune.scoring.scorer import Progress


_CACHED_POOLS = 32


@dataclass(frozen=True)
class RecommendationRequest:
    """What to recommend, and for whom.

    Attributes:
        history: All ratings of the user; their items are not recommended.
        filters: Conditions on the items.
        top_k: Number of recommendations.
        candidates: Number of candidates to score, most rated first; None for the default.
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
    """The candidates of a request; ``eligible`` counts the unrated items that match its filters."""

    request: RecommendationRequest
    query: Query
    eligible: int
    limit: CandidateLimit

    def sentence(self) -> str:
        """Return the number of candidates and its reason, for the log."""
        scored = len(self.query.candidates)
        if scored < self.eligible:
            choice = f"the {scored:,} most rated of {self.eligible:,} eligible items"
            return f"scoring {choice} ({self.limit.reason})"
        return f"scoring all {self.eligible:,} eligible items"


@dataclass(frozen=True)
class Ranking:
    """Indices and P(like) of the top items, highest first."""

    items: Ints
    p_like: Floats

    @classmethod
    def top(cls, items: Ints, predictions: Predictions, count: int | None = None) -> Ranking:
        """Rank items by P(like), ties by the uncalibrated log odds, then in the given order."""
        order = np.lexsort((-predictions.log_odds, -predictions.p_yes))[:count]
        return cls(items[order], predictions.p_yes[order])


@dataclass(frozen=True)
class FollowUp:
    """Queries about the top items, as far as requested.

    ``base`` is for the base model. ``ablated`` have the shown history without each of its ratings,
    oldest first; before them in full, unless the ranking was predicted from just that.
    """

    base: Query | None
    ablated: tuple[Query, ...]


class RecommendationPipeline:
    """Recommends items of a catalogue.

    Args:
        catalogue: The items.
        history_len: Number of the newest ratings that the model is shown.
        used_history: Number of the newest ratings that predictions depend on.
        has_adapter: Whether the base model is another model.
        trained_history: Length of the shortest history in training; 0 without an adapter.
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
    ) -> RecommendationPipeline:
        """Return the pipeline of a predictor's model and data."""
        return cls(
            Catalogue.of(predictor.loaded.folder) if catalogue is None else catalogue,
            history_len=predictor.history_len,
            used_history=predictor.max_history,
            has_adapter=predictor.has_adapter,
            trained_history=predictor.loaded.trained_history,
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
        """Return the top items by the predictions of ``selection.query``."""
        return Ranking.top(selection.query.candidates, predictions, selection.request.top_k)

    def follow_up(self, selection: Selection, ranking: Ranking) -> FollowUp:
        """Return the queries that base comparison and reasons need."""
        request, query = selection.request, selection.query
        compare = request.base and self._has_adapter
        base = Query(query.history, ranking.items) if compare else None
        histories = leave_one_out(self._shown(request)) if request.reasons else []
        histories = histories[_ranked_as_shown(selection, self.history_len) :]
        return FollowUp(base, tuple(Query(each, ranking.items) for each in histories))

    def result(
        self,
        selection: Selection,
        ranking: Ranking,
        base: Predictions | None = None,
        ablated: Sequence[Predictions] = (),
    ) -> Recommendations:
        """Assemble the response; ``base`` and ``ablated`` are the predictions of ``follow_up``."""
        request = selection.request
        shown = self._shown(request)
        count = len(ranking.items)
        p_base: list[float | None] = [None] * count if base is None else base.p_yes.tolist()
        reasons: list[tuple[Reason, ...]] = [()] * count
        if ablated:
            in_full = [ranking.p_like] * _ranked_as_shown(selection, self.history_len)
            p_like = [*in_full, *(each.p_yes for each in ablated)]
            reasons = self._reasons(shown, p_like, request.reasons)
        note = history_note(len(shown), self._trained_history)
        per_item = zip(ranking.items, ranking.p_like, p_base, reasons, strict=True)
        return Recommendations(
            recommendations=tuple(
                Recommendation(self.catalogue.summary(int(item)), float(p), b, why)
                for item, p, b, why in per_item
            ),
            scored=len(selection.query.candidates),
            eligible=selection.eligible,
            notes=() if note is None else (note,),
            history=tuple(
                RatedItem(self.catalogue.summary(item), self.catalogue.words.scale.nearest(rating))
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
        """Answer a request, and log how many candidates are scored.

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
        effects = rating_effects(p_like)
        order = np.argsort(-np.abs(effects), axis=0, kind="stable")[:count]
        return [
            tuple(
                Reason(
                    self.catalogue.summary(int(shown.item_idx[position])),
                    self.catalogue.words.scale.nearest(float(shown.rating[position])),
                    float(effects[position, item]),
                )
                for position in order[:, item]
            )
            for item in range(effects.shape[1])
        ]


def queries_about(history: History, items: Ints) -> tuple[list[Ints], list[Query]]:
    """Return, for each query about some of the items, their indices; and the queries.

    The history of an item ends before the user's own rating of it. The item is predicted at the
    time of that rating, if known.
    """
    first = {item: at for at, item in reversed([*enumerate(history.item_idx.tolist())])}
    end = np.array([first.get(item, len(history)) for item in items.tolist()], dtype=np.int64)
    times = np.full(len(history) + 1, NOW)
    if history.timestamp is not None:
        times[:-1] = history.timestamp
    ends = np.unique(end).tolist()
    groups = [np.flatnonzero(end == at) for at in ends]
    return groups, [
        Query(history.take(slice(at)), items[group], asked_at=int(times[at]))
        for at, group in zip(ends, groups, strict=True)
    ]


def require_eligible(catalogue: Catalogue, request: RecommendationRequest) -> None:
    """Check a request before a model is loaded.

    Raises:
        RequestError: No unrated item matches the filters, or no item has one of the genres.
    """
    matching = request.filters.matching(catalogue)
    if not len(np.setdiff1d(matching, request.history.item_idx)):
        rated = f", and all {len(matching)} that match are rated" if len(matching) else ""
        message = f"no {catalogue.words.domain.item} is left to recommend{rated}"
        raise RequestError(message, code="no_items_left", hint="Loosen the filters")


def _ranked_as_shown(selection: Selection, history_len: int) -> bool:
    """Return whether candidates were predicted from the shown history, and no earlier rating."""
    return len(selection.query.history) <= history_len


def leave_one_out(shown: History) -> list[History]:
    """Return a history in full, then without each of its ratings, oldest first.

    A shortened history is not refilled, so only the removed rating differs. Signals are computed
    anew for each.
    """
    shown = replace(shown, context=None)
    return [shown, *(shown.without(position) for position in range(len(shown)))]


def rating_effects(p_like: Sequence[Floats]) -> Floats:
    """Return P(like) with each rating minus P(like) without it, shape ``(ratings, items)``.

    ``p_like`` are the predictions after each history of :func:`leave_one_out`.
    """
    stacked = np.array(p_like)
    return stacked[0] - stacked[1:]
