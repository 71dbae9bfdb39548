"""Token sequences with one answer position or several."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from reeltune.data.timelines import Ints
from reeltune.ragged import Ragged, offsets_of

NO_BRANCH = -1
"""Marks an answer position in the trunk itself."""


@dataclass(frozen=True)
class Sequences:
    """``b`` sequences with ``n`` predictions among them.

    A sequence is a *trunk*, then any number of *branches*. The trunk is ordinary causal text. A
    branch continues the first ``leave`` tokens of the trunk, and no other token sees it. A plain
    prompt is a trunk with its answer position at the end; an interview is a trunk with many answer
    positions; a window block is a trunk with one branch per candidate.

    Attributes:
        ids: Token ids, one row per sequence.
        trunk: Tokens of each row's trunk, shape ``(b,)``; branches follow it without gaps.
        row: The sequence of each prediction, ascending, shape ``(n,)``.
        answer_position: Index in that row of the token before the answer, shape ``(n,)``.
        branch: Index in that row where the prediction's branch begins, ascending within a row, or
            :data:`NO_BRANCH`, shape ``(n,)``.
        leave: Tokens of the trunk that the branch continues, shape ``(n,)``; without a branch, the
            trunk up to and including the answer position.
        answered: Whether the answers follow their positions, as training needs.
    """

    ids: Ragged
    trunk: Ints
    row: Ints
    answer_position: Ints
    branch: Ints
    leave: Ints
    answered: bool = False

    @classmethod
    def single(cls, prompts: Ragged, answered: bool = False) -> Sequences:
        """Return sequences of one prompt each; if answered, their last token is the answer."""
        lengths = prompts.lengths
        answer_position = lengths - (2 if answered else 1)
        return cls(
            ids=prompts,
            trunk=lengths,
            row=np.arange(len(prompts)),
            answer_position=answer_position,
            branch=np.full(len(prompts), NO_BRANCH),
            leave=answer_position + 1,
            answered=answered,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def answer_count(self) -> int:
        """The number of predictions."""
        return len(self.row)

    @property
    def plain(self) -> bool:
        """Whether every sequence is one plain prompt."""
        at_end = self.ids.lengths - (2 if self.answered else 1)
        return self.answer_count == len(self) and bool(
            (self.branch == NO_BRANCH).all() and (self.answer_position == at_end).all()
        )

    @property
    def answer_offsets(self) -> Ints:
        """The first prediction of each row, and their number, shape ``(b + 1,)``."""
        return offsets_of(np.bincount(self.row, minlength=len(self)))

    @property
    def prompt_lengths(self) -> Ints:
        """The length of the single prompt each prediction equals, shape ``(n,)``."""
        branched = self.branch != NO_BRANCH
        return np.where(
            branched, self.leave + self.answer_position + 1 - self.branch, self.answer_position + 1
        )

    def answers_of(self, rows: Ints) -> Ints:
        """Return the indices of the predictions in some sequences, sequence after sequence."""
        offsets = self.answer_offsets
        counts = np.diff(offsets)[rows]
        begun = offsets_of(counts)
        return np.arange(begun[-1]) + np.repeat(offsets[rows] - begun[:-1], counts)

    def take(self, rows: Ints) -> Sequences:
        """Return the sequences at some indices, in that order, with their predictions."""
        kept = self.answers_of(rows)
        return Sequences(
            ids=self.ids.take(rows),
            trunk=self.trunk[rows],
            row=np.repeat(np.arange(len(rows)), np.diff(self.answer_offsets)[rows]),
            answer_position=self.answer_position[kept],
            branch=self.branch[kept],
            leave=self.leave[kept],
            answered=self.answered,
        )

    def divided(self, limit: int) -> Sequences:
        """Return the same predictions, in the same order, in sequences of at most ``limit`` tokens.

        A longer sequence is split between branches, with its trunk repeated in each part. A trunk
        and single branch that exceed the limit stay together.
        """
        if not len(self) or int(self.ids.lengths.max()) <= limit:
            return self
        offsets = self.answer_offsets
        parts = [
            self._divide(row, int(offsets[row]), int(offsets[row + 1]), limit)
            for row in range(len(self))
        ]
        return concatenate_sequences(parts)

    def _divide(self, row: int, first: int, last: int, limit: int) -> Sequences:
        one = self.take(np.array([row]))
        trunk, ids = int(self.trunk[row]), self.ids[row]
        if len(ids) <= limit or last == first or (self.branch[first:last] == NO_BRANCH).any():
            return one
        ends = np.append(self.branch[first + 1 : last], len(ids))
        part = np.zeros(last - first, dtype=np.int64)
        room = limit - trunk
        begin = trunk
        for i, end in enumerate(ends.tolist()):
            part[i] = part[i - 1] if i else 0
            if end - begin > room and int(self.branch[first + i]) > begin:
                part[i] += 1
                begin = int(self.branch[first + i])
        starts = self.branch[first:last][np.flatnonzero(np.diff(part, prepend=-1))]
        stops = np.append(starts[1:], len(ids))
        shift = (starts - trunk)[part]
        spans = zip(starts, stops, strict=True)
        rows = [np.concatenate([ids[:trunk], ids[begin:end]]) for begin, end in spans]
        return Sequences(
            ids=Ragged.from_rows(rows),
            trunk=np.full(len(starts), trunk),
            row=part,
            answer_position=one.answer_position - shift,
            branch=one.branch - shift,
            leave=one.leave,
            answered=self.answered,
        )

    def alone(self) -> Ragged:
        """Return the single prompt each prediction must equal, ``n`` rows."""
        rows = []
        for i, row in enumerate(self.row.tolist()):
            ids, branch = self.ids[row], self.branch[i]
            rows.append(ids[: self.leave[i]])
            if branch != NO_BRANCH:
                rows[i] = np.concatenate([rows[i], ids[branch : self.answer_position[i] + 1]])
        return Ragged.from_rows(rows)


def concatenate_sequences(parts: Iterable[Sequences]) -> Sequences:
    """Concatenate sequences, of which all or none are answered; each part may be freed at once."""
    ids, collected, answered, count = array("i"), [], False, 0
    for part in parts:
        ids.frombytes(part.ids.values.tobytes())
        fields = (part.trunk, part.row + count, part.answer_position, part.branch, part.leave)
        collected.append((part.ids.lengths, *fields))
        answered, count = part.answered, count + len(part)
    lengths, *fields = (np.concatenate(each) for each in zip(*collected, strict=True))
    values = np.frombuffer(ids, dtype=np.int32, count=len(ids))
    return Sequences(Ragged(values, offsets_of(lengths)), *fields, answered=answered)
