"""Questions of many requests, gathered into shared passes of one model."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from reeltune.scoring.ranking import Question
from reeltune.scoring.scorer import Verdicts
from reeltune.serve.batch_size import BatchSize, TokenCounts
from reeltune.serve.errors import shutting_down
from reeltune.serve.merging import Answering, judge_parts
from reeltune.serve.metrics import Metrics
from reeltune.serve.passes import Part, Waiting, next_pass, tokens_of


class Gatherer:
    """Answers questions as they come, those that wait at the same time in the same pass.

    Everything here runs in the event loop; only the judge works, one pass at a time, in a thread
    that nothing else uses.

    Args:
        judge: Gives the verdicts.
        costs: Counts the tokens of questions.
        pace: Says how many tokens a pass should have.
        questions_per_pass: The most questions of one pass.
        measures: Told what is computed.
    """

    def __init__(
        self,
        judge: Answering,
        costs: TokenCounts,
        pace: BatchSize,
        questions_per_pass: int,
        measures: Metrics,
    ) -> None:
        self._judge = judge
        self._costs = costs
        self._pace = pace
        self._questions_per_pass = questions_per_pass
        self._measures = measures
        self._queue: deque[Waiting] = deque()
        self._asked = asyncio.Event()
        self._open = False

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Answer questions inside the block; at its end the pass that is being computed ends."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge") as thread:
            worker = asyncio.create_task(self._work(thread))
            self._open = True
            try:
                yield
            finally:
                self._open = False
                worker.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await worker
                for one in self._queue:
                    if not one.answer.done():  # somebody may have given up waiting
                        one.answer.set_exception(shutting_down())

    def ask(self, question: Question, *, base: bool = False) -> asyncio.Future[Verdicts]:
        """Return what will be the verdicts on the candidates; cancel it when nobody waits any more.

        Args:
            question: Its history holds the events to show, and no more.
            base: Ask the base model, without the adapter.

        Raises:
            UnavailableError: The service is shutting down.
        """
        if not self._open:
            raise shutting_down()
        answer: asyncio.Future[Verdicts] = asyncio.get_running_loop().create_future()
        if len(question.candidates):
            trunk, branches = self._costs.of(question.history, question.candidates)
            self._queue.append(Waiting(question, base, trunk, branches, answer))
            self._measures.queries_waiting.set(len(self._queue))
            self._asked.set()
        else:
            answer.set_result(Verdicts.none())
        return answer

    async def _work(self, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._queue:
                await self._asked.wait()
                await asyncio.sleep(self._pace.delay)
            self._asked.clear()
            wanted = [one for one in self._queue if not one.answer.done()]
            self._queue = deque(wanted)
            parts = next_pass(self._queue, self._pace.tokens, self._questions_per_pass)
            self._measures.queries_waiting.set(len(self._queue))
            if not parts:
                continue
            began = time.perf_counter()
            computed = loop.run_in_executor(thread, judge_parts, self._judge, parts)
            await asyncio.wait([computed])
            seconds = time.perf_counter() - began
            self._pace.update(tokens_of(parts), seconds)
            self._measures.count_batch(parts, seconds)
            self._tell(parts, computed)

    def _tell(self, parts: list[Part], computed: asyncio.Future[list[Verdicts]]) -> None:
        """Give each question its part of a pass; those that want more wait again, behind others."""
        error = computed.exception()
        for place, part in enumerate(parts):
            one = part.waiting
            if one.answer.done():
                continue
            if error is not None:
                one.answer.set_exception(error)
                continue
            one.found.append(computed.result()[place])
            one.judged = part.stop
            if len(one.left):
                self._queue.append(one)
            else:
                one.answer.set_result(Verdicts.joined(one.found))
