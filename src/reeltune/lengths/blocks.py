"""What blocks hold, before anything is trained on them: prompts, sequences, packed rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reeltune.attention.packing import pack
from reeltune.config.schema import Config
from reeltune.data.blocks import Blocks
from reeltune.data.columns import TRAIN, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.domain import INTERVIEW
from reeltune.lengths.report import LengthReport, describe_lengths
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import (
    ANSWER_TOKENS,
    Selection,
    choose_blocks,
    held_out_rows,
    train_rows,
)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BlockLengths:
    """Tokens of everything one selection of rows has read.

    Attributes:
        prompts: Of the single prompt each verdict equals, without its answer, shape ``(n,)``.
        sequences: Of each sequence, with the answers that stand in it, shape ``(b,)``.
        answered: Whether every verdict's answer stands behind it.
    """

    prompts: Ints
    sequences: Ints
    answered: bool

    @property
    def per_verdict(self) -> float:
        """Tokens read for each verdict."""
        return float(self.sequences.sum() / len(self.prompts))

    @property
    def per_verdict_alone(self) -> float:
        """Tokens that would be read for each verdict if each prompt were a sequence of its own."""
        return float(self.prompts.mean()) + self.answered


@dataclass(frozen=True)
class Packing:
    """How sequences fill rows of equal length.

    Attributes:
        rows: How many rows there are.
        filled: The share of their tokens that is not padding.
    """

    rows: int
    filled: float


def rows_read(config: Config, split: str) -> Selection:
    """Return which rows of a split training or, for ``test``, evaluation reads."""
    if split == TRAIN:
        return train_rows(config)
    validating = split == VALIDATION
    limit = config.data.max_eval_examples if validating else config.evaluation.max_examples
    return held_out_rows(config, split, limit)


def block_lengths(
    folder: PreparedFolder, tokens: PromptTokens, selection: Selection
) -> BlockLengths:
    """Return the lengths of what is read in blocks, without assembling it.

    Args:
        folder: The prepared data.
        tokens: Turns its examples into tokens.
        selection: Rows in the layout of blocks.
    """
    blocks = choose_blocks(folder, selection)
    timelines, examples = folder.timelines, blocks.examples
    own = int(selection.answered)
    if tokens.differing:
        prompts = tokens.prompts(timelines, examples).lengths
        return BlockLengths(prompts, prompts + own, selection.answered)
    pieces = tokens.pieces
    prompts = pieces.lengths(timelines, examples)
    sequences = prompts[blocks.offsets[1:] - 1] + own
    if tokens.renderer.settings.form != INTERVIEW:
        items = pieces.items.lengths[timelines.item_idx[examples.target]]
        branches = len(pieces.before_candidate) + items + len(pieces.tail) + own
        # The longest prompt holds the history and the last branch; the others come on top.
        sequences += _sums(branches, blocks) - branches[blocks.offsets[1:] - 1]
    return BlockLengths(prompts, sequences, selection.answered)


def block_prompts(
    held: BlockLengths, percentiles: Sequence[float], max_length: int
) -> LengthReport:
    """Describe the prompts that verdicts of blocks equal, answer included."""
    return describe_lengths(held.prompts + ANSWER_TOKENS, percentiles, "tokens", max_length)


def _sums(values: Ints, blocks: Blocks) -> Ints:
    """Return the sum over the examples of each block."""
    return np.add.reduceat(values, blocks.offsets[:-1])


def describe_packing(sequences: Ints, pack_length: int) -> Packing:
    """Return how many rows sequences fill, and how well.

    Training draws the order of its sequences, which packs a little looser than the longest first.

    Args:
        sequences: Tokens of each, shape ``(b,)``.
        pack_length: Tokens of a row.

    Raises:
        LengthError: A sequence is longer than a row.
    """
    rows = len(pack(sequences, pack_length))
    return Packing(rows, float(sequences.sum() / (rows * pack_length)))
