"""What is evaluated: a base model, with or without a trained adapter, and the rows it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from reeltune.config import Config
from reeltune.data.folder import PreparedFolder
from reeltune.models.choices import make_choices
from reeltune.models.load import BaseModel, load_adapter, load_base
from reeltune.models.prompt_record import refuse_other_prompt
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.renderer import Form, Renderer
from reeltune.prompts.rows import (
    TokenRows,
    choose_blocks,
    held_out_rows,
    prompt_settings,
    refuse_too_long,
    tokenize,
)
from reeltune.prompts.sequences import Sequences
from reeltune.runs.folder import RunFolder
from reeltune.runs.log import LOGGER
from reeltune.scoring.scorer import Scorer


@dataclass(frozen=True)
class Subject:
    """A loaded model with the data it is to be asked about.

    Attributes:
        config: As used: model, quantization and prompt are those of the adapter's run.
        folder: The prepared data.
        base: The base model and its tokenizer.
        model: The base model itself, or with the adapter on it.
        tokens: Turns examples into prompts.
    """

    config: Config
    folder: PreparedFolder
    base: BaseModel
    model: PreTrainedModel | PeftModel
    tokens: PromptTokens

    def scorer(self, sequences: Sequences) -> Scorer:
        """Return the one scorer on this model, proven on some of what it is to score."""
        scorer = Scorer(self.model, self.tokens.answers, self.config.scoring.tokens_per_batch)
        scorer.check(sequences)
        return scorer

    def rows(self, split: str) -> TokenRows:
        """Return the rows to ask: a whole split, or the sample the configuration limits it to."""
        selection = held_out_rows(self.config, split, self.config.evaluation.max_examples)
        blocks = choose_blocks(self.folder, selection)
        rows = tokenize(self.folder, self.tokens, blocks, selection)
        refuse_too_long(rows.sequences.prompt_lengths, self.config.data.max_length)
        return rows

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """Switch the adapter off inside the block: the same weights in memory, untuned."""
        if isinstance(self.model, PeftModel):
            with self.model.disable_adapter():
                yield
        else:
            yield


def load_subject(config: Config, adapter: Path | None, form: Form | None = None) -> Subject:
    """Load the model and the data.

    Args:
        config: Names the data, and the model where there is no run that says more.
        adapter: A folder with a trained adapter; None for the base model alone.
        form: Asks in this form, whatever form the adapter was trained in.

    Raises:
        ReeltuneError: Data, model or adapter is missing, or the adapter was trained on another
            prompt.
    """
    if adapter is not None:
        config = _as_trained(config, adapter)
    folder = PreparedFolder.open(config.data.prepared_dir)
    settings = prompt_settings(folder, config.prompt)
    if adapter is not None:
        refuse_other_prompt(adapter, settings, folder.history_len)
    if form is not None and form != settings.form:
        LOGGER.info("asked in the form %s; without this, it would be %s", form, settings.form)
        settings = replace(settings, form=form)
    choices = make_choices(config)
    for sentence in choices.sentences():
        LOGGER.info(sentence)
    base = load_base(config, choices)
    model = base.model if adapter is None else load_adapter(base, adapter)
    model.requires_grad_(False)
    tokens = PromptTokens(base.tokenizer, Renderer(settings), folder.films)
    torch.manual_seed(config.train.seed)
    return Subject(config, folder, base, model, tokens)


def _as_trained(config: Config, adapter: Path) -> Config:
    """Return the configuration with the model, quantization and prompt the adapter's run had."""
    run = RunFolder(adapter)
    if not run.record_file.is_file():
        return config
    trained = run.config()
    parts = ("model", "quantization", "prompt")
    differing = [part for part in parts if getattr(config, part) != getattr(trained, part)]
    if differing:
        LOGGER.info("as in training, not as in the configuration: %s", ", ".join(differing))
    # How far histories grow belongs to what was learned.
    train = config.train.model_copy(update={"block_targets": trained.train.block_targets})
    return config.model_copy(
        update={part: getattr(trained, part) for part in parts} | {"train": train}
    )
