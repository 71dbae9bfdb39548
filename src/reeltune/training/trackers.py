"""Experiment trackers, through transformers' integrations."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from typing import Final

from transformers import Trainer
from transformers.integrations import MLflowCallback, TrackioCallback, WandbCallback

from reeltune.errors import RunError, first_line
from reeltune.runs.log import LOGGER
from reeltune.telemetry import switch_off_telemetry

# Defaults for what the integrations read from the environment.
_DEFAULTS: Final = {
    "WANDB_PROJECT": "reeltune",
    "WANDB_QUIET": "true",
    "WANDB_CONSOLE": "off",
    "MLFLOW_EXPERIMENT_NAME": "reeltune",
    "MLFLOW_FLATTEN_PARAMS": "TRUE",
}

_CALLBACKS: Final = {
    WandbCallback: ("wandb", "Log in with `wandb login`, or set WANDB_MODE=offline"),
    MLflowCallback: ("mlflow", "Check MLFLOW_TRACKING_URI and that its server runs"),
    TrackioCallback: ("trackio", "Check TRACKIO_DIR, or the address of its server"),
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


def start_trackers(trainer: Trainer) -> None:
    """Start the trackers of a trainer, which by itself would do so after its first files.

    Raises:
        RunError: A tracker does not start.
    """
    for callback in trainer.callback_handler.callbacks:
        if type(callback) not in _CALLBACKS:
            continue
        name, hint = _CALLBACKS[type(callback)]
        LOGGER.info("starting the tracker %s", name)
        try:
            callback.on_train_begin(
                trainer.args, trainer.state, trainer.control, model=trainer.model
            )
        except Exception as error:  # any, since every tracker has its own
            raise RunError(
                f"the tracker does not start ({type(error).__name__}: {first_line(error)})",
                code="tracker_failed",
                where=name,
                hint=f"{hint}; or remove {name} from train.report_to",
            ) from error
