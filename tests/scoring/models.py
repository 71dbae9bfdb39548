"""A loaded model with random weights, whose predictions differ clearly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from reeltune.data.folder import PreparedFolder
from reeltune.data.history import History
from reeltune.domain import Form, SignalKind
from reeltune.models.choices import make_choices
from reeltune.models.load import BaseModel
from reeltune.models.loaded_model import LoadedModel
from reeltune.prompts.sequences import Sequences
from reeltune.scoring.predictor import Predictor
from reeltune.scoring.scorer import Scorer
from reeltune.signals.folder import with_signals
from tests.runs import tiny_config
from tests.scoring.sharing import drawn

ROUNDING = 1e-5
"""Largest difference between float32 predictions of shared and of single prompts."""


def random_loaded_model(
    folder: PreparedFolder,
    path: Path,
    form: Form = "interview",
    tokenizer: PreTrainedTokenizerBase | None = None,
    signals: tuple[SignalKind, ...] = (),
    **changes: Any,
) -> LoadedModel:
    """Return a loaded model with an adapter, both with random weights from a seed.

    Args:
        folder: The prepared data.
        path: The folder of a tiny model.
        form: The form of the prompt.
        tokenizer: Replaces the model's tokenizer.
        signals: The signals in the prompt.
        changes: Keys of the configuration, as in :func:`tiny_config`.
    """
    config = tiny_config(path, folder.path, folder.path.parent, **changes)
    tokenizer = tokenizer or AutoTokenizer.from_pretrained(path)
    base = AutoModelForCausalLM.from_pretrained(path)
    settings = replace(folder.prompt_settings, form=form, signals=signals)
    folder = with_signals(folder, signals)
    return LoadedModel(
        config=config,
        folder=folder,
        base=BaseModel(base, tokenizer, make_choices(config)),
        model=drawn(base),
        settings=settings,
    )


def alone(predictor: Predictor, history: History, item: int) -> float:
    """Return P(Yes) of one film by a single whole prompt."""
    tokens = predictor.loaded.tokens
    items = np.array([item])
    context = predictor.loaded.folder.context
    history, codes = context.of_query(history, items, predictor.history_len)
    prompt = tokens.candidate_prompts(history, items, codes)
    scorer = Scorer(predictor.loaded.model, tokens.answers, 1)
    return float(scorer.score(Sequences.single(prompt)).p_yes[0])


def random_history(random: np.random.Generator, items: int, count: int) -> History:
    """Return a history of different films with random ratings."""
    rows = random.choice(items, count, replace=False)
    return History.of(rows.tolist(), (random.integers(1, 11, count) / 2).tolist())


def random_candidates(random: np.random.Generator, items: int, count: int) -> npt.NDArray[np.int64]:
    """Return different films in any order."""
    return random.choice(items, count, replace=False).astype(np.int64)
