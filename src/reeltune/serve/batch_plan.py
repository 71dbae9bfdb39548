"""Which candidates of the waiting queries are predicted in the next batch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from reeltune.scoring.predictions import Predictions
from reeltune.scoring.predictor import Query

Ints = npt.NDArray[np.int64]
HistoryKey = tuple[bytes, bytes, bool]


@dataclass(eq=False)
class PendingQuery:
    """A query that waits for its predictions.

    Attributes:
        query: Its history holds only events that predictions depend on.
        base: Whether the base model is to predict, without the adapter.
        trunk: Tokens of the history.
        branches: Tokens of each candidate, shape ``(n,)``.
        result: All predictions; cancelled if nobody waits for them any more.
        predictions: Those computed so far, in the order of the candidates.
        done: Their number.
    """

    query: Query
    base: bool
    trunk: int
    branches: Ints
    result: asyncio.Future[Predictions]
    predictions: list[Predictions] = field(default_factory=list)
    done: int = 0

    @cached_property
    def history_key(self) -> HistoryKey:
        """Equal for queries whose candidates can share one trunk."""
        history = self.query.history
        return history.item_idx.tobytes(), history.rating.tobytes(), self.base

    @property
    def remaining(self) -> Ints:
        """Tokens of each candidate without a prediction."""
        return self.branches[self.done :]


@dataclass(frozen=True)
class QuerySlice:
    """Candidates ``start`` to ``stop`` (exclusive) of one query, predicted in one batch."""

    pending: PendingQuery
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def candidates(self) -> Ints:
        """The item indices."""
        return self.pending.query.candidates[self.start : self.stop]


def next_batch(queue: deque[PendingQuery], tokens: int, max_queries: int) -> list[QuerySlice]:
    """Take the queries of the next batch from the queue and choose their candidates.

    Queries are taken longest waiting first, each with at least one candidate, so that no query
    waits behind thousands of another's candidates. Once no further history fits, only queries
    whose history is in the batch already are taken. The remaining room is shared equally; what one
    query does not need goes to the others.

    Args:
        queue: Longest waiting first. The caller puts a query back if candidates remain.
        tokens: Target size. A batch may exceed it by one history, and holds at least as many
            tokens of candidates as of histories: a history is not read for a few candidates.
        max_queries: Most queries in the batch.
    """
    chosen: list[PendingQuery] = []
    skipped: list[PendingQuery] = []
    trunks: dict[HistoryKey, int] = {}
    used = 0
    while queue and len(chosen) < max_queries:
        pending = queue.popleft()
        shared = pending.history_key in trunks
        added = int(pending.remaining[0]) + (0 if shared else pending.trunk)
        full = used + added > max(tokens, 2 * sum(trunks.values()) if shared else 0)
        if chosen and (full or (skipped and not shared)):
            skipped.append(pending)
            continue
        used += added
        trunks.setdefault(pending.history_key, pending.trunk)
        chosen.append(pending)
    queue.extendleft(reversed(skipped))
    return _share_room(chosen, max(tokens, 2 * sum(trunks.values())) - used)


def token_count(batch: Sequence[QuerySlice]) -> int:
    """Return the tokens of a batch: each distinct history once, and all candidates."""
    trunks = {part.pending.history_key: part.pending.trunk for part in batch}
    branches = (int(part.pending.branches[part.start : part.stop].sum()) for part in batch)
    return sum(trunks.values()) + sum(branches)


def _share_room(chosen: list[PendingQuery], room: int) -> list[QuerySlice]:
    """Return a slice of each query: its first candidate and as many more as its share holds."""
    slices: dict[PendingQuery, QuerySlice] = {}
    by_need = sorted(chosen, key=lambda pending: int(pending.remaining[1:].sum()))
    for index, pending in enumerate(by_need):
        share = max(0, room) // (len(by_need) - index)
        ends = np.cumsum(pending.remaining[1:])
        more = int(np.searchsorted(ends, share, side="right"))
        room -= int(ends[more - 1]) if more else 0
        slices[pending] = QuerySlice(pending, pending.done, pending.done + 1 + more)
    return [slices[pending] for pending in chosen]
