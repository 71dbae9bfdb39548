"""Questions that wait, and judges that do what a test wants."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from reeltune.data.history import History
from reeltune.scoring.ranking import Question
from reeltune.scoring.scorer import Verdicts
from reeltune.serve.passes import Waiting

TRUNK = 10
BRANCH = 2


def question(history: int = 0, candidates: Sequence[int] = (0,)) -> Question:
    """A question after one of a few histories, which differ by their only film."""
    return Question(History.of([history], [4.0]), np.array(candidates, dtype=np.int64))


def waiting(
    history: int = 0,
    candidates: int = 1,
    *,
    base: bool = False,
    trunk: int = TRUNK,
    branch: int = BRANCH,
) -> Waiting:
    """A question that waits, whose tokens are what the test says."""
    asked = question(history, range(candidates))
    loop = asyncio.new_event_loop()
    answer = loop.create_future()
    loop.close()
    return Waiting(asked, base, trunk, np.full(candidates, branch), answer)


@st.composite
def queues(draw: st.DrawFn) -> list[Waiting]:
    """Questions of any size after few histories, of any length."""
    trunks = draw(st.lists(st.integers(1, 30), min_size=4, max_size=4))
    return [
        waiting(
            history,
            draw(st.integers(1, 12)),
            base=draw(st.booleans()),
            trunk=trunks[history],
            branch=draw(st.integers(1, 5)),
        )
        for history in draw(st.lists(st.integers(0, 3), min_size=1, max_size=8))
    ]


def told(asked: Question, base: bool) -> Verdicts:
    """Verdicts in which history, candidate and model can be recognized."""
    history = float(asked.history.item_idx.sum())
    yes = (100 * history + asked.candidates).astype(np.float32)
    return Verdicts(yes, np.full(len(yes), float(base), dtype=np.float32))


@dataclass
class Recorder:
    """A judge that remembers what it was asked, and answers when it may.

    Attributes:
        passes: The questions of each call, with whether the base model was asked.
        may_answer: Set unless the test holds it back.
        asked: Set when a call has come.
        error: Raised instead of an answer.
    """

    passes: list[tuple[list[Question], bool]] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None

    def verdicts(self, questions: Sequence[Question], *, base: bool = False) -> list[Verdicts]:
        """Answer as :func:`told`."""
        self.passes.append((list(questions), base))
        self.asked.set()
        assert self.may_answer.wait(60)
        if self.error is not None:
            raise self.error
        return [told(one, base) for one in questions]
