"""Waiting queries, and a predictor that a test controls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from reeltune.data.history import History
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.predictor import Query
from reeltune.serve.batch_plan import PendingQuery

TRUNK = 10
BRANCH = 2


def query(history: int = 0, candidates: Sequence[int] = (0,)) -> Query:
    """A query with a history of one item."""
    return Query(History.of([history], [4.0]), np.array(candidates, dtype=np.int64))


def pending(
    history: int = 0,
    candidates: int = 1,
    *,
    base: bool = False,
    trunk: int = TRUNK,
    branch: int = BRANCH,
) -> PendingQuery:
    """A waiting query with the given numbers of tokens."""
    waiting = query(history, range(candidates))
    loop = asyncio.new_event_loop()
    result = loop.create_future()
    loop.close()
    return PendingQuery(waiting, base, trunk, np.full(candidates, branch), result)


@st.composite
def queues(draw: st.DrawFn) -> list[PendingQuery]:
    """Queues of queries of any size with up to four histories of any length."""
    trunks = draw(st.lists(st.integers(1, 30), min_size=4, max_size=4))
    return [
        pending(
            history,
            draw(st.integers(1, 12)),
            base=draw(st.booleans()),
            trunk=trunks[history],
            branch=draw(st.integers(1, 5)),
        )
        for history in draw(st.lists(st.integers(0, 3), min_size=1, max_size=8))
    ]


def predictions_of(query: Query, base: bool) -> Predictions:
    """Predictions that identify history, candidate and model."""
    history = float(query.history.item_idx.sum())
    yes = (100 * history + query.candidates).astype(np.float32)
    return Predictions(yes, np.full(len(yes), float(base), dtype=np.float32))


@dataclass
class Recorder:
    """A predictor that records its calls and returns when it may.

    Attributes:
        batches: The queries of each call, and whether they were for the base model.
        may_return: Cleared to block it.
        called: Set by a call.
        error: Raised instead of returning.
    """

    batches: list[tuple[list[Query], bool]] = field(default_factory=list)
    may_return: threading.Event = field(default_factory=threading.Event)
    called: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None

    def predict(self, queries: Sequence[Query], *, base: bool = False) -> list[Predictions]:
        """Return :func:`predictions_of` each query."""
        self.batches.append((list(queries), base))
        self.called.set()
        assert self.may_return.wait(60)
        if self.error is not None:
            raise self.error
        return [predictions_of(each, base) for each in queries]
