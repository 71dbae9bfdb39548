"""The pieces of a prompt as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reeltune.domain import INTERVIEW, Renderer
from reeltune.prompts.chat import ChatFrame


@dataclass(frozen=True)
class PieceTexts:
    """The pieces of :class:`reeltune.prompts.pieces.Pieces` as text, without the items."""

    head: str
    heading: str
    before_item: list[str]
    after_item: list[str]
    before_candidate: str
    tail: str
    context: tuple[Sequence[str], ...] = ()
    context_in_history: bool = False

    def context_text(self, codes: Sequence[int]) -> str:
        """Return the context lines under an item, given the code of each kind."""
        return "".join(lines[code] for lines, code in zip(self.context, codes, strict=True))

    def line(self, step: int, item: str, context: str = "") -> str:
        """Return the line of one event, given the index of its rating on the scale."""
        context = context if self.context_in_history else ""
        return f"{self.before_item[step]}{item}{context}{self.after_item[step]}"

    def query(self, item: str, context: str = "") -> str:
        """Return the query for an item: from the history to where the answer begins."""
        return f"{self.before_candidate}{item}{context}{self.tail}"

    def whole(self, lines: str, candidate: str, context: str = "") -> str:
        """Return a whole prompt."""
        heading = self.heading if lines else ""
        return f"{self.head}{heading}{lines}{self.query(candidate, context)}"


def piece_texts(
    renderer: Renderer, frame: ChatFrame, tag_lines: Sequence[str] | None = None
) -> PieceTexts:
    """Split a conversation into pieces around its items.

    In a window, an event's line is its rating, then its item. In an interview it is the item, the
    answer, and the rating at the start of the user's next message.
    """
    ratings = renderer.settings.scale.ratings()
    texts = [renderer.rating(rating) for rating in ratings]
    none = [""] * len(ratings)
    tail = renderer.question() + frame.after
    replies = [
        f"{tail}{renderer.answer(renderer.likes(rating))}{frame.next_turn}{text}"
        for rating, text in zip(ratings, texts, strict=True)
    ]
    kinds = [kind.lines for kind in renderer.settings.context]
    interview = renderer.settings.form == INTERVIEW
    return PieceTexts(
        head=frame.before + renderer.head(),
        heading=renderer.heading(),
        before_item=none if interview else texts,
        after_item=replies if interview else none,
        before_candidate=renderer.before_candidate(),
        tail=tail,
        context=(*([] if tag_lines is None else [tag_lines]), *kinds),
        context_in_history=interview,
    )
