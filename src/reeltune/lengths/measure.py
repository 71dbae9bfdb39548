"""Distributions of the lengths of prompts, of sequences with shared histories, of packed rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from reeltune.attention.packing import pack
from reeltune.config.schema import Config
from reeltune.data.columns import TRAIN, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.data.timelines import Ints
from reeltune.domain import INTERVIEW, PromptSettings, Renderer
from reeltune.errors import ConfigError
from reeltune.prompts.pieces import PromptTokens, char_pieces
from reeltune.prompts.rows import (
    ANSWER_TOKENS,
    Selection,
    choose_blocks,
    held_out_rows,
    tokenize,
    train_rows,
)

_MAX_BINS = 12


@dataclass(frozen=True)
class LengthReport:
    """The distribution of some lengths.

    Attributes:
        unit: ``tokens``, the answer included, or ``characters`` of the messages.
        percentiles: Each with the smallest length that this share does not exceed.
        histogram: Counts per bin, shape ``(bins,)``.
        edges: The first length of each bin, then the first beyond the last, shape ``(bins + 1,)``.
            Bins are equally wide; the last may reach beyond the maximum.
        exceeding: How many are longer than the limit, if there is one.
    """

    unit: str
    count: int
    minimum: int
    maximum: int
    mean: float
    percentiles: tuple[tuple[float, int], ...]
    histogram: Ints
    edges: Ints
    limit: int | None
    exceeding: int


def describe_lengths(
    lengths: Ints, percentiles: Sequence[float], unit: str, limit: int | None = None
) -> LengthReport:
    """Return the distribution of one or more lengths; percentiles are from 0 to 100."""
    ordered = np.sort(lengths)
    # Exact fractions: numpy's inverted_cdf computes 0.07 * 100 > 7 and takes the eighth.
    ranks = [math.ceil(Fraction(str(p)) * len(lengths) / 100) for p in percentiles]
    at = [int(ordered[max(rank, 1) - 1]) for rank in ranks]
    minimum, maximum = int(ordered[0]), int(ordered[-1])
    width = math.ceil((maximum - minimum + 1) / _MAX_BINS)
    edges = np.arange(minimum, maximum + width + 1, width)
    return LengthReport(
        unit=unit,
        count=len(lengths),
        minimum=minimum,
        maximum=maximum,
        mean=float(lengths.mean()),
        percentiles=tuple(zip(percentiles, at, strict=True)),
        histogram=np.diff(np.searchsorted(ordered, edges)),
        edges=edges,
        limit=limit,
        exceeding=int((lengths > limit).sum()) if limit is not None else 0,
    )


def parse_percentiles(text: str) -> tuple[float, ...]:
    """Parse a list such as ``50,90,99.5``.

    Raises:
        ConfigError: An entry is not a number from 0 to 100.
    """
    values = []
    for part in text.split(","):
        try:
            value = float(part)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 100:
            raise ConfigError(
                f"{part.strip()!r} is not a percentile",
                code="bad_percentile",
                where="--percentiles",
                hint="Give numbers from 0 to 100, separated by commas",
            )
        values.append(value)
    return tuple(values)


def char_lengths(
    folder: PreparedFolder, settings: PromptSettings, split: str, percentiles: Sequence[float]
) -> LengthReport:
    """Describe the characters of every example's messages, without the chat template."""
    pieces = char_pieces(Renderer(settings), folder.items, folder.tags)
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
        prompts: Each prediction's prompt alone, without its answer, shape ``(n,)``.
        sequences: Each sequence with its answers, shape ``(b,)``.
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
        """Tokens read per prediction without shared histories."""
        return float(self.prompts.mean()) + self.answered


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
    """Return the lengths of a selection in blocks, assembled only if some hide their signals."""
    blocks = choose_blocks(folder, selection)
    if selection.hide_signals:
        sequences = tokenize(folder, tokens, blocks, selection).sequences
        lengths = sequences.prompt_lengths, sequences.ids.lengths
        return BlockLengths(*lengths, selection.answered)
    timelines, examples = folder.timelines, blocks.examples
    answer = int(selection.answered)
    if tokens.differing:
        prompts = tokens.prompts(timelines, examples).lengths
        return BlockLengths(prompts, prompts + answer, selection.answered)
    prompts = tokens.pieces.lengths(timelines, examples)
    last = blocks.offsets[1:] - 1
    sequences = prompts[last] + answer
    if tokens.renderer.settings.form != INTERVIEW:
        branches = tokens.pieces.query_lengths(timelines, examples.target) + answer
        # A block's last prompt holds the trunk and the last branch; add the other branches.
        sequences += np.add.reduceat(branches, blocks.offsets[:-1]) - branches[last]
    return BlockLengths(prompts, sequences, selection.answered)


def describe_packing(sequences: Ints, pack_length: int) -> tuple[int, float]:
    """Return how many rows sequences fill, packed longest first, and the share without padding.

    Training packs in a random order, which fills rows slightly less.

    Args:
        sequences: Lengths in tokens, shape ``(b,)``.
        pack_length: Tokens of a row.

    Raises:
        LengthError: A sequence is longer than a row.
    """
    rows = len(pack(sequences, pack_length))
    return rows, float(sequences.sum() / (rows * pack_length))
