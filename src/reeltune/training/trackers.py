"""Experiment trackers, through transformers' integrations."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from typing import Final

from reeltune.telemetry import switch_off_telemetry

# Defaults for what the integrations read from the environment.
_DEFAULTS: Final = {
    "WANDB_PROJECT": "reeltune",
    "WANDB_QUIET": "true",
    "WANDB_CONSOLE": "off",
    "MLFLOW_EXPERIMENT_NAME": "reeltune",
    "MLFLOW_FLATTEN_PARAMS": "TRUE",
}


@contextlib.contextmanager
def finished_trackers(names: Sequence[str]) -> Iterator[None]:
    """Finish a wandb run begun inside the block; it would otherwise go on with the process."""
    if "wandb" not in names:
        yield
        return
    import wandb  # pyright: ignore[reportMissingImports]  # an extra of its own

    begun_before = wandb.run is not None
    try:
        yield
    finally:
        if not begun_before:
            wandb.finish()


def set_tracker_defaults() -> None:
    """Name the project, where the environment does not say otherwise, and switch telemetry off."""
    switch_off_telemetry()
    defaults = dict(_DEFAULTS)
    if importlib.util.find_spec("sqlalchemy") is None:
        # mlflow's default store is a database, which mlflow-skinny cannot open.
        defaults |= {"MLFLOW_TRACKING_URI": "file:mlruns", "MLFLOW_ALLOW_FILE_STORE": "true"}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
