"""Ask each way of running the tuned model the same rows, one model in memory at a time."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from reeltune.asking.subject import Subject, load_subject
from reeltune.config import Config
from reeltune.data.folder import PreparedFolder
from reeltune.errors import ModelError
from reeltune.evaluation.metrics import measure
from reeltune.export.bases import NO_FOUR_BIT, with_four_bit
from reeltune.export.drift import FOUR_BIT, MERGED, UNQUANTIZED, Reading
from reeltune.export.merge import load_merged
from reeltune.models.choices import ModelChoices, make_choices
from reeltune.models.load import load_adapter, load_base
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import TokenRows
from reeltune.runs.log import LOGGER
from reeltune.scoring.scorer import Progress, Scorer

ProgressFor = Callable[[str], Progress | None]
"""Gives, for a reading, what is told after every batch."""


@dataclass(frozen=True)
class Questions:
    """What every reading is asked. It holds no model, so that one can be let go of.

    Attributes:
        config: As the adapter was trained.
        folder: The prepared data.
        split: Whose rows.
        rows: The rows.
        tokens: What made their prompts.
        device: Where models run.
        four_bit: Whether the base of the first reading was in 4 bits.
        allow_cpu: Whether 4 bits may be used on a CPU.
        progress: Gives, for a reading, what is told after every batch.
    """

    config: Config
    folder: PreparedFolder
    split: str
    rows: TokenRows
    tokens: PromptTokens
    device: torch.device
    four_bit: bool
    allow_cpu: bool
    progress: ProgressFor


def read_as_loaded(
    config: Config, adapter: Path, split: str, progress: ProgressFor
) -> tuple[Questions, Reading]:
    """Read the adapter as ``evaluate`` loads it here, and return the questions for the others.

    Raises:
        ReeltuneError: Data, model or adapter is missing, or the adapter was trained on another
            prompt.
    """
    subject = load_subject(config, adapter, calibrated=False)
    questions = Questions(
        config=subject.config,
        folder=subject.folder,
        split=split,
        rows=subject.rows(split),
        tokens=subject.tokens,
        device=subject.base.choices.device.value,
        four_bit=subject.base.choices.four_bit.value,
        # The configuration of the run stands in the place of the one given here.
        allow_cpu=config.quantization.allow_cpu or subject.config.quantization.allow_cpu,
        progress=progress,
    )
    return questions, _read_adapter(subject, questions)


def read_other_base(questions: Questions, adapter: Path, four_bit: bool) -> Reading:
    """Read the adapter on the base in 4 bits, or on the unquantized one.

    Args:
        questions: What to ask.
        adapter: The trained adapter's folder.
        four_bit: Whether the base is held in 4 bits.
    """
    config = with_four_bit(questions.config, four_bit, questions.allow_cpu)
    choices = make_choices(config)
    if choices.four_bit.value != four_bit:
        return Reading(FOUR_BIT, _about_four_bit(config), None, None, NO_FOUR_BIT)
    let_go_of_memory()
    base = load_base(config, choices)
    model = load_adapter(base, adapter)
    model.requires_grad_(False)
    return _read_adapter(
        Subject(config, questions.folder, base, model, questions.tokens), questions
    )


def read_merged(questions: Questions, folder: Path) -> Reading:
    """Read a merged model as it lies in its folder, tokenizer included.

    Raises:
        ModelError: The saved tokenizer writes other prompts than the adapter's.
    """
    let_go_of_memory()
    base = load_merged(folder, questions.device)
    tokens = PromptTokens(base.tokenizer, questions.tokens.renderer, questions.folder.items)
    subject = Subject(questions.config, questions.folder, base, base.model, tokens)
    saved, asked = subject.rows(questions.split).sequences.ids, questions.rows.sequences.ids
    if tokens.answers != questions.tokens.answers or not (
        np.array_equal(saved.values, asked.values) and np.array_equal(saved.offsets, asked.offsets)
    ):
        raise ModelError("the saved tokenizer writes other prompts", where=str(folder))
    return _read(subject, questions, MERGED, f"merged model, {_name(base.choices.dtype.value)}")


def _read_adapter(subject: Subject, questions: Questions) -> Reading:
    choices: ModelChoices = subject.base.choices
    if choices.four_bit.value:
        return _read(subject, questions, FOUR_BIT, _about_four_bit(subject.config))
    about = f"adapter on the {_name(choices.dtype.value)} base"
    return _read(subject, questions, UNQUANTIZED, about)


def _read(subject: Subject, questions: Questions, name: str, about: str) -> Reading:
    rows = questions.rows
    _refuse_no_number(subject, rows, about)
    LOGGER.info("asking %d %s rows: %s", len(rows), questions.split, about)
    verdicts = subject.scorer(rows.sequences).score(rows.sequences, questions.progress(about))
    p_yes = verdicts.p_yes
    return Reading(name, about, p_yes, measure(rows.liked, p_yes, rows.user_id).auc)


def _refuse_no_number(subject: Subject, rows: TokenRows, about: str) -> None:
    """Refuse a model whose number type is too small for what it computes, before all else is tried.

    Raises:
        ModelError: A verdict of the first sequence is not a number.
    """
    scorer = Scorer(subject.model, subject.tokens.answers, subject.config.scoring.tokens_per_batch)
    log_odds = scorer.score(rows.sequences.take(np.arange(1))).log_odds
    if not np.isfinite(log_odds).all():
        raise ModelError(
            f"{about}: its verdicts are not numbers",
            hint="Export with --dtype bfloat16, which has the range of float32",
        )


def _about_four_bit(config: Config) -> str:
    return f"adapter on the 4-bit base ({config.quantization.quant_type})"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def let_go_of_memory() -> None:
    """Give back what models hold that nothing refers to any more: their parts form circles."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
