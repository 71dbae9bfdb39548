"""Collators: from row numbers to batches.

The tokenized sequences stay in memory-mapped arrays; the trainer's data set holds row numbers only,
so that no token passes through a Python list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch

from reeltune.attention.packed import pack_sequences
from reeltune.attention.packing import pack
from reeltune.prompts.chat import AnswerTokens
from reeltune.prompts.rows import TokenRows

ROW: Final = "row"
"""The only column of the trainer's data set: row numbers."""

Batch = dict[str, Any]


@dataclass(frozen=True)
class Labels:
    """Makes the target tokens: the answer, and with ``end`` the end of the turn too."""

    answers: AnswerTokens
    end: bool

    def __call__(self, liked: npt.NDArray[np.bool_]) -> Batch:
        """Return the labels, shape ``(n, 2)`` with the end of the turn, else ``(n, 1)``.

        The trainer counts them under either name; they are already shifted to the next token.
        """
        words = np.where(liked, self.answers.yes, self.answers.no)
        columns = [words, np.full_like(words, self.answers.end)] if self.end else [words]
        labels = torch.from_numpy(np.stack(columns, axis=1))
        return {"labels": labels, "shift_labels": labels}


class Collator(Protocol):
    """Makes batches of the rows it holds.

    Every batch has ``answer_position`` ``(n,)``, flat indices (``row * length + index``); the
    labels; and ``tokens``, the count without padding.
    """

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Tokens of each row, shape ``(rows,)``."""
        ...

    def __call__(self, rows: Sequence[dict[str, Any]]) -> Batch:
        """Return the batch of some row numbers."""
        ...


@dataclass(frozen=True)
class PlainCollator:
    """A :class:`Collator` with one prompt and its answer per row, padded on the right.

    Adds ``input_ids`` and ``attention_mask``, both ``(rows, length)``.
    """

    rows: TokenRows
    labels: Labels
    pad_id: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Tokens of each row, shape ``(rows,)``."""
        return self.rows.sequences.ids.lengths

    def __call__(self, rows: Sequence[dict[str, Any]]) -> Batch:
        """Return the batch of some examples."""
        chosen = np.array([row[ROW] for row in rows], dtype=np.int64)
        prompts = self.rows.sequences.take(chosen)
        lengths = prompts.ids.lengths
        width = int(lengths.max())
        mask = np.arange(width)[None, :] < lengths[:, None]
        ids = np.full(mask.shape, self.pad_id, dtype=np.int64)
        ids[mask] = prompts.ids.values
        answer_position = np.arange(len(prompts)) * width + prompts.answer_position
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask.astype(np.int64)),
            "answer_position": torch.from_numpy(answer_position),
            **self.labels(self.rows.liked[chosen]),
            "tokens": int(lengths.sum()),
        }


@dataclass
class PackCollator:
    """A :class:`Collator` with several sequences per packed row.

    Adds ``packed``, a :class:`reeltune.attention.packed.Packed`, and ``sequence`` ``(n,)``, the
    sequence of each answer position.

    Attributes:
        row_length: Tokens of a row, in whole tiles of attention.
        batch_size: Rows that every batch is padded to, and each row to ``row_length``, for compiled
            layers, which are compiled for every shape; None does not pad.

    Raises:
        LengthError: A sequence is longer than a row.
    """

    rows: TokenRows
    labels: Labels
    pad_id: int
    row_length: int
    batch_size: int | None

    def __post_init__(self) -> None:
        self.packs = pack(self.rows.sequences.ids.lengths, self.row_length)

    def __len__(self) -> int:
        return len(self.packs)

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Tokens of each row, shape ``(rows,)``."""
        lengths = self.rows.sequences.ids.lengths
        return np.array([lengths[pack].sum() for pack in self.packs], dtype=np.int64)

    def __call__(self, rows: Sequence[dict[str, Any]]) -> Batch:
        """Return the batch of some packed rows."""
        chosen = [self.packs[row[ROW]] for row in rows]
        length = None
        if self.batch_size is not None:
            length = self.row_length
            chosen += [np.empty(0, dtype=np.int64)] * (self.batch_size - len(chosen))
        batch = pack_sequences(self.rows.sequences, chosen, self.pad_id, length=length)
        return {
            "packed": batch.packed,
            "answer_position": batch.answer_position,
            "sequence": torch.from_numpy(self.rows.sequences.row[batch.answer_index]),
            **self.labels(self.rows.liked[batch.answer_index]),
            "tokens": batch.tokens,
        }


def fullest_batch(collator: Collator, size: int) -> Batch:
    """Return the batch of ``size`` rows with the most tokens."""
    fullest = np.argsort(-collator.sizes, kind="stable")[:size]
    return collator([{ROW: int(row)} for row in fullest])


def tokens_held(batch: Batch) -> int:
    """Return the number of tokens in a batch, padding included."""
    return int((batch["packed"].ids if "packed" in batch else batch["input_ids"]).numel())
