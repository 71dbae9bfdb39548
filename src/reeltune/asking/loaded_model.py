"""A loaded model with its data."""

from __future__ import annotations

from pathlib import Path

import torch

from reeltune.asking.subject import Asked as SelectedRows
from reeltune.asking.subject import Subject, load_subject
from reeltune.config import Config
from reeltune.domain import Form, PromptSettings
from reeltune.prompts.chat import AnswerTokens
from reeltune.prompts.sequences import Sequences
from reeltune.scoring.scorer import Progress, Verdicts

__all__ = ["LoadedModel", "SelectedRows", "load_model", "predict_sequences"]


class LoadedModel(Subject):
    """A base model, with or without adapter, and the prepared data its prompts are made from."""

    @property
    def settings(self) -> PromptSettings:
        """The settings of the prompt."""
        return self.tokens.renderer.settings

    @property
    def form(self) -> Form:
        """The form of the prompt."""
        return self.settings.form

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.base.choices.device.value

    @property
    def answers(self) -> AnswerTokens:
        """The token ids of Yes, No and the end of the turn."""
        return self.tokens.answers

    @property
    def has_adapter(self) -> bool:
        """Whether there is an adapter, active or not."""
        return self.tuned

    @property
    def adapter_active(self) -> bool:
        """Whether there is an adapter and it is switched on."""
        return Subject._adapter_is_on.fget(self)  # pyright: ignore[reportOptionalCall]

    @property
    def _adapter_is_on(self) -> bool:
        return self.adapter_active

    def held_out(self, split: str, limit: int | None) -> SelectedRows:
        """Return rows of a held-out split; None for all."""
        return self.asked(split, limit)


def load_model(
    config: Config,
    adapter: Path | None = None,
    *,
    form: Form | None = None,
    calibrated: bool = True,
) -> LoadedModel:
    """Load a model and its data, and log how."""
    return LoadedModel(**vars(load_subject(config, adapter, form, calibrated=calibrated)))


def predict_sequences(
    loaded: Subject, sequences: Sequences, progress: Progress | None = None
) -> Verdicts:
    """Return the predictions of a loaded model, its adapter as it is switched now."""
    return loaded.scorer(sequences).score(sequences, progress)
