"""The parts of every prompt as text: where a conversation is cut to be tokenized in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from reeltune.domain import INTERVIEW, Renderer
from reeltune.prompts.chat import ChatFrame

STAR_STEPS: Final = np.arange(0, 11, dtype=np.float32) / 2
"""Every rating a MovieLens scale can hold; row ``2 * stars`` of the stars pieces."""


@dataclass(frozen=True)
class PieceTexts:
    """The parts of :class:`reeltune.prompts.pieces.Pieces` as text, films left out."""

    head: str
    before_item: list[str]
    after_item: list[str]
    before_candidate: str
    tail: str
    context: tuple[Sequence[str], ...] = ()
    context_in_history: bool = False

    def context_text(self, codes: Sequence[int]) -> str:
        """Return the signals on a film, given the entry of each kind."""
        return "".join(lines[code] for lines, code in zip(self.context, codes, strict=True))

    def line(self, step: int, item: str, told: str = "") -> str:
        """Return the line of one event, given which of :data:`STAR_STEPS` its stars are."""
        context = told if self.context_in_history else ""
        return f"{self.before_item[step]}{item}{context}{self.after_item[step]}"

    def question(self, item: str, told: str = "") -> str:
        """Return what asks about a film: from the history to where the answer begins."""
        return f"{self.before_candidate}{item}{told}{self.tail}"

    def whole(self, lines: str, candidate: str, told: str = "") -> str:
        """Return a whole prompt."""
        return f"{self.head}{lines}{self.question(candidate, told)}"


def piece_texts(renderer: Renderer, frame: ChatFrame) -> PieceTexts:
    """Cut a conversation where films stand in it.

    In a window, an event's line begins with its stars. In an interview it begins with the film
    itself; the answer, then the stars in the user's next turn, come behind it.
    """
    steps = [float(step) for step in STAR_STEPS]
    rating = [renderer.rating(step) for step in steps]
    none = [""] * len(steps)
    tail = renderer.question() + frame.after
    replies = [
        f"{tail}{renderer.answer(renderer.likes(step))}{frame.next_turn}{told}"
        for step, told in zip(steps, rating, strict=True)
    ]
    interview = renderer.settings.form == INTERVIEW
    return PieceTexts(
        head=frame.before + renderer.head(),
        before_item=none if interview else rating,
        after_item=replies if interview else none,
        before_candidate=renderer.before_candidate(),
        tail=tail,
        context=tuple(kind.lines for kind in renderer.settings.context),
        context_in_history=interview,
    )
