"""The identity of predictions: model, adapter, data, input rows and settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from reeltune.bulk.tasks import Task
from reeltune.config import Config
from reeltune.data.folder import PreparedFolder, table_digests
from reeltune.errors import ModelError
from reeltune.files import file_digest
from reeltune.models.calibration import CALIBRATION_FILE
from reeltune.models.choices import make_choices
from reeltune.prompts.rows import prompt_settings
from reeltune.runs.folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from reeltune.scoring.fusion import FUSION_FILE

FORMAT_VERSION: Final = 1

_MODEL_FILES: Final = frozenset({".safetensors", ".bin", ".json", ".jinja", ".model"})
"""Endings of the files that a model and its tokenizer are loaded from."""

_MAX_SHOWN: Final = 24
"""Characters of a value in an error message; digests differ early."""


def make_identity(
    config: Config, folder: PreparedFolder, adapter: Path | None, task: Task, **settings: Any
) -> dict[str, Any]:
    """Return everything that determines the predictions.

    Number types are included; devices are not, since they differ by rounding only. ``config`` has
    model and prompt of the adapter's run.

    Raises:
        ModelError: There is no adapter in its folder.
    """
    identity = {
        "format_version": FORMAT_VERSION,
        **task.settings,
        **settings,
        "rows": task.rows,
        "input": None if task.table is None else file_digest(task.table.path),
        **({"columns": task.table.named} if task.table and task.table.named else {}),
        "data": table_digests(folder),
        "prompt": prompt_settings(folder, config.prompt).to_dict(),
        "model": _model(config),
        "adapter": None if adapter is None else _adapter(adapter, config),
    }
    return json.loads(json.dumps(identity))  # as it is read back


def digest(identity: dict[str, Any]) -> str:
    """Return the SHA-256 of an identity's canonical JSON."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return the differences of two identities, each as ``name: before -> now``."""
    old, new = dict(_leaves(before)), dict(_leaves(now))
    return [
        f"{name}: {_short(old.get(name))} -> {_short(new.get(name))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _model(config: Config) -> dict[str, Any]:
    """Identify the base model: by content if it is a folder, by name on the hub."""
    choices = make_choices(config)
    section, quantization = config.model, config.quantization
    folder = Path(section.name_or_path)
    files = sorted(path for path in folder.glob("*") if path.suffix in _MODEL_FILES)
    named: dict[str, Any] = {"name": section.name_or_path, "revision": section.revision}
    return {
        **({"files": {path.name: file_digest(path) for path in files}} if files else named),
        "dtype": str(choices.dtype.value).removeprefix("torch."),
        "four_bit": choices.four_bit.value
        and {"type": quantization.quant_type, "double": quantization.double_quant},
    }


def _adapter(adapter: Path, config: Config) -> dict[str, Any]:
    """Identify the adapter, its calibration and its fusion."""
    files = [ADAPTER_CONFIG, ADAPTER_WEIGHTS]
    if missing := [name for name in files if not (adapter / name).is_file()]:
        raise ModelError(
            f"no adapter here: {missing[0]} is missing",
            code="adapter_not_found",
            where=str(adapter),
            hint="Run: reeltune train, or use the base model with --base-only",
        )
    method = config.scoring.calibration
    if method != "none" and (adapter / CALIBRATION_FILE).is_file():
        files.append(CALIBRATION_FILE)
    if config.scoring.fusion != "none" and (adapter / FUSION_FILE).is_file():
        files.append(FUSION_FILE)  # it has a digest of the trees
    return {"calibration": method, **{name: file_digest(adapter / name) for name in files}}


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
