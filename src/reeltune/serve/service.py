"""Answers requests: ids and JSON in, predictions and recommendations out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from starlette.concurrency import run_in_threadpool

from reeltune.config.schema import ServingSection
from reeltune.data.folder import ITEMS_FILE
from reeltune.data.history import History
from reeltune.data.ids import shown_id
from reeltune.domain import RatingScale, RatingWords
from reeltune.errors import RequestError
from reeltune.files import file_digest
from reeltune.ragged import Ints
from reeltune.recommend.candidates import ALL, CandidateLimit, Filters, ItemPool, default_limit
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.pipeline import (
    RecommendationPipeline,
    RecommendationRequest,
    queries_about,
)
from reeltune.recommend.results import Recommendations
from reeltune.runs.log import LOGGER
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.predictor import Predictor, Query
from reeltune.serve import schemas
from reeltune.serve.batching import Batcher
from reeltune.serve.errors import UnavailableError

_DIGEST_LENGTH: Final = 16

_MAX_EXACT: Final = 2**53 - 1
"""The largest integer that every reader of JSON keeps, JavaScript's among them."""

_MAX_LISTED: Final = 10
"""How many unknown ids one error lists."""


class Service:
    """Answers requests about the items of one model's data."""

    def __init__(self, predictor: Predictor, batcher: Batcher, serving: ServingSection) -> None:
        loaded = predictor.loaded
        scale = loaded.settings.scale
        limit = candidate_limit(serving, loaded.device.type)
        LOGGER.info("candidates scored per request by default: %s (%s)", limit.count, limit.reason)
        self._batcher = batcher
        self._serving = serving
        self._has_adapter = predictor.has_adapter
        self._max_history = predictor.max_history
        self._history_note = predictor.history_note
        if note := predictor.history_note(0):
            LOGGER.warning("requests without ratings: %s", note)
        self._catalogue = _with_exact_ids(Catalogue.of(loaded.folder))
        self._pipeline = RecommendationPipeline.of(predictor, self._catalogue, limit)
        self._validator = RequestValidator(self._catalogue, scale, serving)
        self._pool = ItemPool.most_rated_first(
            self._catalogue, np.arange(len(self._catalogue.items))
        )
        self._active_requests = 0
        self.health = schemas.HealthResponse(
            status="ok",
            model=_model_name(predictor),
            tuned=predictor.has_adapter,
            fused=predictor.fusion is not None,
            data=file_digest(loaded.folder.path / ITEMS_FILE)[:_DIGEST_LENGTH],
            items=len(self._catalogue.items),
            history_len=predictor.history_len,
            uses_all_ratings=predictor.max_history > predictor.history_len,
            scale=scale,
            domain=_domain_response(self._catalogue.words),
            genres=sorted({genre for item in self._catalogue.items for genre in item.genres}),
            limits=schemas.LimitsResponse(
                candidates=serving.max_candidates,
                history=serving.max_history,
                top_k=serving.max_top,
            ),
        )

    @contextlib.asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Count a request as active inside the block, and limit its time.

        Raises:
            UnavailableError: Too many requests are active, or the time is over.
        """
        serving = self._serving
        if self._active_requests >= serving.max_requests:
            raise UnavailableError(
                f"{self._active_requests} requests are active, the most that "
                "serving.max_requests allows",
                code="too_many_requests",
                hint="Try again in a moment",
            )
        self._active_requests += 1
        try:
            async with asyncio.timeout(serving.timeout_s):
                yield
        except TimeoutError:
            raise UnavailableError(
                f"no answer within {serving.timeout_s:g} s (serving.timeout_s)",
                code="answer_timed_out",
                hint="Ask about fewer items, or try again later",
            ) from None
        finally:
            self._active_requests -= 1

    def items(self, query: str, limit: int) -> schemas.ItemsResponse:
        """Return the items whose titles match best; without a query, the most rated."""
        if query.strip():
            indices = [match.item_idx for match in self._catalogue.search(query, limit)]
        else:
            indices = self._pool.items[:limit].tolist()
        return schemas.ItemsResponse(items=[self._catalogue.summary(index) for index in indices])

    async def predict(self, request: schemas.PredictionsRequest) -> schemas.PredictionsResponse:
        """Return the predictions for each item of a request.

        Raises:
            RequestError: The request is not valid.
        """
        history = self._validator.history(request.history)
        items = self._validator.candidates(request.item_ids)
        groups, about = queries_about(history, items)
        queries = [Query(each.history.last(self._max_history), each.candidates) for each in about]
        base_queries = queries if request.base and self._has_adapter else []
        tuned, base = await self._predict(queries, base_queries)
        p_base = _in_order(groups, base) if base_queries else [None] * len(items)
        note = self._history_note(
            min([len(each.history) for each in queries], default=len(history))
        )
        return schemas.PredictionsResponse(
            predictions=[
                schemas.Prediction(
                    item_id=self._catalogue.items[index].item_id,
                    p_like=p_like,
                    p_like_base=p_like_base,
                )
                for index, p_like, p_like_base in zip(
                    items.tolist(), _in_order(groups, tuned), p_base, strict=True
                )
            ],
            notes=[] if note is None else [note],
        )

    async def recommend(self, request: schemas.RecommendationsRequest) -> Recommendations:
        """Return the items the user is most likely to like.

        Raises:
            RequestError: The request is not valid.
        """
        self._validator.check_count(request.top_k, "top_k", "top")
        self._validator.check_count(request.candidates or 0, "candidates", "candidates")
        pipeline = self._pipeline
        filters = request.filters.model_dump()
        genres = {name: tuple(filters.pop(name)) for name in ("genres", "without_genres")}
        selection = await run_in_threadpool(
            pipeline.select,
            RecommendationRequest(
                self._validator.history(request.history),
                Filters(**genres, **filters),
                request.top_k,
                request.candidates,
                request.base,
                request.reasons,
            ),
        )
        (predictions,), _ = await self._predict([selection.query])
        ranking = pipeline.rank(selection, predictions)
        follow_up = pipeline.follow_up(selection, ranking)
        base_queries = [] if follow_up.base is None else [follow_up.base]
        ablated, base = await self._predict(follow_up.ablated, base_queries)
        return pipeline.result(selection, ranking, base[0] if base else None, ablated)

    async def _predict(
        self, queries: Sequence[Query], base_queries: Sequence[Query] = ()
    ) -> tuple[list[Predictions], list[Predictions]]:
        """Return the predictions of the tuned and the base model; cancelling cancels the rest."""
        predictions = await asyncio.gather(
            *(self._batcher.submit(query) for query in queries),
            *(self._batcher.submit(query, base=True) for query in base_queries),
        )
        return predictions[: len(queries)], predictions[len(queries) :]


class RequestValidator:
    """Turns item ids into item indices; raises :class:`RequestError` for what is not allowed."""

    def __init__(self, catalogue: Catalogue, scale: RatingScale, serving: ServingSection) -> None:
        self._scale = scale
        self._serving = serving
        self._index_of = catalogue.index_by_id
        self._domain = catalogue.words.domain

    def history(self, ratings: Sequence[schemas.RatedItem]) -> History:
        """Return the ratings of a request as a history."""
        self.check_count(len(ratings), "history", "history")
        indices = self._indices([rated.item_id for rated in ratings], "history")
        seen: set[int] = set()
        for position, (index, rated) in enumerate(zip(indices.tolist(), ratings, strict=True)):
            if index in seen:
                raise RequestError(
                    f"{self._domain.item} {shown_id(rated.item_id)} is rated twice",
                    code="item_rated_twice",
                    where=f"history.{position}.item_id",
                    hint="Send the latest rating only",
                )
            seen.add(index)
            if not self._scale.contains(rated.rating):
                raise RequestError(
                    f"the rating {rated.rating} is not on the scale",
                    code="rating_not_on_scale",
                    where=f"history.{position}.rating",
                    hint=RatingWords(self._domain, self._scale).choices(),
                )
        return History.of(indices.tolist(), [rated.rating for rated in ratings])

    def candidates(self, item_ids: Sequence[int | str]) -> Ints:
        """Return the indices of the items to predict, in the order given."""
        self.check_count(len(item_ids), "item_ids", "candidates")
        return self._indices(item_ids, "item_ids")

    def check_count(self, count: int, where: str, limit: str) -> None:
        """Reject a field of a request that exceeds the limit ``serving.max_<limit>``."""
        most = int(getattr(self._serving, f"max_{limit}"))
        if count > most:
            raise RequestError(
                f"{count} is more than the {most} one request may have",
                code="over_request_limit",
                where=where,
                hint=f"Ask for less, or raise serving.max_{limit}",
            )

    def _indices(self, item_ids: Sequence[int | str], where: str) -> Ints:
        indices = [self._index_of(item_id) for item_id in item_ids]
        if None in indices:
            missing = zip(item_ids, indices, strict=True)
            unknown = list(dict.fromkeys(item_id for item_id, index in missing if index is None))
            listed = ", ".join(shown_id(item_id) for item_id in unknown[:_MAX_LISTED])
            more = len(unknown) - _MAX_LISTED
            raise RequestError(
                f"no {self._domain.item} has the id {listed}"
                + (f" (and {more} more)" if more > 0 else ""),
                code="unknown_item",
                where=where,
                hint=f"GET /items finds {self._domain.items} and their ids",
            )
        return np.array(indices, dtype=np.int64)


def _in_order(groups: Sequence[Ints], predictions: Sequence[Predictions]) -> list[float]:
    """Return P(like) of the items of a request, given their indices in each query."""
    p_like = np.zeros(sum(map(len, groups)))
    for group, each in zip(groups, predictions, strict=True):
        p_like[group] = each.p_yes
    return p_like.tolist()


def candidate_limit(serving: ServingSection, device_type: str) -> CandidateLimit:
    """Return how many candidates are scored if a request does not say, and why."""
    if serving.default_candidates is not None:
        limit = CandidateLimit(serving.default_candidates, "serving.default_candidates")
    else:
        limit = default_limit(device_type)
    if limit.count == ALL or limit.count > serving.max_candidates:
        return CandidateLimit(serving.max_candidates, "serving.max_candidates")
    return limit


def _with_exact_ids(catalogue: Catalogue) -> Catalogue:
    """Return the catalogue with numbers as text if one is too large for JSON."""
    items = catalogue.items
    if all(isinstance(item.item_id, str) or abs(item.item_id) <= _MAX_EXACT for item in items):
        return catalogue
    named = [item._replace(item_id=str(item.item_id)) for item in items]
    return Catalogue(named, catalogue.ratings, catalogue.words)


def _domain_response(words: RatingWords) -> schemas.DomainResponse:
    domain = words.domain
    return schemas.DomainResponse(
        name=domain.name,
        item=domain.item,
        items=domain.items,
        noun=words.noun,
        ratings=[
            schemas.SaidRating(rating=rating, said=words.said(rating), label=words.label(rating))
            for rating in words.scale.ratings()
        ],
    )


def _model_name(predictor: Predictor) -> str:
    """Return the model's name, or only the last part of a local path, which is private."""
    name = predictor.loaded.config.model.name_or_path
    return Path(name).name if Path(name).is_dir() else name
