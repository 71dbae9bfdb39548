"""Token sequences that hold one verdict or several, and where in them each verdict is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reeltune.ragged import Ragged, concatenate, offsets_of

Ints = npt.NDArray[np.int64]

NO_BRANCH = -1
"""Marks a verdict that is asked in the trunk itself."""


@dataclass(frozen=True)
class Sequences:
    """``b`` sequences with ``n`` verdicts among them.

    A sequence is a *trunk*, then any number of *branches*. The trunk is ordinary causal text. A
    branch continues the trunk's first ``leave`` tokens as if nothing else stood between, and
    nothing else sees it. A plain prompt is a trunk whose last token is asked; an interview is a
    trunk that is asked at many places; a block is a trunk with one branch for each candidate.

    Attributes:
        ids: Token ids, one row per sequence.
        trunk: Tokens of each row's trunk, shape ``(b,)``; branches follow it without gaps.
        row: The sequence of each verdict, ascending, shape ``(n,)``.
        asked: Place in that row of the token which the answer follows, shape ``(n,)``.
        branch: Place in that row where the verdict's branch begins, ascending within a row, or
            :data:`NO_BRANCH`, shape ``(n,)``.
        leave: Tokens of the trunk that the branch continues, shape ``(n,)``; where there is no
            branch, the trunk up to and including the asked token.
        answered: Whether each asked token is followed by its answer, as training needs.
    """

    ids: Ragged
    trunk: Ints
    row: Ints
    asked: Ints
    branch: Ints
    leave: Ints
    answered: bool = False

    @classmethod
    def single(cls, prompts: Ragged, answered: bool = False) -> Sequences:
        """Return sequences that are one prompt each.

        Args:
            prompts: Token ids up to where the answer begins, or with the answer behind.
            answered: Whether the last token of each is its answer.
        """
        lengths = prompts.lengths
        asked = lengths - (2 if answered else 1)
        return cls(
            ids=prompts,
            trunk=lengths,
            row=np.arange(len(prompts)),
            asked=asked,
            branch=np.full(len(prompts), NO_BRANCH),
            leave=asked + 1,
            answered=answered,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def verdicts(self) -> int:
        """How many verdicts are asked."""
        return len(self.row)

    @property
    def plain(self) -> bool:
        """Whether every sequence is one plain prompt, asked at its end."""
        at_end = self.ids.lengths - (2 if self.answered else 1)
        return self.verdicts == len(self) and bool(
            (self.branch == NO_BRANCH).all() and (self.asked == at_end).all()
        )

    @property
    def verdict_offsets(self) -> Ints:
        """Where each row's verdicts begin, and their number: shape ``(b + 1,)``."""
        return offsets_of(np.bincount(self.row, minlength=len(self)))

    @property
    def prompt_lengths(self) -> Ints:
        """The length of the single prompt each verdict equals, shape ``(n,)``."""
        branched = self.branch != NO_BRANCH
        return np.where(branched, self.leave + self.asked + 1 - self.branch, self.asked + 1)

    def verdicts_of(self, rows: Ints) -> Ints:
        """Return the verdicts asked in the given sequences, sequence after sequence."""
        offsets = self.verdict_offsets
        counts = np.diff(offsets)[rows]
        begun = offsets_of(counts)
        return np.arange(begun[-1]) + np.repeat(offsets[rows] - begun[:-1], counts)

    def take(self, rows: Ints) -> Sequences:
        """Return the sequences at the given indices, in that order, with their verdicts."""
        kept = self.verdicts_of(rows)
        return Sequences(
            ids=self.ids.take(rows),
            trunk=self.trunk[rows],
            row=np.repeat(np.arange(len(rows)), np.diff(self.verdict_offsets)[rows]),
            asked=self.asked[kept],
            branch=self.branch[kept],
            leave=self.leave[kept],
            answered=self.answered,
        )

    def divided(self, limit: int) -> Sequences:
        """Return the same verdicts, in the same order, in sequences of at most ``limit`` tokens.

        A longer sequence is cut between branches, and its trunk repeated before each part. One
        whose trunk and a single branch already exceed the limit stays that long.
        """
        if not len(self) or int(self.ids.lengths.max()) <= limit:
            return self
        offsets = self.verdict_offsets
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
        return Sequences(
            ids=Ragged.from_rows(
                [
                    np.concatenate([ids[:trunk], ids[a:b]])
                    for a, b in zip(starts, stops, strict=True)
                ]
            ),
            trunk=np.full(len(starts), trunk),
            row=part,
            asked=one.asked - shift,
            branch=one.branch - shift,
            leave=one.leave,
            answered=self.answered,
        )

    def alone(self) -> Ragged:
        """Return the single prompt each verdict equals, ``n`` rows: what sharing must match."""
        ids = self.ids
        rows = []
        for row, asked, branch, leave in zip(
            self.row, self.asked, self.branch, self.leave, strict=True
        ):
            own = ids[int(row)]
            trunk = own[:leave]
            rows.append(
                trunk if branch == NO_BRANCH else np.concatenate([trunk, own[branch : asked + 1]])
            )
        return Ragged.from_rows(rows)


def concatenate_sequences(parts: list[Sequences]) -> Sequences:
    """Set several lists of sequences, of which all or none are answered, one behind another."""
    before = np.cumsum([0, *(len(part) for part in parts[:-1])])
    verdicts = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("trunk", "asked", "branch", "leave")
    }
    return Sequences(
        ids=concatenate([part.ids for part in parts]),
        row=np.concatenate([part.row + shift for part, shift in zip(parts, before, strict=True)]),
        **verdicts,
        answered=parts[0].answered,
    )
