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
from reeltune.data.history import History
from reeltune.files import file_digest
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.filters import Filters, most_rated
from reeltune.recommend.recommend import influences, likeliest_first, with_and_without
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
            rows = [match.row for match in self._catalogue.search(query, limit)]
        else:
            rows = self._most_rated[:limit].tolist()
        return contract.Items(films=[self._item(row) for row in rows])

    async def verdicts(self, asked: contract.VerdictsRequest) -> contract.VerdictsTold:
        """Return the verdict on each film asked about.

        Raises:
            RequestError: Something is not to be had, or more than may be asked.
        """
        history = self._bounds.history(asked.rated)
        rows = self._bounds.candidates(asked.item_ids)
        question = Question(history, rows)
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
        top, count = self._bounds.top(asked.top), self._bounds.judged(asked.candidates)
        fitting = await run_in_threadpool(self._fitting, asked.filters, asked.rated)
        judged = most_rated(self._catalogue, fitting, count)
        (verdicts,), _ = await self._answers([Question(history, judged)])
        best = likeliest_first(verdicts)[:top]
        films, p_yes = judged[best], verdicts.p_yes[best]
        shown = history.last(self._health.history_len)
        variants = with_and_without(shown) if asked.why else []
        again, base = await self._answers(
            [Question(variant, films) for variant in variants],
            self._of_base(Question(history, films), asked.base),
        )
        reasons = self._reasons(shown, films, again, asked.why)
        told = [
            contract.RecommendationTold(film=self._item(film), p_like=p, p_like_base=b, why=why)
            for film, p, b, why in zip(films, p_yes, _chances(base, films), reasons, strict=True)
        ]
        return contract.RecommendationsTold(
            recommendations=told, judged=len(judged), fitting=len(fitting)
        )

    def _item(self, row: int) -> contract.ItemTold:
        film = self._catalogue.items[row]
        return contract.ItemTold(
            id=film.item_id,
            title=film.title,
            year=film.year,
            genres=list(film.genres),
            ratings=int(self._catalogue.ratings[row]),
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

    def _reasons(
        self, history: History, films: Ints, verdicts: Sequence[Verdicts], most: int
    ) -> list[list[contract.Reason]]:
        """Return, for each film, the ratings that moved its verdict most."""
        if not verdicts:
            return [[] for _ in films]
        return [
            [
                contract.Reason(film=self._item(one.item_idx), rating=one.rating, moved=one.moved)
                for one in moving
            ]
            for moving in influences(history, [one.p_yes for one in verdicts], most)
        ]

    def _fitting(self, filters: contract.ItemFilters, rated: Sequence[contract.Rated]) -> Ints:
        """Return the rows of the films that fit and have not been rated, ascending."""
        wanted = Filters(
            tuple(filters.genres),
            tuple(filters.without_genres),
            filters.year_from,
            filters.year_to,
            filters.min_ratings,
            filters.max_ratings,
        )
        seen = [self._catalogue.row_of(one.item_id) for one in rated]
        return np.setdiff1d(wanted.rows(self._catalogue), seen)


def _chances(base: Sequence[Verdicts], films: Ints) -> Sequence[float | None]:
    """Return P(Yes) of the base model on each film; None for each where it was not asked."""
    return base[0].p_yes.tolist() if base else [None] * len(films)


def _model_name(judge: Judge) -> str:
    """Return the model's name; of a folder, which is nobody's business, only the last part."""
    name = judge.subject.config.model.name_or_path
    return Path(name).name if Path(name).is_dir() else name
