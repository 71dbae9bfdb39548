"""Load models, tokenizers, adapters and their calibration, with the reason for every choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reeltune.models.loaded_model import LoadedModel as LoadedModel
    from reeltune.models.loaded_model import load_model as load_model

__all__ = ["LoadedModel", "load_model"]


def __getattr__(name: str) -> object:
    """Import the public names on first use: they load torch and transformers."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from reeltune.models import loaded_model

    return getattr(loaded_model, name)
