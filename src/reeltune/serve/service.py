"""From requests to answers: MovieLens ids in, films with their verdicts out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from starlette.concurrency import run_in_threadpool

from reeltune.asking.judge import Judge
from reeltune.data.folder import ITEMS_FILE
from reeltune.files import file_digest
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.filters import Filters
from reeltune.recommend.recommender import RecommendationRequest, Recommender
from reeltune.recommend.results import ItemSummary, Recommendation
from reeltune.scoring.ranking import Question
from reeltune.scoring.scorer import Verdicts
from reeltune.serve import contract
from reeltune.serve.bounds import Bounds
from reeltune.serve.errors import UnavailableError
from reeltune.serve.gathering import Gatherer

Ints = npt.NDArray[np.int64]

_NAME_LENGTH: Final = 16
"""How many digits of a digest name the films."""


class Service:
    """Answers requests about the films of one model's data.

    Args:
        judge: Which model answers.
        catalogue: Finds films.
        gatherer: Computes the verdicts.
        bounds: What may be asked.
    """

    def __init__(
        self, judge: Judge, catalogue: Catalogue, gatherer: Gatherer, bounds: Bounds
    ) -> None:
        self._catalogue = catalogue
        self._gatherer = gatherer
        self._bounds = bounds
        self._tuned = judge.tuned
        self._remembered = judge.remembered
        self._recommender = Recommender.of(judge, catalogue, bounds.candidate_limit)
        self._most_rated = np.argsort(-catalogue.ratings, kind="stable")
        self._answering = 0
        self._health = contract.Health(
            status="ok",
            model=_model_name(judge),
            tuned=judge.tuned,
            data=file_digest(judge.subject.folder.path / ITEMS_FILE)[:_NAME_LENGTH],
            films=len(catalogue.items),
            history_len=judge.history_len,
            every_rating_counts=judge.remembered > judge.history_len,
            scale=contract.Scale(**asdict(bounds.scale)),
            genres=sorted({genre for film in catalogue.items for genre in film.genres}),
            limits=bounds.limits,
        )

    @contextlib.asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Count a request as being answered inside the block, which has a limited time.

        Raises:
            UnavailableError: As many as may be are being answered, or the time is over.
        """
        serving = self._bounds.serving
        if self._answering >= serving.max_requests:
            raise UnavailableError(
                f"{self._answering} requests are being answered, as many as serving.max_requests "
                "allows",
                code="too_many_requests",
                hint="Try again in a moment",
            )
        self._answering += 1
        try:
            async with asyncio.timeout(serving.timeout_s):
                yield
        except TimeoutError:
            raise UnavailableError(
                f"no answer within {serving.timeout_s:g} s (serving.timeout_s)",
                code="answer_timed_out",
                hint="Ask about fewer films, or try again later",
            ) from None
        finally:
            self._answering -= 1

    def health(self) -> contract.Health:
        """Return what is being served."""
        return self._health

    def films(self, query: str, limit: int) -> contract.Items:
        """Return the films whose titles are nearest to a text; without one, the most rated."""
        if query.strip():
            rows = [match.item_idx for match in self._catalogue.search(query, limit)]
        else:
            rows = self._most_rated[:limit].tolist()
        return contract.Items(films=[_item(self._catalogue.summary(row)) for row in rows])

    async def verdicts(self, asked: contract.VerdictsRequest) -> contract.VerdictsTold:
        """Return the verdict on each film asked about.

        Raises:
            RequestError: Something is not to be had, or more than may be asked.
        """
        history = self._bounds.history(asked.rated)
        rows = self._bounds.candidates(asked.item_ids)
        question = Question(history.last(self._remembered), rows)
        (verdicts,), base = await self._answers([question], self._of_base(question, asked.base))
        return contract.VerdictsTold(
            verdicts=[
                contract.VerdictTold(item_id=item_id, p_like=p, p_like_base=b)
                for item_id, p, b in zip(
                    asked.item_ids, verdicts.p_yes, _chances(base, rows), strict=True
                )
            ]
        )

    async def recommendations(
        self, asked: contract.RecommendationsRequest
    ) -> contract.RecommendationsTold:
        """Return the films somebody is likeliest to like, the likeliest first.

        Raises:
            RequestError: Something is not to be had, or more than may be asked.
        """
        history = self._bounds.history(asked.rated)
        request = RecommendationRequest(
            history,
            _filters(asked.filters),
            self._bounds.top(asked.top),
            self._bounds.candidate_count(asked.candidates),
            asked.base,
            asked.why,
        )
        selection = await run_in_threadpool(self._recommender.select, request)
        (predictions,), _ = await self._answers([selection.query])
        ranking = self._recommender.rank(selection, predictions)
        queries = self._recommender.follow_up(selection, ranking)
        base_queries = [] if queries.base is None else [queries.base]
        ablated, base = await self._answers(queries.ablated, base_queries)
        result = self._recommender.result(selection, ranking, base[0] if base else None, ablated)
        return contract.RecommendationsTold(
            recommendations=[_recommendation(each) for each in result.recommendations],
            judged=result.scored,
            fitting=result.eligible,
        )

    async def _answers(
        self, questions: Sequence[Question], of_base: Sequence[Question] = ()
    ) -> tuple[list[Verdicts], list[Verdicts]]:
        """Return the verdicts on each question's candidates.

        Cancelling this cancels the questions, so that what is not begun is not computed.

        Args:
            questions: What the model is asked.
            of_base: What the base model is asked, without the adapter.
        """
        found = await asyncio.gather(
            *(self._gatherer.ask(question) for question in questions),
            *(self._gatherer.ask(question, base=True) for question in of_base),
        )
        return found[: len(questions)], found[len(questions) :]

    def _of_base(self, question: Question, wanted: bool) -> list[Question]:
        """Return what the base model is asked: nothing if it is the only one."""
        return [question] if wanted and self._tuned else []


def _item(item: ItemSummary) -> contract.ItemTold:
    return contract.ItemTold(
        id=item.item_id,
        title=item.title,
        year=item.year,
        genres=list(item.genres),
        ratings=item.ratings,
    )


def _recommendation(each: Recommendation) -> contract.RecommendationTold:
    return contract.RecommendationTold(
        film=_item(each.item),
        p_like=each.p_like,
        p_like_base=each.p_like_base,
        why=[
            contract.Reason(film=_item(reason.item), rating=reason.rating, moved=reason.effect)
            for reason in each.reasons
        ],
    )


def _filters(filters: contract.ItemFilters) -> Filters:
    return Filters(
        tuple(filters.genres),
        tuple(filters.without_genres),
        filters.year_from,
        filters.year_to,
        filters.min_ratings,
        filters.max_ratings,
    )


def _chances(base: Sequence[Verdicts], films: Ints) -> Sequence[float | None]:
    """Return P(Yes) of the base model on each film; None for each where it was not asked."""
    return base[0].p_yes.tolist() if base else [None] * len(films)


def _model_name(judge: Judge) -> str:
    """Return the model's name; of a folder, which is nobody's business, only the last part."""
    name = judge.subject.config.model.name_or_path
    return Path(name).name if Path(name).is_dir() else name
