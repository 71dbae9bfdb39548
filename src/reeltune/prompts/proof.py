"""The proof that prompts assembled from pieces equal prompts tokenized whole.

Token ids spell out their text. So if the ids of a text are the ids of its pieces, concatenated, the
tokenizer splits the text at every piece boundary, and each piece keeps its ids between those
neighbours. These texts are compared:

* In a window, every item in a line before another line, in the last line, and as the candidate.
* In an interview, every item after the instruction, after the answer and the rating of the previous
  item, before an answer, and as the candidate.
* The whole instruction before every rating, and before the candidate without a history, and the
  question with the end of the frame: each in a prompt with one item, tokenized by an ordinary call.

Ratings and codes vary from item to item, so that together the items cover all of them. Of the
instruction and the frame, items are shown with the adjacent line only, if the tokenizer splits at
its end.

Several items share a text to save time, so one item's question is followed by the next item's
lines. If such a text differs, its items are compared again, each in a separate prompt, and only
that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from reeltune.data.timelines import Codes, Ints
from reeltune.prompts.piece_texts import PieceTexts
from reeltune.ragged import Ragged, join, offsets_of, repeat_row

if TYPE_CHECKING:
    from reeltune.prompts.pieces import Pieces

_TOGETHER: Final = 16
"""Items per text: tokenizers get slower again on texts of many thousand characters."""


class _Part(NamedTuple):
    """A part of a piece, as text and as token ids."""

    text: str
    ids: npt.NDArray[np.int32]


@dataclass(frozen=True)
class PiecesProof:
    """Compares pieces with whole texts.

    Attributes:
        items: The text of every item, as history lines show it.
        candidates: The text of every item, as a candidate.
        encode: Returns the token ids of one text, by an ordinary call of the tokenizer.
        encode_all: Returns the token ids of many texts fast, one row each.
        tags_of: The item of each text of tags, which the first context line shows; None for none.

    A *case* is an item, or an item with one of its texts of tags.
    """

    texts: PieceTexts
    items: Sequence[str]
    candidates: Sequence[str]
    pieces: Pieces
    encode: Callable[[str], list[int]]
    encode_all: Callable[[list[str]], Ragged]
    tags_of: Ints | None = None

    @cached_property
    def _item(self) -> Ints:
        """The item of each case."""
        return np.arange(len(self.items)) if self.tags_of is None else self.tags_of

    def differing(self) -> list[int]:
        """Return the indices of items whose pieces cannot be used, ascending."""
        rows = np.arange(len(self._item))
        shared = [rows[first : first + _TOGETHER] for first in range(0, len(rows), _TOGETHER)]
        alone = [np.array([row]) for group in self._unequal(shared) for row in group]
        differing = [int(group[0]) for group in self._unequal(alone)]
        equal = np.setdiff1d(rows, differing)
        if len(equal) and not self._whole_prompts_equal(int(equal[0])):
            return list(range(len(self.items)))
        return np.unique(self._item[differing]).tolist() if differing else []

    def _unequal(self, groups: list[Ints]) -> list[Ints]:
        """Return the groups of cases whose common text differs from its pieces."""
        if not groups:
            return []
        whole = self.encode_all([self._text(group.tolist()) for group in groups])
        compared = zip(groups, self._pieced(groups), whole, strict=True)
        return [group for group, ours, theirs in compared if not np.array_equal(ours, theirs)]

    @cached_property
    def _head(self) -> tuple[_Part, _Part]:
        """The part of the instruction shown once, and the part shown before every item."""
        text = self.texts.head + self.texts.heading
        ids = np.concatenate([self.pieces.head, self.pieces.heading])
        if self.texts.before_item[0]:  # a rating follows, not an item
            return _Part(text, ids), _Part("", ids[:0])
        last_line = text.rstrip().rfind("\n") + 1
        return self._cut(text, ids, last_line) or (_Part("", ids[:0]), _Part(text, ids))

    @cached_property
    def _tail(self) -> tuple[_Part, _Part]:
        """The part of the tail shown after every candidate, and the part shown once."""
        text, ids = self.texts.tail, self.pieces.tail
        begin = len(text) - len(text.lstrip())
        first_line = text.find("\n", begin) + 1 or len(text)
        return self._cut(text, ids, first_line) or (_Part(text, ids), _Part("", ids[:0]))

    def _cut(self, text: str, ids: npt.NDArray[np.int32], at: int) -> tuple[_Part, _Part] | None:
        """Split a piece in two; None if the tokenizer does not split there."""
        first, second = text[:at], text[at:]
        first_ids, second_ids = (np.array(self.encode(t), np.int32) for t in (first, second))
        if not np.array_equal(np.concatenate([first_ids, second_ids]), ids):
            return None
        return _Part(first, first_ids), _Part(second, second_ids)

    def _steps(self, cases: Ints) -> list[Ints]:
        """Return the ratings of each line that items are shown in."""
        ratings = len(self.texts.before_item)
        steps = cases % ratings
        # If the instruction precedes every line, a second line would add nothing.
        return [steps] if self._head[1].text else [steps, ratings - 1 - steps]

    def _codes(self, index: int) -> list[int]:
        """Return a code of each kind; consecutive indices cover all codes."""
        return [index % len(lines) for lines in self.texts.context]

    def _many_codes(self, indices: Ints) -> Codes:
        codes = [self._codes(index) for index in indices.tolist()]
        return np.array(codes, dtype=np.int32).reshape(len(indices), len(self.texts.context))

    def _text(self, group: list[int]) -> str:
        texts = self.texts
        lead, close = self._head[1].text, self._tail[0].text
        steps = [lines.tolist() for lines in self._steps(np.array(group))]
        parts = [self._head[0].text]
        for i, case in enumerate(group):
            row = int(self._item[case])
            item, context = self.items[row], texts.context_text(self._codes(case))
            parts.append(lead)
            parts += [texts.line(line[i], item, context) for line in steps]
            parts += [texts.before_candidate, self.candidates[row], context, close]
        return "".join([*parts, self._tail[1].text])

    def _pieced(self, groups: list[Ints]) -> Ragged:
        """Return the ids of :meth:`_text` for every group, assembled from pieces."""
        cases, pieces = np.concatenate(groups), self.pieces
        rows, count, codes = self._item[cases], len(cases), self._many_codes(cases)
        each = join(
            repeat_row(self._head[1].ids, count),
            *(pieces.lines(steps, rows, codes) for steps in self._steps(cases)),
            repeat_row(pieces.before_candidate, count),
            pieces.candidate_items.take(rows),
            *pieces.context_lines(codes),
            repeat_row(self._tail[0].ids, count),
        )
        # The items of a group are already consecutive.
        first = offsets_of(np.array([len(group) for group in groups]))
        return join(
            repeat_row(self._head[0].ids, len(groups)),
            Ragged(each.values, each.offsets[first]),
            repeat_row(self._tail[1].ids, len(groups)),
        )

    def _whole_prompts_equal(self, case: int) -> bool:
        """Return whether prompts with one item are equal: all ratings, all codes, no history."""
        texts, pieces, row = self.texts, self.pieces, int(self._item[case])
        item, candidate, ratings = self.items[row], self.candidates[row], len(texts.before_item)
        signals = texts.context if self.tags_of is None else texts.context[1:]
        count = max(ratings, *(len(lines) for lines in signals), 0)
        steps, rows = np.arange(count) % ratings, np.full(count, row)
        codes = self._many_codes(np.arange(count))
        codes[:, : self.tags_of is not None] = case
        contexts = [texts.context_text(row) for row in codes.tolist()]
        queries = pieces.queries(rows, codes)
        pieced = join(pieces.heads(steps + 1), pieces.lines(steps, rows, codes), queries)
        without = np.concatenate([pieces.head, queries[0]])
        whole = [texts.whole("", candidate, contexts[0])]
        for step, context in zip(steps.tolist(), contexts, strict=True):
            whole.append(texts.whole(texts.line(step, item, context), candidate, context))
        compared = zip(self.encode_all(whole), (without, *pieced), strict=True)
        return all(np.array_equal(theirs, ours) for theirs, ours in compared)
