"""Assignment of sequences to packed rows."""

from __future__ import annotations

import bisect
from typing import Final

import numpy as np

from reeltune.errors import LengthError
from reeltune.ragged import Ints

TILE: Final = 128
"""Tokens of an attention tile on a GPU; rows are whole tiles."""


def whole_tiles(tokens: int) -> int:
    """Return the length of a row of whole tiles that holds ``tokens``."""
    return -(-tokens // TILE) * TILE


def pack(lengths: Ints, row_length: int) -> list[Ints]:
    """Return the sequences of each row by best-fit decreasing bin packing.

    Raises:
        LengthError: A sequence is longer than a row.
    """
    if len(lengths) and int(lengths.max()) > row_length:
        raise LengthError(
            f"a sequence of {int(lengths.max())} tokens does not fit in a row of {row_length}",
            code="sequence_too_long",
            where="train.pack_length",
            hint=f"Set train.pack_length to at least {whole_tiles(int(lengths.max()))}, or lower "
            "train.block_size",
        )
    order = np.argsort(-lengths, kind="stable")
    rows: list[list[int]] = []
    # Rows by the space left in them, and the spaces that occur, ascending.
    rows_by_space: dict[int, list[int]] = {}
    spaces: list[int] = []
    for sequence, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        index = bisect.bisect_left(spaces, length)
        if index == len(spaces):
            row, space = len(rows), row_length
            rows.append([])
        else:
            space = spaces[index]
            row = rows_by_space[space].pop()
            if not rows_by_space[space]:
                spaces.pop(index)
        rows[row].append(sequence)
        left = space - length
        same_space = rows_by_space.setdefault(left, [])
        if not same_space:
            bisect.insort(spaces, left)
        same_space.append(row)
    return [np.array(row, dtype=np.int64) for row in rows]
