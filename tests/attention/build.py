"""Random sequences and packed rows, and what their tokens may see, defined token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import strategies as st

from reeltune.attention.packed import Packed, PackedBatch, pack_sequences
from reeltune.prompts.sequences import NO_BRANCH, Sequences, concatenate_sequences
from reeltune.ragged import Ragged

PAD_ID = 0
TRUNK = -1
"""The branch of a trunk's tokens."""

Rows = list[npt.NDArray[np.int64]]


def conversation(length: int, answer_positions: Sequence[int]) -> Sequences:
    """One causal sequence with answer positions; a plain prompt if the only one is its end."""
    places = np.array(answer_positions, dtype=np.int64)
    return Sequences(
        ids=Ragged.from_rows([np.arange(length)]),
        trunk=np.array([length]),
        row=np.zeros(len(places), dtype=np.int64),
        answer_position=places,
        branch=np.full(len(places), NO_BRANCH),
        leave=places + 1,
    )


def block(trunk: int, branches: Sequence[tuple[int, int]]) -> Sequences:
    """One sequence of branches, each given by ``leave`` and its length, with answers at their ends.

    Args:
        trunk: Tokens of the trunk.
        branches: At least one.
    """
    leave, sizes = np.array(branches, dtype=np.int64).T
    ends = trunk + np.cumsum(sizes)
    return Sequences(
        ids=Ragged.from_rows([np.arange(int(ends[-1]))]),
        trunk=np.array([trunk]),
        row=np.zeros(len(sizes), dtype=np.int64),
        answer_position=ends - 1,
        branch=ends - sizes,
        leave=leave,
    )


def numbered(parts: Sequence[Sequences]) -> Sequences:
    """Concatenate sequences, with distinct token ids, none of them padding."""
    whole = concatenate_sequences(list(parts))
    ids = np.arange(1, len(whole.ids.values) + 1, dtype=np.int32)
    return Sequences(**{**vars(whole), "ids": Ragged(ids, whole.ids.offsets)})


@st.composite
def sequence_lists(draw: st.DrawFn, trunk: int = 20, branch: int = 8) -> Sequences:
    """Draw up to five sequences, with and without branches.

    Args:
        draw: Hypothesis.
        trunk: The longest trunk.
        branch: The longest branch.
    """
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        length = draw(st.integers(1, trunk))
        if draw(st.booleans()):
            places = st.integers(0, length - 1)
            positions = draw(st.lists(places, min_size=1, max_size=4, unique=True))
            parts.append(conversation(length, sorted(positions)))
        else:
            shape = st.tuples(st.integers(0, length), st.integers(1, branch))
            parts.append(block(length, draw(st.lists(shape, min_size=1, max_size=5))))
    return numbered(parts)


@st.composite
def packed_rows(
    draw: st.DrawFn, trunk: int = 20, branch: int = 8, tile: int = 1
) -> tuple[Sequences, Rows, int]:
    """Draw sequences, the sequences of each row, and a row length with or without room to spare.

    Args:
        draw: Hypothesis.
        trunk: The longest trunk.
        branch: The longest branch.
        tile: The row length is a multiple of it.
    """
    sequences = draw(sequence_lists(trunk, branch))
    longest = int(sequences.ids.lengths.max())
    length = longest + draw(st.integers(0, longest))
    length = -(-length // tile) * tile
    rows: list[list[int]] = []
    for sequence in draw(st.permutations(range(len(sequences)))):
        size = sequences.ids.lengths[sequence]
        fitting = [row for row in rows if sequences.ids.lengths[row].sum() + size <= length]
        if fitting:
            fitting[0].append(sequence)
        else:
            rows.append([sequence])
    return sequences, [np.array(row) for row in rows], length


def lay(drawn: tuple[Sequences, Rows, int]) -> PackedBatch:
    """Pack what :func:`packed_rows` drew."""
    sequences, rows, length = drawn
    return pack_sequences(sequences, rows, PAD_ID, length=length)


@dataclass(frozen=True)
class Token:
    """One token of a packed row, in the terms of the sequences: see :class:`Sequences`."""

    id: int
    sequence: int
    branch: int
    place: int
    begin: int
    leave: int

    @property
    def position(self) -> int:
        """Its position in the single prompt it belongs to."""
        return self.place if self.branch == TRUNK else self.leave + self.place - self.branch


def tokens_of(sequences: Sequences, row: npt.NDArray[np.int64]) -> list[Token]:
    """Return the tokens of one row, padding left out."""
    tokens: list[Token] = []
    for sequence in row.tolist():
        begin = len(tokens)
        own = np.flatnonzero(sequences.row == sequence)
        branches = [(int(sequences.branch[v]), int(sequences.leave[v])) for v in own]
        for place, token in enumerate(sequences.ids[sequence].tolist()):
            branch, leave = TRUNK, 0
            for start, left in branches:
                if start != NO_BRANCH and place >= start:
                    branch, leave = start, left
            tokens.append(Token(token, sequence, branch, place, begin, leave))
    return tokens


def sees(query: Token, key: Token) -> bool:
    """The definition of exact sharing."""
    if query.sequence != key.sequence or key.place > query.place:
        return False
    return key.branch == query.branch or (key.branch == TRUNK and key.place < query.leave)


def visible(sequences: Sequences, rows: Rows, length: int) -> torch.Tensor:
    """What every token may see by definition: shape ``(rows, length, length)``, query then key."""
    found = torch.zeros(len(rows), length, length, dtype=torch.bool)
    for number, row in enumerate(rows):
        tokens = tokens_of(sequences, row)
        seen = [[sees(query, key) for key in tokens] for query in tokens]
        found[number, : len(tokens), : len(tokens)] = torch.tensor(seen)
    return found


def read_visible(packed: Packed) -> torch.Tensor:
    """What every token may see by the arrays of packed rows; padding sees padding."""
    place = torch.arange(packed.ids.shape[1])
    segment, parent, stop = (t[:, :, None] for t in (packed.segment, packed.parent, packed.stop))
    theirs = packed.segment[:, None, :]
    own = (segment == theirs) & (place[None, None, :] <= place[None, :, None])
    return own | ((parent == theirs) & (place[None, None, :] < stop))
