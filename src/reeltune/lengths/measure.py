"""Measure the prompt lengths of a prepared folder, in tokens or in characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from reeltune.data.folder import PreparedFolder
from reeltune.domain import PromptSettings, Renderer
from reeltune.lengths.report import LengthReport, describe_lengths
from reeltune.prompts.pieces import PromptTokens, char_pieces
from reeltune.prompts.rows import ANSWER_TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def char_lengths(
    folder: PreparedFolder, settings: PromptSettings, split: str, percentiles: Sequence[float]
) -> LengthReport:
    """Describe the characters of the turns of every example of a split."""
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
    examples = folder.examples(split)
    lengths: npt.NDArray[np.int64] = (
        tokens.prompts(folder.timelines, examples).lengths
        if tokens.differing
        else tokens.pieces.lengths(folder.timelines, examples)
    )
    return describe_lengths(lengths + ANSWER_TOKENS, percentiles, "tokens", max_length)


def prompt_tokens(
    folder: PreparedFolder, settings: PromptSettings, tokenizer: PreTrainedTokenizerBase
) -> PromptTokens:
    """Return the tokenized pieces of a prepared folder's films."""
    return PromptTokens(tokenizer, Renderer(settings), folder.items)
