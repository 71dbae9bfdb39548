"""Dynamic batching: queries of many requests share forward passes of one model."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from reeltune.scoring.predictions import Predictions
from reeltune.scoring.predictor import Query
from reeltune.serve.batch_plan import (
    BatchSize,
    HistoryKey,
    PendingQuery,
    QuerySlice,
    TokenCounts,
    next_batch,
    token_count,
)
from reeltune.serve.errors import shutting_down
from reeltune.serve.metrics import Metrics


class SupportsPredict(Protocol):
    """What batching needs of a :class:`reeltune.scoring.predictor.Predictor`."""

    def predict(self, queries: Sequence[Query], *, base: bool = False) -> list[Predictions]:
        """Return the predictions for each query's candidates."""
        ...


class Batcher:
    """Collects queries while a batch runs and predicts them together in the next one.

    All methods run in the event loop; only the predictor has a thread, for one batch at a time.
    """

    def __init__(
        self,
        predictor: SupportsPredict,
        counts: TokenCounts,
        size: BatchSize,
        max_queries: int,
        metrics: Metrics,
    ) -> None:
        self._predictor = predictor
        self._counts = counts
        self._size = size
        self._max_queries = max_queries
        self._metrics = metrics
        self._queue: deque[PendingQuery] = deque()
        self._submitted = asyncio.Event()
        self._open = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run batches inside the block; at its end finish the current one and fail the rest."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="predictor") as thread:
            worker = asyncio.create_task(self._work(thread))
            self._open = True
            try:
                yield
            finally:
                self._open = False
                worker.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await worker
                for pending in self._queue:
                    if not pending.result.done():
                        pending.result.set_exception(shutting_down())

    def submit(self, query: Query, *, base: bool = False) -> asyncio.Future[Predictions]:
        """Return a future of the predictions; cancel it if nobody waits for them any more.

        The history must hold only events that predictions depend on: equal ones are merged.
        """
        if not self._open:
            raise shutting_down()
        result: asyncio.Future[Predictions] = asyncio.get_running_loop().create_future()
        if len(query.candidates):
            trunk, branches = self._counts.of(query.history, query.candidates)
            self._queue.append(PendingQuery(query, base, trunk, branches, result))
            self._metrics.queries_waiting.set(len(self._queue))
            self._submitted.set()
        else:
            result.set_result(Predictions.none())
        return result

    async def _work(self, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._queue:
                await self._submitted.wait()
                await asyncio.sleep(self._size.delay)
            self._submitted.clear()
            self._queue = deque(pending for pending in self._queue if not pending.result.done())
            batch = next_batch(self._queue, self._size.tokens, self._max_queries)
            self._metrics.queries_waiting.set(len(self._queue))
            if not batch:
                continue
            start = time.perf_counter()
            computed = loop.run_in_executor(thread, predict_batch, self._predictor, batch)
            await asyncio.wait([computed])
            seconds = time.perf_counter() - start
            self._size.update(token_count(batch), seconds)
            self._metrics.count_batch(batch, seconds)
            self._deliver(batch, computed)

    def _deliver(
        self, batch: list[QuerySlice], computed: asyncio.Future[list[Predictions]]
    ) -> None:
        """Hand out a batch's predictions; queries with more candidates go to the queue's end."""
        error = computed.exception()
        for index, part in enumerate(batch):
            pending = part.pending
            if pending.result.done():
                continue
            if error is not None:
                pending.result.set_exception(error)
                continue
            pending.predictions.append(computed.result()[index])
            pending.done = part.stop
            if len(pending.remaining):
                self._queue.append(pending)
            else:
                pending.result.set_result(Predictions.concatenate(pending.predictions))


def predict_batch(predictor: SupportsPredict, batch: Sequence[QuerySlice]) -> list[Predictions]:
    """Return the predictions for every slice, as if each had been predicted alone.

    Slices with equal histories become one query, in which a shared candidate occurs once. The
    tuned and the base model are called at most once each.
    """
    predictions: dict[QuerySlice, Predictions] = {}
    for base in (False, True):
        by_history: dict[HistoryKey, list[QuerySlice]] = {}
        for part in batch:
            if part.pending.base is base:
                by_history.setdefault(part.pending.history_key, []).append(part)
        queries = [
            Query(
                group[0].pending.query.history,
                np.unique(np.concatenate([part.candidates for part in group])),
            )
            for group in by_history.values()
        ]
        results = predictor.predict(queries, base=base) if queries else []
        for group, query, result in zip(by_history.values(), queries, results, strict=True):
            for part in group:
                indices = np.searchsorted(query.candidates, part.candidates)
                predictions[part] = result[indices]
    return [predictions[part] for part in batch]
