"""From rows chosen by the trainer to a batch of arrays.

The tokenized sequences stay in memory-mapped arrays; what travels through the trainer's data loader
are row numbers, so that no token ever passes through a Python list.
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
"""The column of row numbers that the trainer's data set consists of."""

Batch = dict[str, Any]


@dataclass(frozen=True)
class Labels:
    """Makes the target tokens after each answer position.

    Attributes:
        answers: The ids of the answers.
        end: Whether the end of the turn is learned as well as the answer.
    """

    answers: AnswerTokens
    end: bool

    def __call__(self, liked: npt.NDArray[np.bool_]) -> Batch:
        """Return the labels, shape ``(n, 2)`` with the end of the turn, else ``(n, 1)``.

        The trainer counts labels under the first name and, because they are already those of the
        next token, under the second.
        """
        words = np.where(liked, self.answers.yes, self.answers.no)
        columns = [words, np.full_like(words, self.answers.end)] if self.end else [words]
        found = torch.from_numpy(np.stack(columns, axis=1))
        return {"labels": found, "shift_labels": found}


class Collator(Protocol):
    """Makes batches of the rows it holds.

    Every batch has ``answer_position`` ``(n,)``, flat indices (``row * length + index``) whose
    logits are read; what :class:`Labels` makes; and ``tokens``, the count without padding.
    """

    def __len__(self) -> int:
        """Return how many rows there are."""
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
    """One prompt with its answer per row, padded on the right.

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
        found = self.rows.sequences.take(chosen)
        lengths = found.ids.lengths
        width = int(lengths.max())
        places = np.arange(width)[None, :] < lengths[:, None]
        ids = np.full(places.shape, self.pad_id, dtype=np.int64)
        ids[places] = found.ids.values
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(places.astype(np.int64)),
            "answer_position": torch.from_numpy(
                np.arange(len(found)) * width + found.answer_position
            ),
            **self.labels(self.rows.liked[chosen]),
            "tokens": int(lengths.sum()),
        }


@dataclass(frozen=True)
class PackCollator:
    """Packed rows of several sequences each.

    Adds ``packed``, a :class:`reeltune.attention.packed.Packed`, and ``sequence`` ``(n,)``, the
    sequence of each answer position.

    Attributes:
        rows: The tokenized sequences.
        labels: Makes the labels.
        pad_id: What fills rows up.
        packs: The sequences of each row.
        shape: Rows and tokens of every batch; None for as many as it needs.
    """

    rows: TokenRows
    labels: Labels
    pad_id: int
    packs: list[npt.NDArray[np.int64]]
    shape: tuple[int, int] | None

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
        if self.shape is not None:
            count, length = self.shape
            chosen += [np.empty(0, dtype=np.int64)] * (count - len(chosen))
        laid = pack_sequences(self.rows.sequences, chosen, self.pad_id, length=length)
        return {
            "packed": laid.packed,
            "answer_position": laid.answer_position,
            "sequence": torch.from_numpy(self.rows.sequences.row[laid.answer_index]),
            **self.labels(self.rows.liked[laid.answer_index]),
            "tokens": laid.tokens,
        }


def pack_collator(
    rows: TokenRows,
    labels: Labels,
    pad_id: int,
    row_length: int,
    batch_size: int | None,
) -> PackCollator:
    """Pack sequences into rows, tightly: the trainer shuffles the rows.

    Args:
        rows: The tokenized sequences.
        labels: Makes the labels.
        pad_id: What fills rows up.
        row_length: Tokens a row may hold, in whole tiles of attention.
        batch_size: Rows every batch is filled up to, and each of them to ``row_length``, because
            compiled layers are compiled anew for every shape; None for no more than it needs.
    """
    packs = pack(rows.sequences.ids.lengths, row_length)
    shape = None if batch_size is None else (batch_size, row_length)
    return PackCollator(rows, labels, pad_id, packs, shape)


def fullest_batch(collator: Collator, size: int) -> Batch:
    """Return the batch with the most tokens: memory that suffices for it suffices.

    Args:
        collator: Holds the rows.
        size: Rows of a batch.
    """
    fullest = np.argsort(-collator.sizes, kind="stable")[:size]
    return collator([{ROW: int(row)} for row in fullest])


def tokens_held(batch: Batch) -> int:
    """Return how many tokens a batch's arrays hold, padding included."""
    return int((batch["packed"].ids if "packed" in batch else batch["input_ids"]).numel())
