"""How large a batch should be, in tokens, and how many tokens a query has."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.data.history import History
from reeltune.prompts.pieces import PromptTokens, star_steps

Ints = npt.NDArray[np.int64]

_DECAY: Final = 0.8
"""Weight of the measurements so far beside a new batch: about five batches count."""

_DELAY: Final = 0.05
"""Longest delay before a batch starts: a share of a batch's duration, and also in seconds."""


class BatchSize:
    """Chooses the tokens of a batch from the measured speed.

    Requests that arrive during a batch wait for it to finish: small batches keep that short. Large
    batches cost less per token where a batch has a fixed cost.

    Args:
        target_seconds: How long a batch should take.
        max_tokens: Upper limit: the model computes no more at once anyway.
    """

    def __init__(self, target_seconds: float, max_tokens: int) -> None:
        self._target_seconds = target_seconds
        self._max_tokens = max_tokens
        self._tokens = 0.0
        self._seconds = 0.0
        self._batches = 0.0

    @property
    def tokens(self) -> int:
        """Tokens of the next batch; 1, that is, a single query, before anything was measured."""
        if not self._seconds:
            return 1
        return max(
            1, min(self._max_tokens, int(self._target_seconds * self._tokens / self._seconds))
        )

    @property
    def delay(self) -> float:
        """Seconds to wait after the first query before starting a batch.

        Clients that were answered together send their next requests at almost the same time.
        Without a delay the first of them would start a batch, and the others wait for its end.
        """
        return min(_DELAY, _DELAY * self._seconds / self._batches) if self._batches else 0.0

    def update(self, tokens: int, seconds: float) -> None:
        """Add the measurement of one batch."""
        self._tokens = _DECAY * self._tokens + tokens
        self._seconds = _DECAY * self._seconds + seconds
        self._batches = _DECAY * self._batches + 1


class TokenCounts:
    """Counts the tokens of queries without building their prompts.

    Args:
        tokens: Tokenized items and prompt pieces.
        history_len: How many of the newest events a prompt shows.
        share_history: False counts each candidate with the whole history, as is done anyway where
            pieces do not add up.
    """

    def __init__(self, tokens: PromptTokens, history_len: int, share_history: bool) -> None:
        pieces = tokens.pieces
        # Signals differ by a token or two from film to film: the mean is near enough.
        signals = round(sum(float(lines.lengths.mean()) for lines in pieces.context))
        self._history_len = history_len
        self._items = pieces.items.lengths
        self._rating = pieces.before_item.lengths + pieces.after_item.lengths
        self._rating = self._rating + (signals if pieces.context_in_history else 0)
        self._around = len(pieces.head) + len(pieces.before_candidate)
        self._tail = signals + len(pieces.tail)
        self._shared = share_history and not tokens.differing

    def of(self, history: History, candidates: Ints) -> tuple[int, Ints]:
        """Return the tokens of a history, and of each candidate after it, shape ``(n,)``."""
        history = history.last(self._history_len)
        lines = self._items[history.item_idx] + self._rating[star_steps(history.rating)]
        trunk = self._around + int(lines.sum())
        branches = self._items[candidates] + self._tail
        return (trunk, branches) if self._shared else (0, branches + trunk)
