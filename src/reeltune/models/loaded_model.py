"""A loaded model with its data, for training, evaluation and predictions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, cast

import numpy as np
import numpy.typing as npt
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from reeltune.config import Config
from reeltune.config.section import Section
from reeltune.data.folder import TIMELINES_FILE, PreparedFolder
from reeltune.domain import Form, PromptSettings, Renderer
from reeltune.errors import ConfigError, ModelError, Problem
from reeltune.locks import shared
from reeltune.models.adapter import continue_from, load_adapter, refuse_other_lora
from reeltune.models.base_identity import base_of_run, check_base, refuse_missing_folder
from reeltune.models.calibration import Calibrate, calibrate_with
from reeltune.models.choices import make_choices
from reeltune.models.load import (
    BaseModel,
    add_adapter,
    load_base,
    lora_config,
    parameter_counts,
)
from reeltune.models.prompt_record import (
    PromptRecord,
    adapter_process,
    read_prompt_record,
    refuse_other_prompt,
    refuse_other_tokenizer,
)
from reeltune.prompts.chat import (
    TEMPLATE_DATE,
    AnswerTokens,
    answer_tokens,
    chat_frame,
    writes_date,
)
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import (
    Selection,
    TokenRows,
    choose_blocks,
    held_out_rows,
    prompt_settings,
    prompt_variants,
    refuse_too_long,
    tokenize,
)
from reeltune.runs.folder import RunFolder
from reeltune.runs.log import LOGGER
from reeltune.signals.folder import with_signals

_OF_THE_MACHINE: Final = frozenset({"model.dtype", "model.attention", "quantization.allow_cpu"})
"""Keys with which an adapter can be loaded otherwise than it was trained."""

_OTHER_FORM: Final = "; to measure another form: reeltune evaluate --form"


@dataclass(frozen=True)
class SelectedRows:
    """Tokenized rows, with each candidate's event index in the timelines, shape ``(n,)``."""

    event: npt.NDArray[np.int64]
    rows: TokenRows


@dataclass(frozen=True)
class LoadedModel:
    """A base model, with or without adapter, and the prepared data its prompts are made from.

    Attributes:
        config: As used: with an adapter, see :func:`as_trained`.
        model: The base model, with the adapter if there is one.
        calibrate: Calibrates the adapter's P(Yes).
        learned_from: Training rows of the adapter's run; None if unknown.
        shortest_history: Fewest events shown in the adapter's training; None if unknown.
        adapter: The folder of the adapter; None for the base model, and in training.
    """

    config: Config
    folder: PreparedFolder
    base: BaseModel
    model: PreTrainedModel | PeftModel
    settings: PromptSettings
    calibrate: Calibrate | None = None
    learned_from: int | None = None
    shortest_history: int | None = None
    adapter: Path | None = None

    @cached_property
    def answers(self) -> AnswerTokens:
        """The token ids of Yes, No and the end of a message."""
        return answer_tokens(self.base.tokenizer, chat_frame(self.base.tokenizer, self.form))

    @cached_property
    def tokens(self) -> PromptTokens:
        """Turns examples into prompts; the first use tokenizes all items."""
        folder, renderer = self.folder, Renderer(self.settings)
        tokens = PromptTokens(self.base.tokenizer, renderer, folder.items, folder.tags)
        for line in tokens.describe_cut():
            LOGGER.info(line)
        _warn_of_differing(tokens, len(folder.items))
        self._refuse_unknown_tokens(tokens)
        return tokens

    def _refuse_unknown_tokens(self, tokens: PromptTokens) -> None:
        pieces, tokenizer = tokens.pieces, self.base.tokenizer
        others = (tokens.answers.end, tokenizer.pad_token_id or 0)
        head = pieces.heads(np.array([1])).values
        ids = np.concatenate([head, pieces.candidate_items.values, pieces.tail, others])
        embedding = cast("torch.nn.Embedding", self.base.model.get_input_embeddings())
        if ids.max() >= len(embedding.weight):
            raise ModelError(
                f"{tokenizer.convert_ids_to_tokens(int(ids.max()))!r} is token {ids.max()} of the "
                f"tokenizer, and the model has {len(embedding.weight)} tokens",
                code="vocabulary_too_small",
                where=str(tokenizer.name_or_path),
                hint="Use the model's own tokenizer, with a pad_token that the model has",
            )

    @property
    def form(self) -> Form:
        """The form of the prompt."""
        return self.settings.form

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.base.choices.device.value

    @property
    def has_adapter(self) -> bool:
        """Whether there is an adapter, active or not."""
        return isinstance(self.model, PeftModel)

    @property
    def peft_model(self) -> PeftModel:
        """The model with its adapter."""
        assert isinstance(self.model, PeftModel)
        return self.model

    @property
    def adapter_active(self) -> bool:
        """Whether there is an adapter and it is switched on."""
        return isinstance(self.model, PeftModel) and self.model.get_model_status().enabled is True

    @property
    def trained_history(self) -> int:
        """Fewest events shown in the adapter's training, by default as in the data; else 0."""
        known = self.shortest_history
        return (self.folder.min_history if known is None else known) if self.has_adapter else 0

    def prompt_record(self) -> PromptRecord:
        """Return the content of ``prompt.json``."""
        folder, name = self.folder, self.config.model.name_or_path
        return PromptRecord.of(
            self.settings, folder.history_len, name, self.base.tokenizer, folder.min_history
        )

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """Switch the adapter off inside the block."""
        if isinstance(self.model, PeftModel):
            with self.model.disable_adapter():
                yield
        else:
            yield

    def rows(self, split: str) -> TokenRows:
        """Return the rows of a held-out split, limited to ``evaluation.max_examples``."""
        return self.held_out(split, self.config.evaluation.max_examples).rows

    def held_out(self, split: str, limit: int | None) -> SelectedRows:
        """Return a sample of the rows of ``validation`` or ``test``; all if ``limit`` is None."""
        return self.select(held_out_rows(self.config, split, limit))

    def select(self, selection: Selection) -> SelectedRows:
        """Tokenize some rows of the prepared data.

        Raises:
            LengthError: A row is longer than ``data.max_length``.
        """
        blocks = choose_blocks(self.folder, selection)
        for hidden in prompt_variants(self.tokens, selection)[1:]:
            _warn_of_differing(hidden, len(self.folder.items))
        rows = tokenize(self.folder, self.tokens, blocks, selection)
        refuse_too_long(rows.sequences.prompt_lengths, self.config.data.max_length)
        return SelectedRows(blocks.examples.target, rows)


def _warn_of_differing(tokens: PromptTokens, items: int) -> None:
    if tokens.differing:
        LOGGER.warning(
            "token pieces differ from whole prompts for %d of %d items (first: %r): prompts are "
            "tokenized whole, which is slower and equally exact",
            len(tokens.differing),
            items,
            tokens.differing[0].title,
        )


def load_model(
    config: Config,
    adapter: Path | None = None,
    *,
    trainable: bool = False,
    resumed: bool = False,
    form: Form | None = None,
    calibrated: bool = True,
    folder: PreparedFolder | None = None,
) -> LoadedModel:
    """Load a model and its data, and log how.

    Args:
        config: Names the data, and the model unless the adapter's run does; see :func:`as_trained`.
        adapter: A folder with a trained adapter; None for the base model alone.
        trainable: Puts a new LoRA adapter on the model, or a copy of ``lora.init_from``.
        resumed: A checkpoint will give the adapter its weights, so ``lora.init_from`` is not read.
        form: Overrides the form of the prompt.
        calibrated: Whether ``scoring.calibration`` applies. Calibration itself is fitted without.
        folder: The prepared data, if already open; tables it has read are not read again.

    Raises:
        ReeltuneError: Data, model, adapter or its calibration is missing, or was made for another
            prompt; or an explicit key contradicts the adapter's run.
    """
    assert not (trainable and adapter), "to train an adapter further, name it in lora.init_from"
    start = config.lora.init_from if trainable and not resumed else None
    if adapter is not None:
        with shared(adapter):  # not while a training writes it
            config = as_trained(config, adapter)
    folder = folder or PreparedFolder.open(config.data.prepared_dir)
    if folder.make_context is None:
        process = adapter_process(adapter)
        folder = with_signals(folder, config.prompt.signals, config.data.cache_dir, process)
    settings = prompt_settings(folder, config.prompt)
    if adapter is not None:
        shift = config.scoring.allow_domain_shift
        refuse_other_prompt(adapter, settings, folder.history_len, domain_shift=shift)
    if form is not None and form != settings.form:
        LOGGER.info("prompt form: %s (requested), instead of %s", form, settings.form)
        settings = replace(settings, form=form)
    calibrate = learned_from = shortest_history = None
    if adapter is not None:
        run = RunFolder(adapter)
        learned_from = int(run.record()["rows"]["train"]) if run.record_file.is_file() else None
        shortest_history = read_prompt_record(adapter).min_history
        if calibrated:
            section = config.scoring
            calibrate = calibrate_with(
                adapter, section.calibration, settings.form, section.share_history
            )
    if trainable:
        _check_lora(config, start, folder)  # before the base model is loaded
    choices = make_choices(config, trainable=trainable)
    for line in choices.describe():
        LOGGER.info(line)
    base = load_base(config, choices)
    if (trained := adapter or start) is not None:
        _check_base_of(trained, config, base)
    if writes_date(base.tokenizer, settings.form):
        LOGGER.info("the chat template writes a date: always %s", TEMPLATE_DATE)
    if trainable:
        model = _trainable_adapter(base, config, start)
    else:
        model = base.model if adapter is None else load_adapter(base, adapter)
        model.requires_grad_(False)
        torch.manual_seed(config.train.seed)
    return LoadedModel(
        config, folder, base, model, settings, calibrate, learned_from, shortest_history, adapter
    )


def _check_lora(config: Config, start: Path | None, folder: PreparedFolder) -> None:
    lora_config(config)
    if start is not None:
        refuse_other_lora(config, start, folder.meta["files"][TIMELINES_FILE]["sha256"])


def _trainable_adapter(base: BaseModel, config: Config, start: Path | None) -> PeftModel:
    model = add_adapter(base, config)
    if start is not None:
        continue_from(model, start)
    counts = parameter_counts(model)
    LOGGER.info(
        "trainable parameters: %s of %s (%.2f %%)",
        *(f"{count:,}" for count in counts),
        100 * counts[0] / counts[1],
    )
    return model


def _check_base_of(adapter: Path, config: Config, base: BaseModel) -> None:
    run = RunFolder(adapter)
    if run.record_file.is_file():
        check_base(run, config.model)  # a model of the hub may have been downloaded just now
    refuse_other_tokenizer(adapter, base.tokenizer)


def as_trained(config: Config, adapter: Path) -> Config:
    """Return the configuration with the model, quantization and prompt of the adapter's run.

    Of the keys that the user gave explicitly, those that leave prompt and weights as they are
    replace the run's: number type, kernel, and where the base model is.

    Raises:
        ConfigError: Another explicit key differs from the run (``differs_from_run``).
        ModelError: The base model is missing, or has other weights than in training.
    """
    run = RunFolder(adapter)
    if not run.record_file.is_file():
        return config
    trained = run.config()
    if "model.name_or_path" in config.explicit:
        name, revision = config.model.name_or_path, config.model.revision
        refuse_missing_folder(name, revision)
        model = trained.model.model_copy(update={"name_or_path": name, "revision": revision})
    else:
        model = base_of_run(run, trained.model)
    recorded = {"model": model, "quantization": trained.quantization, "prompt": trained.prompt}
    sections = _with_explicit(config, recorded, adapter)
    check_base(run, model, quiet=True)
    # How far a history grows within a block is part of what was learned.
    train = config.train.model_copy(update={"block_size": trained.train.block_size})
    return config.model_copy(update={**sections, "train": train})


def _with_explicit(
    config: Config, recorded: dict[str, Section], adapter: Path
) -> dict[str, Section]:
    """Return the sections of a run with the explicit keys of ``config``, and log what is used."""
    used, taken, problems = dict(recorded), list[str](), list[Problem]()
    for name, section in recorded.items():
        ours, theirs = getattr(config, name), section.model_dump(mode="json")
        for key, value in ours.model_dump(mode="json").items():
            path = f"{name}.{key}"
            if value == theirs[key]:
                continue
            if path not in config.explicit:
                taken.append(path)
            elif path in _OF_THE_MACHINE:
                used[name] = used[name].model_copy(update={key: value})
                LOGGER.info("%s: %s (given), instead of the run's %s", path, value, theirs[key])
            else:
                message = f"the adapter's run has {theirs[key]}, and {value} is given"
                hint = "Leave the key out" + _OTHER_FORM * (path == "prompt.form")
                problems.append(Problem(path, "differs_from_run", message, hint))
    if problems:
        raise ConfigError.of(problems, str(adapter))
    if taken:
        LOGGER.info("taken from the adapter's run.json: %s", ", ".join(taken))
    return used
