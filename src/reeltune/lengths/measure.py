"""Lengths of prompts, of the sequences that share their histories, and of packed rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reeltune.attention.packing import pack
from reeltune.config.schema import Config
from reeltune.data.columns import TRAIN, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.domain import INTERVIEW, PromptSettings, Renderer
from reeltune.lengths.report import LengthReport, describe_lengths
from reeltune.prompts.pieces import PromptTokens, char_pieces
from reeltune.prompts.rows import (
    ANSWER_TOKENS,
    Selection,
    choose_blocks,
    held_out_rows,
    train_rows,
)

Ints = npt.NDArray[np.int64]


def char_lengths(
    folder: PreparedFolder, settings: PromptSettings, split: str, percentiles: Sequence[float]
) -> LengthReport:
    """Describe the characters of every example's messages, without the chat template."""
    pieces = char_pieces(Renderer(settings), folder.items)
    lengths = pieces.lengths(folder.timelines, folder.examples(split))
    return describe_lengths(lengths, percentiles, "characters")


def token_lengths(
    folder: PreparedFolder,
    tokens: PromptTokens,
    split: str,
    percentiles: Sequence[float],
    max_length: int,
) -> LengthReport:
    """Describe the tokens, answer included, of every example of a split."""
    timelines, examples = folder.timelines, folder.examples(split)
    if tokens.differing:
        lengths = tokens.prompts(timelines, examples).lengths
    else:
        lengths = tokens.pieces.lengths(timelines, examples)
    return describe_lengths(lengths + ANSWER_TOKENS, percentiles, "tokens", max_length)


@dataclass(frozen=True)
class BlockLengths:
    """Tokens of the rows of one selection, in blocks.

    Attributes:
        prompts: Of the single prompt each prediction equals, without its answer, shape ``(n,)``.
        sequences: Of each sequence, with the answers in it, shape ``(b,)``.
        answered: Whether each prompt is followed by its answer.
    """

    prompts: Ints
    sequences: Ints
    answered: bool

    @property
    def per_prediction(self) -> float:
        """Tokens read per prediction."""
        return float(self.sequences.sum() / len(self.prompts))

    @property
    def per_prediction_alone(self) -> float:
        """Tokens read per prediction if each prompt were a sequence of its own."""
        return float(self.prompts.mean()) + self.answered


@dataclass(frozen=True)
class Packing:
    """How sequences fill rows of equal length.

    Attributes:
        rows: The number of rows.
        filled: The share of their tokens that is not padding.
    """

    rows: int
    filled: float


def rows_read(config: Config, split: str) -> Selection:
    """Return the rows of a split that training or, for ``test``, evaluation reads."""
    if split == TRAIN:
        return train_rows(config)
    validating = split == VALIDATION
    limit = config.data.max_eval_examples if validating else config.evaluation.max_examples
    return held_out_rows(config, split, limit)


def block_lengths(
    folder: PreparedFolder, tokens: PromptTokens, selection: Selection
) -> BlockLengths:
    """Return the lengths of a selection in blocks, without assembling its sequences."""
    blocks = choose_blocks(folder, selection)
    timelines, examples = folder.timelines, blocks.examples
    answer = int(selection.answered)
    if tokens.differing:
        prompts = tokens.prompts(timelines, examples).lengths
        return BlockLengths(prompts, prompts + answer, selection.answered)
    pieces = tokens.pieces
    prompts = pieces.lengths(timelines, examples)
    last = blocks.offsets[1:] - 1
    sequences = prompts[last] + answer
    if tokens.renderer.settings.form != INTERVIEW:
        branches = pieces.query_lengths(timelines, examples.target) + answer
        # A block's last prompt holds the trunk and the last branch; add the other branches.
        sequences += np.add.reduceat(branches, blocks.offsets[:-1]) - branches[last]
    return BlockLengths(prompts, sequences, selection.answered)


def block_prompts(
    lengths: BlockLengths, percentiles: Sequence[float], max_length: int
) -> LengthReport:
    """Describe the prompts that the predictions of blocks equal, answer included."""
    return describe_lengths(lengths.prompts + ANSWER_TOKENS, percentiles, "tokens", max_length)


def describe_packing(sequences: Ints, pack_length: int) -> Packing:
    """Return how many rows sequences fill, and how well, packed longest first.

    Training packs in a random order, which fills rows slightly less.

    Args:
        sequences: Tokens of each, shape ``(b,)``.
        pack_length: Tokens of a row.

    Raises:
        LengthError: A sequence is longer than a row.
    """
    rows = len(pack(sequences, pack_length))
    return Packing(rows, float(sequences.sum() / (rows * pack_length)))
