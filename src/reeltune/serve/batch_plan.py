"""How large the next batch is, in tokens, and which candidates of the waiting queries it holds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np

from reeltune.data.history import History
from reeltune.prompts.pieces import PromptTokens
from reeltune.ragged import Ints
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.predictor import Query

HistoryKey = tuple[bytes, bytes, bool]

_DECAY: Final = 0.8
"""Weight of the measurements so far beside a new batch: about five batches count."""

_DELAY: Final = 0.05
"""Longest delay before a batch starts: a share of a batch's duration, and also in seconds."""


class BatchSize:
    """Chooses the tokens of a batch from the measured speed, so that it takes ``target_seconds``.

    Requests that arrive during a batch wait for it to finish: small batches keep that short. Large
    batches cost less per token where a batch has a fixed cost.
    """

    def __init__(self, target_seconds: float, max_tokens: int) -> None:
        self._target_seconds = target_seconds
        self._max_tokens = max_tokens
        self._tokens = self._seconds = self._batches = 0.0

    @property
    def tokens(self) -> int:
        """Tokens of the next batch; 1, that is, a single query, before anything was measured."""
        if not self._seconds:
            return 1
        tokens = int(self._target_seconds * self._tokens / self._seconds)
        return max(1, min(self._max_tokens, tokens))

    @property
    def delay(self) -> float:
        """Seconds to wait after the first query before starting a batch.

        Clients that were answered together send their next requests at almost the same time.
        """
        return min(_DELAY, _DELAY * self._seconds / self._batches) if self._batches else 0.0

    def update(self, tokens: int, seconds: float) -> None:
        """Add the measurement of one batch."""
        self._tokens = _DECAY * self._tokens + tokens
        self._seconds = _DECAY * self._seconds + seconds
        self._batches = _DECAY * self._batches + 1


class TokenCounts:
    """Counts the tokens of queries without building their prompts.

    Where candidates cannot share their history, each counts with the whole of it.
    """

    def __init__(self, tokens: PromptTokens, history_len: int, share_history: bool) -> None:
        pieces = tokens.pieces
        # Signals differ by a token or two from film to film: the mean is near enough.
        signals = round(sum(float(lines.lengths.mean()) for lines in pieces.context))
        self._history_len = history_len
        self._items, self._candidates = pieces.items.lengths, pieces.candidate_items.lengths
        self._steps = pieces.steps
        self._rating = pieces.before_item.lengths + pieces.after_item.lengths
        self._rating = self._rating + (signals if pieces.context_in_history else 0)
        self._heads = pieces.heads(np.arange(2)).lengths + len(pieces.before_candidate)
        self._tail = signals + len(pieces.tail)
        self._shared = share_history and not tokens.differing

    def of(self, history: History, candidates: Ints) -> tuple[int, Ints]:
        """Return the tokens of a history, and of each candidate after it, shape ``(n,)``."""
        history = history.last(self._history_len)
        lines = self._items[history.item_idx] + self._rating[self._steps(history.rating)]
        trunk = int(self._heads[min(1, len(history))] + lines.sum())
        branches = self._candidates[candidates] + self._tail
        return (trunk, branches) if self._shared else (0, branches + trunk)


@dataclass(eq=False)
class PendingQuery:
    """A query that waits for its predictions, which exist for its first ``done`` candidates.

    ``trunk`` and ``branches`` are the tokens of the history and of each candidate. ``result`` is
    cancelled if nobody waits for it any more.
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
    query does not need goes to the others. A batch may exceed ``tokens`` by one history, and holds
    at least as many tokens of candidates as of histories.
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
