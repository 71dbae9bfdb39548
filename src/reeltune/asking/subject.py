"""What is evaluated: a base model, with or without a trained adapter, and the rows it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from reeltune.config import Config
from reeltune.data.folder import PreparedFolder
from reeltune.domain import Form, Renderer
from reeltune.models.choices import make_choices
from reeltune.models.load import BaseModel, load_adapter, load_base
from reeltune.models.prompt_record import refuse_other_prompt
from reeltune.prompts.pieces import PromptTokens
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
from reeltune.scoring.calibration import Calibrate, calibrate_with
from reeltune.scoring.scorer import Scorer
from reeltune.signals.folder import open_prepared


@dataclass(frozen=True)
class Asked:
    """Rows to judge.

    Attributes:
        event: Each row's candidate, as a place among the timelines' events, shape ``(n,)``.
        rows: Where each verdict is asked.
    """

    event: npt.NDArray[np.int64]
    rows: TokenRows


@dataclass(frozen=True)
class Subject:
    """A loaded model with the data it is to be asked about.

    Attributes:
        config: As used: model, quantization and prompt are those of the adapter's run.
        folder: The prepared data.
        base: The base model and its tokenizer.
        model: The base model itself, or with the adapter on it.
        tokens: Turns examples into prompts.
        calibrate: What is made of the P(Yes) of the adapter; None tells it as the model gives it.
        learned_from: Training rows the adapter has learned from; None where its run does not say.
    """

    config: Config
    folder: PreparedFolder
    base: BaseModel
    model: PreTrainedModel | PeftModel
    tokens: PromptTokens
    calibrate: Calibrate | None = None
    learned_from: int | None = None

    def scorer(self, sequences: Sequences) -> Scorer:
        """Return the one scorer on this model, proven on some of what it is to score.

        Inside :meth:`without_adapter` its verdicts are not calibrated: what was learned on the
        verdicts of the adapter says nothing about those of the base model.
        """
        limit = self.config.scoring.tokens_per_batch
        calibrate = self.calibrate if self._adapter_is_on else None
        scorer = Scorer(self.model, self.tokens.answers, limit, calibrate)
        scorer.check(sequences)
        return scorer

    @property
    def _adapter_is_on(self) -> bool:
        """Whether there is an adapter and it is switched on."""
        return isinstance(self.model, PeftModel) and self.model.get_model_status().enabled is True

    @property
    def tuned(self) -> bool:
        """Whether there is an adapter, switched on or not."""
        return isinstance(self.model, PeftModel)

    def rows(self, split: str) -> TokenRows:
        """Return the rows to ask: a whole split, or the sample the configuration limits it to."""
        return self.asked(split, self.config.evaluation.max_examples).rows

    def asked(self, split: str, limit: int | None) -> Asked:
        """Return the rows of a split with the events they judge.

        Args:
            split: ``validation`` or ``test``.
            limit: How many rows to sample; None for all.

        Raises:
            LengthError: A row is longer than ``data.max_length``.
        """
        selection = held_out_rows(self.config, split, limit)
        blocks = choose_blocks(self.folder, selection)
        rows = tokenize(self.folder, self.tokens, blocks, selection)
        refuse_too_long(rows.sequences.prompt_lengths, self.config.data.max_length)
        return Asked(blocks.examples.target, rows)

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """Switch the adapter off inside the block: the same weights in memory, untuned."""
        if isinstance(self.model, PeftModel):
            with self.model.disable_adapter():
                yield
        else:
            yield


def load_subject(
    config: Config, adapter: Path | None, form: Form | None = None, *, calibrated: bool = True
) -> Subject:
    """Load the model and the data.

    Args:
        config: Names the data, and the model where there is no run that says more.
        adapter: A folder with a trained adapter; None for the base model alone.
        form: Asks in this form, whatever form the adapter was trained in.
        calibrated: Whether ``scoring.calibration`` counts; False tells P(Yes) as the model gives
            it, which is what a calibration is learned from.

    Raises:
        ReeltuneError: Data, model, adapter or its calibration is missing, or made for another
            prompt.
    """
    if adapter is not None:
        config = as_trained(config, adapter)
    folder = open_prepared(config)
    settings = prompt_settings(folder, config.prompt)
    if adapter is not None:
        refuse_other_prompt(adapter, settings, folder.history_len)
    if form is not None and form != settings.form:
        LOGGER.info("asked in the form %s; without this, it would be %s", form, settings.form)
        settings = replace(settings, form=form)
    calibrate = None
    if adapter is not None and calibrated:
        section = config.scoring
        calibrate = calibrate_with(adapter, section.calibration, settings.form, section.layout)
    choices = make_choices(config)
    for sentence in choices.sentences():
        LOGGER.info(sentence)
    base = load_base(config, choices)
    model = base.model if adapter is None else load_adapter(base, adapter)
    model.requires_grad_(False)
    tokens = PromptTokens(base.tokenizer, Renderer(settings), folder.items)
    torch.manual_seed(config.train.seed)
    learned_from = None if adapter is None else _learned_from(RunFolder(adapter))
    return Subject(config, folder, base, model, tokens, calibrate, learned_from)


def _learned_from(run: RunFolder) -> int | None:
    return int(run.record()["rows"]["train"]) if run.record_file.is_file() else None


def as_trained(config: Config, adapter: Path) -> Config:
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
    train = config.train.model_copy(update={"block_size": trained.train.block_size})
    return config.model_copy(
        update={part: getattr(trained, part) for part in parts} | {"train": train}
    )
