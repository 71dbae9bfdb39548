"""The proof that prompts assembled from pieces are the prompts tokenized whole.

Token ids spell out their text, so when the ids of a string are those of its pieces, one after
another, the tokenizer has cut the string where every piece ends. A string proves so, for each piece
in it, that the piece keeps its tokens between those neighbours. What is shown to the tokenizer:

* In a window, every film in a line before another line, in the last line before the candidate, and
  as the candidate: after stars, after what leads to the candidate, before stars, before what leads
  to the candidate, before the question with all that the chat template sets behind it.
* In an interview, every film directly after the instruction, after the answer and the stars of the
  film before it, before an answer, and where the prompt ends.
* The instruction before every number of stars, and before the candidate where there is no history;
  each in a prompt of its own, which is tokenized alone.

From film to film the stars go through the whole scale: not every film is shown with all of them.

Several films share a string, for what costs time is the instruction before them. Within it one
film's question is followed by the next film's lines, which no prompt has. Where that or anything
else makes a string differ, its films are proven again, each in a prompt of its own, and only that
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from reeltune.prompts.piece_texts import STAR_STEPS, PieceTexts
from reeltune.ragged import Ragged, join, offsets_of, repeat_row

if TYPE_CHECKING:
    from reeltune.prompts.pieces import Pieces

Ints = npt.NDArray[np.int64]

_TOGETHER: Final = 16
"""Films that share a string: tokenizers get slower again on texts of many thousand characters."""


@dataclass(frozen=True)
class PiecesProof:
    """Compares pieces with whole strings.

    Attributes:
        texts: The pieces as text.
        films: The text of every film.
        pieces: The same pieces as token ids.
        encode: Returns the token ids of one text, as anyone would call the tokenizer.
        encode_all: Returns the token ids of many texts fast, one row each.
    """

    texts: PieceTexts
    films: Sequence[str]
    pieces: Pieces
    encode: Callable[[str], list[int]]
    encode_all: Callable[[list[str]], Ragged]

    def differing(self) -> list[int]:
        """Return the films for which pieces and whole differ, ascending; all if none can be used.

        The top of this file says what is proven.
        """
        rows = np.arange(len(self.films))
        shared = [rows[first : first + _TOGETHER] for first in range(0, len(rows), _TOGETHER)]
        alone = [np.array([row]) for group in self._unequal(shared) for row in group]
        found = [int(group[0]) for group in self._unequal(alone)]
        sound = np.setdiff1d(rows, found)
        if len(sound) and not self._head_holds(int(sound[0])):
            return rows.tolist()
        return found

    def _unequal(self, groups: list[Ints]) -> list[Ints]:
        """Return those of some groups of films whose common string is not made of its pieces."""
        if not groups:
            return []
        whole = self.encode_all([self._shown(group.tolist()) for group in groups])
        pieced = self._pieced(groups)
        return [
            group
            for group, ours, theirs in zip(groups, pieced, whole, strict=True)
            if not np.array_equal(ours, theirs)
        ]

    @property
    def _head_meets_films(self) -> bool:
        """Whether a film stands directly behind the instruction, so that each is shown there."""
        return not self.texts.before_film[0]

    def _steps(self, rows: Ints) -> list[Ints]:
        """Return the stars of each line that films are shown in."""
        steps = rows % len(STAR_STEPS)
        # Where the instruction leads to every line, a second one would show nothing new.
        return [steps] if self._head_meets_films else [steps, len(STAR_STEPS) - 1 - steps]

    def _shown(self, group: list[int]) -> str:
        texts = self.texts
        steps = [lines.tolist() for lines in self._steps(np.array(group))]
        between = texts.head if self._head_meets_films else ""
        prompts = [
            "".join(texts.line(line[i], self.films[row]) for line in steps)
            + texts.question(self.films[row])
            for i, row in enumerate(group)
        ]
        return texts.head + between.join(prompts)

    def _pieced(self, groups: list[Ints]) -> Ragged:
        """Return the ids of :meth:`_shown` for every group, put together from pieces."""
        rows, pieces = np.concatenate(groups), self.pieces
        head = repeat_row(pieces.head, len(rows))
        shown = [
            *(pieces.lines(steps, rows) for steps in self._steps(rows)),
            pieces.questions(rows),
        ]
        prompts = join(head, *shown) if self._head_meets_films else join(*shown)
        # The prompts of a group already lie behind one another.
        first = offsets_of(np.array([len(group) for group in groups]))
        together = Ragged(prompts.values, prompts.offsets[first])
        if self._head_meets_films:
            return together
        return join(repeat_row(pieces.head, len(groups)), together)

    def _head_holds(self, row: int) -> bool:
        """Return whether the instruction keeps its tokens before all that may follow it."""
        texts, pieces, film = self.texts, self.pieces, self.films[row]
        lines = [texts.line(step, film) for step in range(len(STAR_STEPS))]
        whole = [self.encode(texts.whole(line, film)) for line in ["", *lines]]
        rows = np.full(len(lines), row)
        head, asked = repeat_row(pieces.head, len(lines)), pieces.questions(rows)
        pieced = join(head, pieces.lines(np.arange(len(lines)), rows), asked)
        without = np.concatenate([pieces.head, asked[0]])
        return whole == [ids.tolist() for ids in (without, *pieced)]
