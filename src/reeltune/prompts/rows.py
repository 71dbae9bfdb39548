"""Tokenized examples with their labels: what training and scoring read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from reeltune.config.schema import PromptSection
from reeltune.data.folder import Examples, PreparedFolder
from reeltune.errors import DataError, LengthError
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.renderer import PROMPT_VERSION, PromptSettings
from reeltune.ragged import Ragged
from reeltune.seeds import sample_rows

ANSWER_TOKENS = 2
"""What an example adds to its prompt in training: the answer and the end of the turn."""


@dataclass(frozen=True)
class TokenRows:
    """Prompts of examples with what is known of each; all arrays have one entry per example.

    Attributes:
        prompts: Token ids up to where the answer begins.
        liked: The label.
        user_id: Whose example it is.
        film_id: The candidate.
    """

    prompts: Ragged
    liked: npt.NDArray[np.bool_]
    user_id: npt.NDArray[np.int64]
    film_id: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.liked)


def prompt_settings(folder: PreparedFolder, section: PromptSection) -> PromptSettings:
    """Return the words' settings: the data's scale and threshold, the configuration's form."""
    return replace(
        folder.prompt_settings, genres=section.genres, form=section.form, version=PROMPT_VERSION
    )


def choose_examples(folder: PreparedFolder, split: str, limit: int | None, seed: int) -> Examples:
    """Return the examples of a split, or a sample of them that depends on seed and split alone.

    Raises:
        DataError: The split is empty.
    """
    examples = folder.examples(split)
    if not len(examples):
        raise DataError(
            f"there is no {split} example",
            where=str(folder.path),
            mend="Prepare the data with a larger share for this split",
        )
    return examples.take(sample_rows(len(examples), limit, seed, f"{split} sample"))


def tokenize(folder: PreparedFolder, tokens: PromptTokens, examples: Examples) -> TokenRows:
    """Return the examples as token rows."""
    timelines = folder.timelines
    film_ids = np.array([film.film_id for film in folder.films], dtype=np.int64)
    return TokenRows(
        prompts=tokens.prompts(timelines, examples),
        liked=timelines.liked[examples.target],
        user_id=timelines.user_id[examples.target],
        film_id=film_ids[timelines.film_row[examples.target]],
    )


def refuse_too_long(lengths: npt.NDArray[np.int64], max_length: int) -> None:
    """Refuse rows that would not fit, rather than cut them.

    Args:
        lengths: Tokens of each prompt, shape ``(n,)``.
        max_length: Tokens a prompt and its answer may have.

    Raises:
        LengthError: Naming how many are too long and the setting that would admit them.
    """
    needed = lengths + ANSWER_TOKENS
    too_long = int((needed > max_length).sum())
    if too_long:
        raise LengthError(
            f"{too_long} of {len(lengths)} examples exceed max_length {max_length}; "
            f"the longest has {int(needed.max())} tokens",
            where="data.max_length",
            mend=f"Set data.max_length to at least {int(needed.max())}, "
            "or prepare with a smaller --history-len",
        )
