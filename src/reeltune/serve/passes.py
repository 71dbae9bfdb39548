"""What is computed together: parts of the questions that wait, as much as one pass may hold."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from reeltune.scoring.ranking import Question
from reeltune.scoring.scorer import Verdicts

Ints = npt.NDArray[np.int64]
Shown = tuple[bytes, bytes, bool]


@dataclass(eq=False)
class Waiting:
    """A question that waits for its verdicts.

    Attributes:
        question: Its history holds the events that its verdicts depend on, and no more.
        base: Whether the base model is asked, without the adapter.
        trunk: The tokens of its history.
        branches: The tokens of each candidate, shape ``(n,)``.
        answer: The verdict on every candidate, once all are known; cancelled where nobody waits.
        found: The verdicts so far, in the order of the candidates.
        judged: How many those are.
    """

    question: Question
    base: bool
    trunk: int
    branches: Ints
    answer: asyncio.Future[Verdicts]
    found: list[Verdicts] = field(default_factory=list)
    judged: int = 0

    @cached_property
    def shown(self) -> Shown:
        """What its verdicts depend on besides the candidate: equal ones share their history."""
        history = self.question.history
        return history.item_idx.tobytes(), history.rating.tobytes(), self.base

    @property
    def left(self) -> Ints:
        """The tokens of each candidate that is still to be judged."""
        return self.branches[self.judged :]


@dataclass(frozen=True)
class Part:
    """Candidates of one question that are judged in one pass.

    Attributes:
        waiting: The question.
        start: Its first candidate.
        stop: The one after its last.
    """

    waiting: Waiting
    start: int
    stop: int


def next_pass(queue: deque[Waiting], tokens: int, most_questions: int) -> list[Part]:
    """Take from a queue what the next pass computes; what a part leaves over stays with the caller.

    Whoever has waited longest comes first, and everybody who comes at all has one candidate judged
    at least, so that nobody waits behind somebody else's thousand. When no further history fits,
    those whose history is in the pass already may still come. Room that is left goes to all in
    equal shares, and what one does not need to the others.

    Args:
        queue: The questions, the longest waiting first; those of the pass are removed.
        tokens: What the pass should hold. It may hold one history more, and as many tokens of
            candidates as of histories, so that these are not computed for a few candidates each.
        most_questions: How many questions the pass may hold.
    """
    chosen: list[Waiting] = []
    passed_over: list[Waiting] = []
    trunks: dict[Shown, int] = {}
    used = 0
    while queue and len(chosen) < most_questions:
        one = queue.popleft()
        known = one.shown in trunks
        more = int(one.left[0]) + (0 if known else one.trunk)
        full = used + more > max(tokens, 2 * sum(trunks.values()) if known else 0)
        if chosen and (full or (passed_over and not known)):
            passed_over.append(one)
            continue
        used += more
        trunks.setdefault(one.shown, one.trunk)
        chosen.append(one)
    queue.extendleft(reversed(passed_over))
    return _shared_out(chosen, max(tokens, 2 * sum(trunks.values())) - used)


def tokens_of(parts: Sequence[Part]) -> int:
    """Return how many tokens a pass holds: each history once, and its candidates."""
    trunks = {part.waiting.shown: part.waiting.trunk for part in parts}
    branches = (int(part.waiting.branches[part.start : part.stop].sum()) for part in parts)
    return sum(trunks.values()) + sum(branches)


def _shared_out(chosen: list[Waiting], room: int) -> list[Part]:
    """Return a part of each question: its first candidate, and as many more as its share holds."""
    parts: dict[Waiting, Part] = {}
    by_need = sorted(chosen, key=lambda one: int(one.left[1:].sum()))
    for place, one in enumerate(by_need):
        share = max(0, room) // (len(by_need) - place)
        ends = np.cumsum(one.left[1:])
        more = int(np.searchsorted(ends, share, side="right"))
        room -= int(ends[more - 1]) if more else 0
        parts[one] = Part(one, one.judged, one.judged + 1 + more)
    return [parts[one] for one in chosen]
