"""The run folder: everything needed to use, evaluate and repeat a training run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from reeltune.config import (
    Config,
    build_config,
    config_tree,
    translate_record,
)
from reeltune.config.reference import resumable_keys
from reeltune.data.folder import AUXILIARY_FILE, ITEMS_FILE, TAGS_FILE, TIMELINES_FILE
from reeltune.errors import ConfigError, RunError
from reeltune.files import is_temporary, read_object, replaceable_folder, write_json
from reeltune.locks import LOCK_FILE

RUN_FILE: Final = "run.json"
METRICS_FILE: Final = "metrics.json"
LOG_FILE: Final = "training.log"
TENSORBOARD_DIR: Final = "logs"
CARD_FILE: Final = "README.md"
ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
TRAINER_STATE: Final = "trainer_state.json"
"""Written last in a checkpoint, except for the checksums."""
CHECKSUMS_FILE: Final = "checksums.json"
"""SHA-256 by name of the other files of a checkpoint."""
UNUSABLE: Final = "unusable-"
"""Before the name of a checkpoint that cannot be resumed from."""

_BEFORE_TRAINING: Final = {RUN_FILE, LOG_FILE, TENSORBOARD_DIR, LOCK_FILE}
"""What a run writes before its first checkpoint."""
_MARK: Final = ".earlier-run"

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


class _Data(BaseModel):
    files: dict[str, dict[str, Any]] = {}


class _Record(BaseModel):
    """The types of what commands read of ``run.json``."""

    status: str = ""
    started: str = ""
    resumed_from: list[str] = []
    config: dict[str, dict[str, Any]] = {}
    base: dict[str, str | None] = {}
    adapter: dict[str, str] = {}
    init_from: dict[str, str] = {}
    signals_hidden: dict[str, int] = {}
    prompt: dict[str, Any] = {}
    data: _Data = _Data()
    rows: dict[str, int] = {}


@dataclass(frozen=True)
class RunFolder:
    """The output folder of one training run."""

    path: Path

    @property
    def record_file(self) -> Path:
        """The path of ``run.json``."""
        return self.path / RUN_FILE

    def record(self) -> dict[str, Any]:
        """Return ``run.json``, its configuration with the current keys.

        Raises:
            RunError: There is none, or it is damaged; also when a missing key is looked up.
        """
        if not self.record_file.is_file():
            raise RunError(
                "no training run here",
                code="not_a_run",
                where=str(self.path),
                hint="Run: reeltune train",
            )
        record = _read(self.record_file)
        try:
            _Record.model_validate(record, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise _damaged(self.record_file, f"{key}: {first['msg']}") from error
        if "config" in record:
            record["config"] = translate_record(record["config"])
        return record

    def config(self) -> Config:
        """Return the configuration of the run.

        Raises:
            RunError: There is no record, or this version cannot read it.
        """
        tree = self.record()["config"]
        try:
            return build_config(tree, where=str(self.record_file))
        except ConfigError as error:
            raise RunError(
                f"written by another version of reeltune: {error}", code="run_not_readable"
            ) from error

    def evaluate_command(self) -> str:
        """Return the command that evaluates the run on its own data, for hints.

        Without a record, as beside an adapter alone, the data are not named.

        Raises:
            RunError: The record is damaged.
        """
        command = ["reeltune", "evaluate", "--adapter", str(self.path)]
        if self.record_file.is_file():
            command += ["--set", f"data.prepared_dir={self.config().data.prepared_dir}"]
        return shlex.join(command)

    def metrics(self) -> dict[str, Any]:
        """Return ``metrics.json``: losses and evaluations.

        Raises:
            RunError: Training has not finished, or the file is damaged.
        """
        file = self.path / METRICS_FILE
        if not file.is_file():
            raise RunError(
                "training has not finished",
                code="run_not_finished",
                where=str(file),
                hint="Run: reeltune train",
            )
        return _read(file)

    def write_record(self, record: dict[str, Any]) -> None:
        """Write ``run.json`` atomically."""
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

        An earlier run without a checkpoint is removed. Any other is replaced only with
        ``overwrite``, and kept aside until :meth:`remove_earlier`.

        Raises:
            RunError: The folder holds an earlier run that may not be replaced, or other files.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunError(
                "is a file, and a run needs a folder",
                code="output_is_a_file",
                where=str(self.path),
                hint="Set train.output_dir to another folder",
            )
        if not self.checkpoints():
            self.restore_earlier()  # its replacement was killed before it began
        if self.path.exists() and any(self.path.iterdir()):
            replaceable_folder(self.path)
            names = {path.name for path in self.path.iterdir() if not is_temporary(path.name)}
            # A run that could not load its model leaves a log and no record.
            if RUN_FILE not in names and names - _BEFORE_TRAINING:
                raise RunError(
                    "the output folder is not empty and holds no training run",
                    code="output_not_empty",
                    where=str(self.path),
                    hint="Set train.output_dir to another folder",
                )
            incomplete = {path.name for path in self._checkpoint_folders() if _is_incomplete(path)}
            precious = overwrite or bool(names - _BEFORE_TRAINING - incomplete) or self.finished
            if precious and not overwrite:
                raise RunError(
                    "the output folder holds an earlier run",
                    code="run_exists",
                    where=str(self.path),
                    hint="Continue it with --resume, replace it with --overwrite, "
                    "or set train.output_dir to another folder",
                )
            if precious:
                self._move_aside()
            else:
                shutil.rmtree(self._real)
        self._real.mkdir(parents=True, exist_ok=True)

    @property
    def _real(self) -> Path:
        return Path(os.path.realpath(self.path))

    @property
    def _aside(self) -> Path:
        """The folder for the earlier run. A file in it marks it as made here."""
        return self._real.parent / f".{self._real.name}.earlier"

    def _move_aside(self) -> None:
        marked = (self._aside / _MARK).is_file()
        if self._aside.exists() and not marked and any(self._aside.iterdir()):
            raise RunError(
                "is needed for the earlier run while it is replaced, and holds other files",
                code="output_not_empty",
                where=str(self._aside),
                hint="Move it away",
            )
        self.remove_earlier()
        self._aside.mkdir(exist_ok=True)
        (self._aside / _MARK).touch()
        self._real.replace(self._aside / self._real.name)

    def remove_earlier(self) -> None:
        """Remove the run that this one replaces."""
        if (self._aside / _MARK).is_file():
            shutil.rmtree(self._aside / self._real.name, ignore_errors=True)
            shutil.rmtree(self._aside)

    def restore_earlier(self) -> None:
        """Move the run that this one was to replace back, if it is still there."""
        earlier = self._aside / self._real.name
        if (self._aside / _MARK).is_file() and earlier.is_dir():
            shutil.rmtree(self._real, ignore_errors=True)
            earlier.replace(self._real)
            self.remove_earlier()

    def refuse_other_config(self, config: Config) -> None:
        """Refuse to resume with settings that change what is learned.

        Raises:
            RunError: Names the keys that differ.
        """
        # Keys that are newer than the record had their defaults.
        before = flat_config(Config()) | _flat(self.record()["config"])
        now = flat_config(config)
        keys = (before.keys() | now.keys()) - resumable_keys()
        changed = sorted(key for key in keys if before.get(key) != now.get(key))
        if changed:
            listed = ", ".join(f"{key}: {before.get(key)} -> {now.get(key)}" for key in changed)
            raise RunError(
                f"the run was started with another configuration ({listed})",
                code="run_config_changed",
                where=str(self.path),
                hint="Resume with the settings in its run.json, or start a new run",
            )

    def refuse_other_data(self, files: dict[str, Any], prompt: dict[str, Any]) -> None:
        """Refuse to resume with other prepared data or another prompt.

        Args:
            files: The files of the prepared folder's ``meta.json``, with checksums.
            prompt: The settings of the prompt.

        Raises:
            RunError: Names the files and settings that differ.
        """
        record = self.record()
        before = record["data"]["files"]
        changed = [
            name
            for name in (TIMELINES_FILE, ITEMS_FILE, TAGS_FILE, AUXILIARY_FILE)
            if before.get(name, {}).get("sha256") != files.get(name, {}).get("sha256")
        ]
        changed += [
            f"prompt {key}" for key, value in prompt.items() if record["prompt"].get(key) != value
        ]
        if changed:
            raise RunError(
                f"the prepared data have changed since the run began ({', '.join(changed)})",
                code="run_data_changed",
                where=str(self.path),
                hint="Prepare the data as they were, or start a new run",
            )

    def checkpoints(self) -> list[Path]:
        """Return completely written checkpoints, damaged since or not, oldest step first."""
        return [path for path in self._checkpoint_folders() if not _is_incomplete(path)]

    def remove_incomplete_checkpoints(self) -> list[Path]:
        """Remove checkpoints whose writing was interrupted, and return their paths."""
        incomplete = [path for path in self._checkpoint_folders() if _is_incomplete(path)]
        for path in incomplete:
            shutil.rmtree(path)
        return incomplete

    def _checkpoint_folders(self) -> list[Path]:
        if not self.path.is_dir():
            return []
        steps = ((_CHECKPOINT.fullmatch(path.name), path) for path in self.path.iterdir())
        return [path for _, path in sorted((int(m[1]), path) for m, path in steps if m)]


class _Fields(dict[str, Any]):
    """A JSON object in a file; a key that it lacks is an error that names the file."""

    file = Path()

    def __missing__(self, key: str) -> Any:
        raise _damaged(self.file, f"there is no {key}")


def _read(file: Path) -> dict[str, Any]:
    def fields(values: dict[str, Any]) -> _Fields:
        found = _Fields(values)
        found.file = file
        return found

    try:
        return read_object(file, fields)
    except ValueError as error:
        raise _damaged(file, str(error)) from error


def _damaged(file: Path, reason: str) -> RunError:
    return RunError(
        f"damaged or not written by reeltune ({reason})",
        code="run_file_damaged",
        where=str(file),
        hint="Restore the file, or train again with --overwrite",
    )


def _is_incomplete(checkpoint: Path) -> bool:
    last = (checkpoint / TRAINER_STATE, checkpoint / CHECKSUMS_FILE)
    return checkpoint.is_dir() and not any(path.exists() for path in last)


def flat_config(config: Config) -> dict[str, Any]:
    """Return the values of a configuration by full key, such as ``lora.r``."""
    return _flat(config_tree(config))


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    sections = tree.items()
    return {f"{name}.{key}": value for name, keys in sections for key, value in keys.items()}
