"""Which sequences lie together in one packed row."""

from __future__ import annotations

import bisect
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.errors import LengthError

Ints = npt.NDArray[np.int64]


TILE: Final = 128
"""Tokens of one tile of attention on a GPU; rows hold whole tiles."""


def whole_tiles(tokens: int) -> int:
    """Return a row's length: at least ``tokens``, in whole tiles."""
    return -(-tokens // TILE) * TILE


def pack(lengths: Ints, row_length: int) -> list[Ints]:
    """Assign sequences to rows, each whole, every sequence to exactly one row.

    Longest first, each sequence goes to the row it fills best (best fit, decreasing).

    Args:
        lengths: Tokens of each sequence, shape ``(b,)``.
        row_length: Tokens of a row.

    Returns:
        The sequences of each row.

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
    # Rows by the room they have left; the rooms that occur, in ascending order.
    with_room: dict[int, list[int]] = {}
    rooms: list[int] = []
    for sequence, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        place = bisect.bisect_left(rooms, length)
        if place == len(rooms):
            row, room = len(rows), row_length
            rows.append([])
        else:
            room = rooms[place]
            row = with_room[room].pop()
            if not with_room[room]:
                rooms.pop(place)
        rows[row].append(sequence)
        left = room - length
        waiting = with_room.setdefault(left, [])
        if not waiting:
            bisect.insort(rooms, left)
        waiting.append(row)
    return [np.array(row, dtype=np.int64) for row in rows]
