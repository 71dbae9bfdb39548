"""Optional dependencies, by the extra that installs them."""

from __future__ import annotations

import importlib.util
from typing import Final, Literal

from reeltune.errors import MissingExtraError

Extra = Literal["train", "serve", "report", "offline", "tune", "cluster"]
Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]
"""Experiment trackers: TensorBoard is in ``train``, each other one is an extra and a module."""

EXTRAS: Final[dict[str, tuple[str, ...]]] = {
    "train": ("datasets", "tensorboard", "trl"),
    "serve": ("fastapi", "prometheus_client", "uvicorn"),
    "report": ("lenskit", "matplotlib"),
    "offline": ("gguf",),
    "tune": ("optuna",),
    "cluster": ("ray",),
}
"""The modules that each extra installs."""


def require(extra: Extra | Tracker) -> None:
    """Raise a MissingExtraError if a module of the extra is not installed."""
    modules = EXTRAS.get(extra, (extra,))
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            "not installed; this command needs an optional part of reeltune",
            code="missing_extra",
            where=", ".join(missing),
            hint=f'Run: pip install "reeltune[{extra}]"',
        )
