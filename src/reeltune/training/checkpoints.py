"""Which checkpoint to resume from: the newest whose files are all as they were saved."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reeltune.errors import RunError, one_line
from reeltune.files import file_digest, read_object, write_json
from reeltune.models.choices import is_sharded, process_state
from reeltune.models.prompt_record import PROMPT_FILE
from reeltune.runs.folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CHECKSUMS_FILE,
    TRAINER_STATE,
    UNUSABLE,
    RunFolder,
)
from reeltune.runs.log import LOGGER
from reeltune.training.totals import SAVED_AS

_TRAINER_FILES: Final = ("scheduler.pt", TRAINER_STATE)
_FSDP_FILES: Final = ("optimizer.bin", "pytorch_model_fsdp.bin")
"""The optimizer's state of a run with FSDP, and the adapter once more; else ``optimizer.pt``."""
_REQUIRED: Final = (ADAPTER_WEIGHTS, ADAPTER_CONFIG, PROMPT_FILE, *_TRAINER_FILES)
_ZIP_ERRORS: Final = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
_UNREADABLE: Final = (ValueError, OSError, SafetensorError, *_ZIP_ERRORS)


class _DamageError(Exception):
    """A checkpoint is damaged; the text names the file."""


class WriteChecksums(TrainerCallback):
    """Writes the SHA-256 of every file of a checkpoint, after the last of them."""

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Wait for the files of every process, then write the list."""
        del control, kwargs
        process_state().wait_for_everyone()
        if state.is_world_process_zero:
            folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
            files = sorted(path for path in folder.iterdir() if path.is_file())
            write_json(folder / CHECKSUMS_FILE, {path.name: file_digest(path) for path in files})


def newest_whole(run: RunFolder) -> tuple[Path | None, dict[Path, str]]:
    """Return the newest whole checkpoint, and why each newer one cannot be resumed from.

    The best checkpoint so far must be whole too, since the run ends with its adapter.

    Raises:
        RunError: It was written with FSDP and this process runs without, or the reverse.
    """
    unusable: dict[Path, str] = {}
    for checkpoint in reversed(run.checkpoints()):
        try:
            _check(checkpoint)
            _check_state(checkpoint, run)
        except _DamageError as error:
            unusable[checkpoint] = str(error)
            continue
        if _written_with_fsdp(checkpoint) != is_sharded():
            launch = "without" if is_sharded() else "with"
            raise RunError(
                f"{checkpoint.name} was written {launch} FSDP",
                code="resume_other_launch",
                where=str(run.path),
                hint=f"Resume {launch} FSDP, as set in the configuration of accelerate launch",
            )
        return checkpoint, unusable
    return None, unusable


def set_aside(unusable: dict[Path, str], used: Path | None) -> None:
    """Rename checkpoints that cannot be resumed from, and warn of each."""
    for checkpoint, problem in unusable.items():
        kept, number = checkpoint.with_name(UNUSABLE + checkpoint.name), 1
        while kept.exists():
            number += 1
            kept = checkpoint.with_name(f"{UNUSABLE}{checkpoint.name}-{number}")
        checkpoint.rename(kept)
        LOGGER.warning(
            "%s cannot be resumed from: %s. It was renamed to %s; the run continues from %s",
            checkpoint.name,
            problem,
            kept.name,
            "the beginning" if used is None else used.name,
        )


def _written_with_fsdp(checkpoint: Path) -> bool:
    return any((checkpoint / name).exists() for name in _FSDP_FILES)


def _check_state(checkpoint: Path, run: RunFolder) -> None:
    state = _read_object(checkpoint / TRAINER_STATE)
    totals = state.get("stateful_callbacks", {}).get(SAVED_AS)
    if totals is not None and totals["args"]["run_started"] != run.record()["started"]:
        raise _DamageError("it is of another run")
    step = state.get("best_global_step")
    best = checkpoint.with_name(f"checkpoint-{step}")
    if step and best != checkpoint:
        try:
            _check(best)
        except _DamageError as error:
            raise _DamageError(f"its best checkpoint is {best.name}, and {error}") from error


def _check(checkpoint: Path) -> None:
    """Raise a _DamageError for the first file that is not as it was saved."""
    if not checkpoint.is_dir():
        raise _DamageError(f"{checkpoint.name} is missing or no folder")
    list_file = checkpoint / CHECKSUMS_FILE
    digests = _inspect(list_file, _read_object) if list_file.exists() else None
    if digests is None and not any(checkpoint.glob("rng_state*.pth")):
        raise _DamageError("rng_state.pth is missing")
    optimizer = _FSDP_FILES if _written_with_fsdp(checkpoint) else ("optimizer.pt",)
    required = (*_REQUIRED, *optimizer)
    present = sorted(path.name for path in checkpoint.iterdir() if path.suffix in _READERS)
    for name in dict.fromkeys((*required, *(present if digests is None else digests))):
        file = checkpoint / name
        if digests is None:
            _inspect(file, _READERS[file.suffix])
        elif _inspect(file, file_digest) != digests.get(name):
            raise _DamageError(f"{name} differs from its checksum")


def _inspect(file: Path, read: Callable[[Path], Any]) -> Any:
    if not file.is_file():
        raise _DamageError(f"{file.name} is missing or no file")
    try:
        return read(file)
    except PermissionError:  # not damaged
        raise
    except _UNREADABLE as error:
        raise _DamageError(f"{file.name} cannot be read ({one_line(error)})") from error


def _read_object(file: Path) -> dict[str, Any]:
    content = read_object(file)
    if file.name == TRAINER_STATE and not isinstance(content.get("global_step"), int):
        raise ValueError("no global_step")
    return content


def _read_zip(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:  # torch.save writes zip files; nothing is unpickled
        if damaged := archive.testzip():
            raise ValueError(f"wrong checksum of {damaged}")


def _read_tensors(file: Path) -> None:
    with safe_open(file, "np"):  # compares the header with the size of the file
        pass


# For checkpoints of version 0.1.0, which have no checksums.
_READERS: Final = {
    ".json": _read_object,
    ".safetensors": _read_tensors,
    **dict.fromkeys((".pt", ".pth", ".bin"), _read_zip),
}
