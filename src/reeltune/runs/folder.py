"""The run folder: everything needed to use, judge and repeat a training run."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reeltune.config import (
    Config,
    build_config,
    config_hash,
    config_tree,
    translate_record,
)
from reeltune.config.reference import resumable_keys
from reeltune.data.folder import ITEMS_FILE, TIMELINES_FILE
from reeltune.errors import ConfigError, RunError
from reeltune.files import write_json

RUN_FILE: Final = "run.json"
METRICS_FILE: Final = "metrics.json"
LOG_FILE: Final = "training.log"
TENSORBOARD_DIR: Final = "logs"
CARD_FILE: Final = "README.md"
ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
TRAINER_STATE: Final = "trainer_state.json"
"""Written last in a checkpoint: a checkpoint without it is incomplete."""

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class RunFolder:
    """One training output directory."""

    path: Path

    @property
    def record_file(self) -> Path:
        """Where the run's record lies."""
        return self.path / RUN_FILE

    def record(self) -> dict[str, Any]:
        """Return the run's record, its configuration under the present keys.

        Raises:
            RunError: There is none.
        """
        if not self.record_file.is_file():
            raise RunError(
                "no training run here",
                code="not_a_run",
                where=str(self.path),
                hint="Run: reeltune train",
            )
        record = json.loads(self.record_file.read_text(encoding="utf-8"))
        if "config" in record:
            record["config"] = translate_record(record["config"])
        return record

    def config(self) -> Config:
        """Return the configuration the run was started with.

        Raises:
            RunError: There is no record, or this version of the package no longer reads it.
        """
        tree = self.record()["config"]
        try:
            return build_config(tree, where=str(self.record_file))
        except ConfigError as error:
            raise RunError(
                f"written by another version of reeltune: {error}", code="run_not_readable"
            ) from error

    def metrics(self) -> dict[str, Any]:
        """Return how the run learned: its losses and evaluations.

        Raises:
            RunError: It has not ended.
        """
        file = self.path / METRICS_FILE
        if not file.is_file():
            raise RunError(
                "training has not finished",
                code="run_not_finished",
                where=str(file),
                hint="Run: reeltune train",
            )
        return json.loads(file.read_text(encoding="utf-8"))

    def write_record(self, record: dict[str, Any]) -> None:
        """Write the run's record, whole or not at all."""
        write_json(self.record_file, record)

    @property
    def finished(self) -> bool:
        """Whether training ended and its adapter was saved."""
        return (
            self.record_file.is_file()
            and self.record()["status"] == "finished"
            and (self.path / ADAPTER_WEIGHTS).is_file()
        )

    def start(self, overwrite: bool) -> None:
        """Make the folder for a new run.

        Args:
            overwrite: Whether an earlier run in the folder may be removed.

        A run that ended before its first checkpoint has nothing to lose and is always replaced.
        Any other is moved aside until :meth:`take_over`, so that a mistake does not cost it.

        Raises:
            RunError: The folder holds an earlier run that may not be removed, or foreign files.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunError(
                "is a file, and a run needs a folder",
                code="output_is_a_file",
                where=str(self.path),
                hint="Set train.output_dir to another folder",
            )
        if self._earlier.exists() and not self.checkpoints():
            self.give_back()  # a run that was to replace it was killed before it began
        if self.path.exists() and any(self.path.iterdir()):
            held = {path.name for path in self.path.iterdir()}
            # A run that could not even load its model has left a log and no record.
            if RUN_FILE not in held and held - {LOG_FILE, TENSORBOARD_DIR}:
                raise RunError(
                    "the output folder is not empty and holds no training run",
                    code="output_not_empty",
                    where=str(self.path),
                    hint="Set train.output_dir to another folder",
                )
            precious = self.finished or bool(self.checkpoints())
            if precious and not overwrite:
                raise RunError(
                    "the output folder holds an earlier run",
                    code="run_exists",
                    where=str(self.path),
                    hint="Continue it with --resume, replace it with --overwrite, "
                    "or set train.output_dir to another folder",
                )
            if precious:
                self.path.replace(self._earlier)
            else:
                shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)

    @property
    def _earlier(self) -> Path:
        return self.path.with_name(f".{self.path.name}.earlier")

    def take_over(self) -> None:
        """Remove the run that this one replaces, for good."""
        if self._earlier.exists():
            shutil.rmtree(self._earlier)

    def give_back(self) -> None:
        """Put the run that this one was to replace back in its place, if there is one."""
        if self._earlier.exists():
            shutil.rmtree(self.path, ignore_errors=True)
            self._earlier.replace(self.path)

    def refuse_other_config(self, config: Config) -> None:
        """Refuse to continue a run under settings that would make it another run.

        Raises:
            RunError: Naming the keys that differ.
        """
        before = _flat(self.record()["config"])
        now = _flat(config_tree(config))
        keys = (before.keys() | now.keys()) - resumable_keys()
        changed = sorted(key for key in keys if before.get(key) != now.get(key))
        if changed:
            listed = ", ".join(f"{key}: {before.get(key)} -> {now.get(key)}" for key in changed)
            raise RunError(
                f"the run was started with another configuration ({listed})",
                code="run_config_changed",
                where=str(self.path),
                hint="Resume with the settings in its run.json, or start a run of its own",
            )

    def refuse_other_data(self, files: dict[str, Any], prompt: dict[str, Any]) -> None:
        """Refuse to continue a run on other events, films or words than it began with.

        Args:
            files: What the prepared folder says of its files, checksums included.
            prompt: The settings of the prompt.

        Raises:
            RunError: Naming what differs.
        """
        record = self.record()
        before = record["data"]["files"]
        changed = [
            name
            for name in (TIMELINES_FILE, ITEMS_FILE)
            if before[name]["sha256"] != files[name]["sha256"]
        ]
        changed += [
            f"prompt {key}" for key, value in prompt.items() if record["prompt"].get(key) != value
        ]
        if changed:
            raise RunError(
                f"the prepared data have changed since the run began ({', '.join(changed)})",
                code="run_data_changed",
                where=str(self.path),
                hint="Prepare the data as they were, or start a run of its own",
            )

    def checkpoints(self) -> list[Path]:
        """Return complete checkpoints, oldest step first."""
        return [path for path in self._checkpoint_folders() if (path / TRAINER_STATE).is_file()]

    def remove_cut_off_checkpoints(self) -> list[Path]:
        """Remove checkpoints whose writing was cut off, and return where they were."""
        cut_off = [
            path for path in self._checkpoint_folders() if not (path / TRAINER_STATE).is_file()
        ]
        for path in cut_off:
            shutil.rmtree(path)
        return cut_off

    def _checkpoint_folders(self) -> list[Path]:
        if not self.path.is_dir():
            return []
        steps = ((_CHECKPOINT.fullmatch(path.name), path) for path in self.path.iterdir())
        return [path for _, path in sorted((int(m[1]), path) for m, path in steps if m)]


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def config_part(config: Config) -> dict[str, Any]:
    """Return what a record says of its configuration."""
    return {"config": config_tree(config), "config_sha256": config_hash(config)}
