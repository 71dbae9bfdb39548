"""What a training run needs before its first step: model, adapter, tokenized rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from peft import PeftModel

from reeltune.config import Config
from reeltune.data.columns import TRAIN, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.domain import PromptSettings, Renderer
from reeltune.errors import DataError
from reeltune.evaluation.metrics import measure
from reeltune.models.choices import make_choices
from reeltune.models.load import BaseModel, add_adapter, load_base, trainable_share
from reeltune.models.names import TRAIN_CACHE
from reeltune.models.processes import process_state
from reeltune.models.prompt_record import PromptRecord
from reeltune.prompts.chat import AnswerTokens, answer_tokens, chat_frame
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import (
    Selection,
    TokenRows,
    choose_blocks,
    held_out_rows,
    prompt_settings,
    refuse_too_long,
    tokenize,
    train_rows,
)
from reeltune.runs.log import LOGGER
from reeltune.signals.folder import open_prepared
from reeltune.training.cache import key_of_rows, look_up, store

EVAL_CACHE = "eval_preprocessed"


@dataclass(frozen=True)
class TunableModel:
    """A base model with a new adapter, and what is needed to ask it."""

    base: BaseModel
    model: PeftModel
    answers: AnswerTokens


def load_tunable(config: Config) -> TunableModel:
    """Load the base model, set the adapter on it, and say every choice aloud."""
    choices = make_choices(config)
    for sentence in choices.sentences():
        LOGGER.info(sentence)
    base = load_base(config, choices)
    model = add_adapter(base, config)
    trainable, total = trainable_share(model)
    LOGGER.info(
        "trainable: %s of %s parameters (%.2f %%)",
        f"{trainable:,}",
        f"{total:,}",
        100 * trainable / total,
    )
    frame = chat_frame(base.tokenizer, config.prompt.form)
    return TunableModel(base, model, answer_tokens(base.tokenizer, frame))


def open_data(config: Config, *, use_cache: bool = True) -> tuple[PreparedFolder, PromptSettings]:
    """Open the prepared data and settle the words of the prompt.

    Args:
        config: Names them.
        use_cache: Whether signals are read from, and written to, the cache.
    """
    folder = open_prepared(config, use_cache=use_cache)
    return folder, prompt_settings(folder, config.prompt)


def record_of(config: Config, folder: PreparedFolder, settings: PromptSettings) -> PromptRecord:
    """Return what is saved beside the adapter."""
    return PromptRecord(settings, folder.history_len, config.model.name_or_path)


class RowSource:
    """Gives the tokenized rows of training and validation, from the cache where it is fresh.

    Args:
        config: The run's configuration.
        folder: The prepared data.
        settings: The words of the prompt.
        base: Whose tokenizer is used.
    """

    def __init__(
        self, config: Config, folder: PreparedFolder, settings: PromptSettings, base: BaseModel
    ) -> None:
        self.config = config
        self.folder = folder
        self.settings = settings
        self.tokenizer = base.tokenizer
        # Tokenizing every film takes seconds, and a cache hit needs none of it.
        self.prompt_tokens: Callable[[], PromptTokens] = cache(self._prompt_tokens)

    @property
    def train(self) -> Selection:
        """The training rows."""
        return train_rows(self.config)

    @property
    def validation(self) -> Selection:
        """The validation rows that are scored during training."""
        return held_out_rows(self.config, VALIDATION, self.config.data.max_eval_examples)

    def rows(self, selection: Selection) -> TokenRows:
        """Tokenize rows without reading or writing the cache."""
        blocks = choose_blocks(self.folder, selection)
        rows = tokenize(self.folder, self.prompt_tokens(), blocks, selection)
        refuse_too_long(rows.sequences.prompt_lengths, self.config.data.max_length)
        return rows

    def cached(self, selection: Selection) -> TokenRows:
        """Return rows from the cache, filling it first where it is missing or stale.

        Raises:
            LengthError: A prompt is longer than ``data.max_length``.
        """
        name = TRAIN_CACHE if selection.split == TRAIN else EVAL_CACHE
        path = self.config.data.cache_dir / name
        key = key_of_rows(self.folder, self.settings, self.tokenizer, selection)
        with process_state().main_process_first():
            found = look_up(path, key)
            hit = "hit" if found.rows is not None else "miss"
            LOGGER.info("cache %s for %s rows: %s", hit, selection.split, found.reason)
            rows = found.rows
            if rows is None:
                rows = store(path, key, self.rows(selection))
            else:
                refuse_too_long(rows.sequences.prompt_lengths, self.config.data.max_length)
        self._say_rows(selection, rows)
        return rows

    def _say_rows(self, selection: Selection, rows: TokenRows) -> None:
        available = int(self.folder.meta["counts"][selection.split])
        read = len(rows.sequences.ids.values)
        LOGGER.info(
            "%s rows: %d of %d, in %d sequences of %.0f tokens: %.1f tokens for each verdict",
            selection.split,
            len(rows),
            available,
            len(rows.sequences),
            read / len(rows.sequences),
            read / len(rows),
        )

    def _prompt_tokens(self) -> PromptTokens:
        tokens = PromptTokens(self.tokenizer, Renderer(self.settings), self.folder.items)
        if tokens.differing:
            LOGGER.warning(
                "pieces and whole differ for %d of %d films (first: %r): prompts are tokenized "
                "whole, which is slower and just as right",
                len(tokens.differing),
                len(self.folder.items),
                tokens.differing[0].title,
            )
        else:
            LOGGER.info("pieces equal the whole for all %d films", len(self.folder.items))
        return tokens


_NEEDED: Final = {
    "eval_f1": "F1 needs a Yes",
    "eval_auc_per_user_mean": "an AUC within a user needs both answers of one user",
}


def refuse_undefined_metric(rows: TokenRows, metric: str) -> None:
    """Refuse validation rows on which the deciding metric does not exist, before hours are spent.

    Raises:
        DataError: For an AUC all rows, or all rows of each user, have one label; for F1 no row is
            a Yes.
    """
    found = measure(rows.liked, np.zeros(len(rows)), rows.user_id).to_dict()
    if found[metric.removeprefix("eval_")] is None:
        raise DataError(
            f"{metric} is undefined on the {len(rows)} validation rows: {int(rows.liked.sum())} of "
            f"them are Yes, and {_NEEDED.get(metric, 'an AUC needs both answers')}",
            where="train.metric_for_best_model",
            hint="Use more validation rows (data.max_eval_examples), or set "
            "train.metric_for_best_model to eval_log_loss",
        )
