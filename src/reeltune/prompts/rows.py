"""Tokenized examples with their labels, for training and scoring."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from reeltune.config.schema import Config, PromptSection
from reeltune.data.columns import TRAIN, VALIDATION
from reeltune.data.folder import AUXILIARY_FILE, PreparedFolder
from reeltune.data.timelines import Blocks, cut_blocks, sample_blocks
from reeltune.domain import GP_HYPERPARAMETERS, PROMPT_VERSION, PromptSettings
from reeltune.errors import DataError, LengthError
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.sequences import Sequences, concatenate_sequences
from reeltune.prompts.sharing import answer_rows, block_sequences
from reeltune.ragged import join
from reeltune.seeds import sample_rows, stream

ANSWER_TOKENS = 2
"""Tokens an example adds to its prompt in training: the answer and the end of the message."""


def layout_name(share_history: bool) -> str:
    """Return the name of a layout in files: ``blocks`` if examples share histories."""
    return "blocks" if share_history else "single"


@dataclass(frozen=True)
class TokenRows:
    """Token sequences with their labels; arrays have one entry per example, in order."""

    sequences: Sequences
    liked: npt.NDArray[np.bool_]
    user_id: npt.NDArray[np.int64]
    item_id: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.liked)


@dataclass(frozen=True)
class Selection:
    """The examples to read from a prepared folder, and whether they share their histories.

    Attributes:
        limit: The most examples; None for all.
        seed: Seed of the sample.
        share_history: Whether examples form blocks that share a history.
        block_size: The most examples of a block. Samples are made of blocks in any case.
        answered: Whether sequences contain the answers, as training needs.
        hide_signals: Share of the sequences that show no signals.
    """

    split: str
    limit: int | None
    seed: int
    share_history: bool
    block_size: int
    answered: bool = False
    hide_signals: float = 0.0

    def hidden(self, count: int) -> npt.NDArray[np.int64]:
        """Return which of ``count`` sequences show no signals, ascending; the seed draws them."""
        return sample_rows(count, round(self.hide_signals * count), self.seed, "hidden signals")


def prompt_settings(folder: PreparedFolder, section: PromptSection) -> PromptSettings:
    """Return the prompt's settings: the data's scale and threshold, the rest as configured."""
    auxiliary = folder.meta["files"].get(AUXILIARY_FILE, {})
    expected = "expected" in section.signals  # no other signal depends on the process
    return replace(
        folder.prompt_settings,
        genres=section.genres,
        form=section.form,
        signals=section.signals,
        item_text_tokens=section.item_text_tokens,
        version=PROMPT_VERSION,
        gaussian_process=folder.gaussian_process if expected else GP_HYPERPARAMETERS,
        auxiliary=auxiliary.get("sha256") if section.signals else None,
    )


def train_rows(config: Config) -> Selection:
    """Return the training examples of a configuration."""
    train, limit = config.train, config.data.max_train_examples
    return Selection(
        TRAIN,
        limit,
        train.seed,
        train.share_history,
        train.block_size,
        answered=True,
        hide_signals=train.hide_signals,
    )


def held_out_rows(config: Config, split: str, limit: int | None) -> Selection:
    """Return the validation or test examples that a configuration scores."""
    return Selection(
        split, limit, config.train.seed, config.scoring.share_history, config.train.block_size
    )


def validation_rows(config: Config) -> Selection:
    """Return the validation rows that are scored during training."""
    return held_out_rows(config, VALIDATION, config.data.max_eval_examples)


def choose_blocks(folder: PreparedFolder, selection: Selection) -> Blocks:
    """Return the examples of a split in blocks, or a sample of them.

    A sample is made of whole blocks, the last one shortened to the limit. It depends on split,
    limit, seed and block size alone.

    Raises:
        DataError: The split is empty.
    """
    split, limit = selection.split, selection.limit
    examples = folder.examples(split)
    if not len(examples):
        raise DataError(
            f"there is no {split} example",
            code="empty_split",
            where=str(folder.path),
            hint="Prepare the data with a larger share for this split",
        )
    blocks = cut_blocks(folder.ratings, examples, selection.block_size)
    if limit is not None and limit < len(examples):
        order = stream(selection.seed, f"{split} sample").permutation(len(blocks))
        blocks = sample_blocks(blocks, order, limit)
    if selection.share_history:
        return blocks
    alone = folder.with_own_history(blocks.examples.target)
    return Blocks(alone, np.arange(len(alone) + 1))


def prompt_variants(tokens: PromptTokens, selection: Selection) -> list[PromptTokens]:
    """Return the prompts of a selection: as configured and, if any hide them, without signals."""
    return [tokens, tokens.without_signals] if selection.hide_signals else [tokens]


def tokenize(
    folder: PreparedFolder, tokens: PromptTokens, blocks: Blocks, selection: Selection
) -> TokenRows:
    """Return the examples as token rows; none share a history if pieces cannot be used."""
    timelines, target = folder.timelines, blocks.examples.target
    answers = tokens.answers if selection.answered else None
    variants = prompt_variants(tokens, selection)
    if selection.share_history and not any(each.differing for each in variants):
        form = tokens.renderer.settings.form
        parts = [block_sequences(v.pieces, timelines, blocks, form, answers) for v in variants]
    else:
        prompts = [each.prompts(timelines, blocks.examples) for each in variants]
        if answers is not None:
            words = answer_rows(timelines, target, answers)
            prompts = [join(each, words) for each in prompts]
        parts = [Sequences.single(each, answered=answers is not None) for each in prompts]
    sequences = parts[0]
    if len(parts) > 1:
        row = np.arange(len(sequences))
        row[selection.hidden(len(row))] += len(row)
        sequences = concatenate_sequences(parts).take(row)
    return TokenRows(
        sequences=sequences,
        liked=timelines.liked[target],
        user_id=timelines.user_id[target],
        item_id=folder.item_keys[timelines.item_idx[target]],
    )


def refuse_too_long(lengths: npt.NDArray[np.int64], max_length: int) -> None:
    """Refuse prompts that exceed ``max_length`` tokens with their answer.

    Raises:
        LengthError: Names their number and the setting that admits them.
    """
    needed = lengths + ANSWER_TOKENS
    too_long = int((needed > max_length).sum())
    if too_long:
        raise LengthError(
            f"{too_long} of {len(lengths)} examples exceed max_length {max_length}; "
            f"the longest has {int(needed.max())} tokens",
            code="prompt_too_long",
            where="data.max_length",
            hint=f"Set data.max_length to at least {int(needed.max())}, lower "
            "train.block_size, or prepare with a smaller --history-len",
        )
