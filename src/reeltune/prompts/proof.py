"""The proof that prompts assembled from pieces are the prompts tokenized whole.

Token ids spell out their text, so when the ids of a string are those of its pieces, one after
another, the tokenizer has cut the string where every piece ends. A string proves so, for each piece
in it, that the piece keeps its tokens between those neighbours. What is shown to the tokenizer:

* In a window, every film in a line before another line, in the last line before the candidate, and
  as the candidate: after stars, after what leads to the candidate, before stars, before what leads
  to the candidate, before the question.
* In an interview, every film after the last line of the instruction, after the answer and the stars
  of the film before it, before an answer, and where the prompt asks.
* The whole instruction before every number of stars, and before the candidate where there is no
  history; the question with all that the chat template sets behind it. Each in a prompt of its own
  with one film, tokenized by an ordinary call.

From film to film the stars go through the whole scale: not every film is shown with all of them. Of
the instruction and of what the chat template sets behind the question, films are shown with the
line next to them, where the tokenizer cuts at that line's end.

Several films share a string, for what costs time is what stands around them. Within it one film's
question is followed by the next film's lines, which no prompt has. Where that or anything else
makes a string differ, its films are proven again, each in a prompt of its own, and only that
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from reeltune.data.folder import Codes
from reeltune.prompts.piece_texts import STAR_STEPS, PieceTexts
from reeltune.ragged import Ragged, join, offsets_of, repeat_row

if TYPE_CHECKING:
    from reeltune.prompts.pieces import Pieces

Ints = npt.NDArray[np.int64]

_TOGETHER: Final = 16
"""Films that share a string: tokenizers get slower again on texts of many thousand characters."""


class _Part(NamedTuple):
    """A part of a piece, as text and as token ids."""

    text: str
    ids: npt.NDArray[np.int32]


@dataclass(frozen=True)
class PiecesProof:
    """Compares pieces with whole strings.

    Attributes:
        texts: The pieces as text.
        items: The text of every film.
        pieces: The same pieces as token ids.
        encode: Returns the token ids of one text, as anyone would call the tokenizer.
        encode_all: Returns the token ids of many texts fast, one row each.
    """

    texts: PieceTexts
    items: Sequence[str]
    pieces: Pieces
    encode: Callable[[str], list[int]]
    encode_all: Callable[[list[str]], Ragged]

    def differing(self) -> list[int]:
        """Return the films for which pieces and whole differ, ascending; all if none can be used.

        The top of this file says what is proven.
        """
        rows = np.arange(len(self.items))
        shared = [rows[first : first + _TOGETHER] for first in range(0, len(rows), _TOGETHER)]
        alone = [np.array([row]) for group in self._unequal(shared) for row in group]
        found = [int(group[0]) for group in self._unequal(alone)]
        sound = np.setdiff1d(rows, found)
        if len(sound) and not self._whole_holds(int(sound[0])):
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

    @cached_property
    def _head(self) -> tuple[_Part, _Part]:
        """What is shown once of the instruction, and what before every film."""
        text, ids = self.texts.head, self.pieces.head
        if self.texts.before_item[0]:  # no film stands directly behind it
            return _Part(text, ids), _Part("", ids[:0])
        last_line = text.rstrip().rfind("\n") + 1
        return self._cut(text, ids, last_line) or (_Part("", ids[:0]), _Part(text, ids))

    @cached_property
    def _tail(self) -> tuple[_Part, _Part]:
        """What is shown behind every film asked about, and what once."""
        text, ids = self.texts.tail, self.pieces.tail
        begin = len(text) - len(text.lstrip())
        first_line = text.find("\n", begin) + 1 or len(text)
        return self._cut(text, ids, first_line) or (_Part(text, ids), _Part("", ids[:0]))

    def _cut(self, text: str, ids: npt.NDArray[np.int32], at: int) -> tuple[_Part, _Part] | None:
        """Cut a piece in two, unless the tokenizer does not cut there."""
        first, second = (
            _Part(part, np.array(self.encode(part), dtype=np.int32))
            for part in (text[:at], text[at:])
        )
        whole = np.concatenate([first.ids, second.ids])
        return (first, second) if np.array_equal(whole, ids) else None

    def _steps(self, rows: Ints) -> list[Ints]:
        """Return the stars of each line that films are shown in."""
        steps = rows % len(STAR_STEPS)
        # Where the instruction leads to every line, a second one would show nothing new.
        return [steps] if self._head[1].text else [steps, len(STAR_STEPS) - 1 - steps]

    def _codes(self, place: int) -> list[int]:
        """Return an entry of each kind of signals; counting on, every one comes up."""
        return [place % len(lines) for lines in self.texts.context]

    def _many_codes(self, places: Ints) -> Codes:
        codes = [self._codes(place) for place in places.tolist()]
        return np.array(codes, dtype=np.int16).reshape(len(places), len(self.texts.context))

    def _shown(self, group: list[int]) -> str:
        texts = self.texts
        lead, close = self._head[1].text, self._tail[0].text
        steps = [lines.tolist() for lines in self._steps(np.array(group))]
        shown = [self._head[0].text]
        for i, row in enumerate(group):
            item, told = self.items[row], texts.context_text(self._codes(row))
            shown.append(lead)
            shown += [texts.line(line[i], item, told) for line in steps]
            shown += [texts.before_candidate, item, told, close]
        return "".join([*shown, self._tail[1].text])

    def _pieced(self, groups: list[Ints]) -> Ragged:
        """Return the ids of :meth:`_shown` for every group, put together from pieces."""
        rows, pieces = np.concatenate(groups), self.pieces
        count = len(rows)
        codes = self._many_codes(rows)
        each = join(
            repeat_row(self._head[1].ids, count),
            *(pieces.lines(steps, rows, codes) for steps in self._steps(rows)),
            repeat_row(pieces.before_candidate, count),
            pieces.items.take(rows),
            *pieces.context_lines(codes),
            repeat_row(self._tail[0].ids, count),
        )
        # What is shown of a group already lies behind one another.
        first = offsets_of(np.array([len(group) for group in groups]))
        return join(
            repeat_row(self._head[0].ids, len(groups)),
            Ragged(each.values, each.offsets[first]),
            repeat_row(self._tail[1].ids, len(groups)),
        )

    def _whole_holds(self, row: int) -> bool:
        """Return whether whole prompts with one film hold: all stars, all signals, no history."""
        texts, pieces, item = self.texts, self.pieces, self.items[row]
        count = max(len(STAR_STEPS), *(len(lines) for lines in texts.context), 0)
        steps, rows = np.arange(count) % len(STAR_STEPS), np.full(count, row)
        codes = self._many_codes(np.arange(count))
        told = [texts.context_text(one) for one in codes.tolist()]
        lines = [texts.line(int(step), item, one) for step, one in zip(steps, told, strict=True)]
        asked = pieces.queries(rows, codes)
        pieced = join(repeat_row(pieces.head, count), pieces.lines(steps, rows, codes), asked)
        without = np.concatenate([pieces.head, asked[0]])
        whole = [texts.whole("", item, told[0])]
        whole += [texts.whole(line, item, one) for line, one in zip(lines, told, strict=True)]
        shown = [ids.tolist() for ids in (without, *pieced)]
        return [self.encode(text) for text in whole] == shown
