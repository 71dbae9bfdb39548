"""Measure variants of the tuned model on the same rows, with one model in memory at a time."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from reeltune.config import Config
from reeltune.data.folder import PreparedFolder
from reeltune.errors import ModelError
from reeltune.evaluation.metrics import measure
from reeltune.evaluation.model_predictions import ProgressFor
from reeltune.export.drift import FOUR_BIT, MERGED, UNQUANTIZED, Measurement
from reeltune.export.merge import NO_FOUR_BIT, load_merged, with_four_bit
from reeltune.models.adapter import load_adapter
from reeltune.models.choices import ModelChoices, make_choices
from reeltune.models.load import load_base
from reeltune.models.loaded_model import LoadedModel, load_model
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import TokenRows
from reeltune.prompts.sequences import Sequences
from reeltune.ragged import Ragged
from reeltune.runs.log import LOGGER
from reeltune.scoring.scorer import Scorer


@dataclass(frozen=True)
class Setup:
    """Common inputs of all measurements. It holds no model, so that memory can be freed.

    Attributes:
        config: The configuration of the adapter's training.
        four_bit: Whether the first measurement used a 4-bit base.
        allow_cpu: Whether 4 bits may be used on a CPU.
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


def measure_adapter(
    config: Config, adapter: Path, split: str, progress: ProgressFor
) -> tuple[Setup, Measurement]:
    """Measure the adapter as ``evaluate`` loads it; also return the setup for other variants.

    Raises:
        ReeltuneError: Data, model or adapter is missing, or the adapter was trained on another
            prompt.
    """
    loaded = load_model(config, adapter, calibrated=False)
    setup = Setup(
        config=loaded.config,
        folder=loaded.folder,
        split=split,
        rows=loaded.rows(split),
        tokens=loaded.tokens,
        device=loaded.device,
        four_bit=loaded.base.choices.four_bit.value,
        # The run's quantization section replaces that of ``config``.
        allow_cpu=config.quantization.allow_cpu or loaded.config.quantization.allow_cpu,
        progress=progress,
    )
    return setup, _measure_adapter(loaded, setup)


def measure_on_other_base(setup: Setup, adapter: Path, four_bit: bool) -> Measurement:
    """Measure the adapter on the 4-bit base, or on the unquantized one."""
    config = with_four_bit(setup.config, four_bit, setup.allow_cpu)
    choices = make_choices(config)
    if choices.four_bit.value != four_bit:
        return Measurement(FOUR_BIT, _four_bit_description(config), None, None, NO_FOUR_BIT)
    free_memory()
    base = load_base(config, choices)
    model = load_adapter(base, adapter)
    model.requires_grad_(False)
    return _measure_adapter(
        LoadedModel(config, setup.folder, base, model, setup.tokens.renderer.settings), setup
    )


def measure_merged(setup: Setup, folder: Path, example: list[int]) -> tuple[Measurement, float]:
    """Measure a merged model from its folder, and predict an example prompt of token ids.

    Raises:
        ModelError: The saved tokenizer encodes prompts differently than the adapter's.
    """
    free_memory()
    base = load_merged(folder, setup.device)
    settings = setup.tokens.renderer.settings
    loaded = LoadedModel(setup.config, setup.folder, base, base.model, settings)
    saved, expected = loaded.rows(setup.split).sequences.ids, setup.rows.sequences.ids
    if loaded.tokens.answers != setup.tokens.answers or not (
        np.array_equal(saved.values, expected.values)
        and np.array_equal(saved.offsets, expected.offsets)
    ):
        raise ModelError(
            "the saved tokenizer encodes prompts differently",
            code="saved_tokenizer_differs",
            where=str(folder),
        )
    measured = _measure(loaded, setup, MERGED, f"merged model, {_dtype_of(base.choices)}")
    alone = Sequences.single(Ragged.from_rows([np.array(example)]))
    scorer = Scorer(loaded.model, setup.tokens.answers, loaded.config.scoring.tokens_per_batch)
    return measured, float(scorer.score(alone).p_yes[0])


def _measure_adapter(loaded: LoadedModel, setup: Setup) -> Measurement:
    choices = loaded.base.choices
    if choices.four_bit.value:
        return _measure(loaded, setup, FOUR_BIT, _four_bit_description(loaded.config))
    return _measure(loaded, setup, UNQUANTIZED, f"adapter on the {_dtype_of(choices)} base")


def _measure(loaded: LoadedModel, setup: Setup, name: str, description: str) -> Measurement:
    rows = setup.rows
    # First, a clear error if activations overflow the dtype.
    scorer = Scorer(loaded.model, loaded.tokens.answers, loaded.config.scoring.tokens_per_batch)
    if not np.isfinite(scorer.score(rows.sequences.take(np.arange(1))).log_odds).all():
        raise ModelError(
            "the predictions are not finite numbers",
            code="predictions_not_finite",
            where=description,
            hint="Export with --dtype bfloat16, which has the range of float32",
        )
    LOGGER.info(
        "predicting %s %s rows, %s tokens: %s",
        f"{len(rows):,}",
        setup.split,
        f"{len(rows.sequences.ids.values):,}",
        description,
    )
    scorer = Scorer.checked(loaded, rows.sequences)
    p_yes = scorer.score(rows.sequences, setup.progress(description)).p_yes
    return Measurement(name, description, p_yes, measure(rows.liked, p_yes, rows.user_id).auc)


def _four_bit_description(config: Config) -> str:
    return f"adapter on the 4-bit base ({config.quantization.quant_type})"


def _dtype_of(choices: ModelChoices) -> str:
    return str(choices.dtype.value).removeprefix("torch.")


def free_memory() -> None:
    """Free the memory of unreferenced models, which reference cycles keep alive."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
