"""The base model of a run: its location and a digest of its weights, in ``run.json``."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any, Final

from huggingface_hub import try_to_load_from_cache

from reeltune.config.model_sections import ModelSection
from reeltune.errors import ModelError
from reeltune.files import cached_digest
from reeltune.runs.folder import RunFolder
from reeltune.runs.log import LOGGER

_HUB_NAME: Final = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")

_NO_OWNERS: Final = frozenset({"models", "datasets", "spaces", "output", "data"})
"""Addresses of the hub's own pages, and our folders: no model's name begins with them."""


def is_path(name: str, revision: str | None = None) -> bool:
    """Return whether a name of a model is a path, existing or not, and not a name on the hub."""
    if os.path.lexists(name) or not _HUB_NAME.fullmatch(name):
        return True
    parts = Path(name).parts
    return parts[0] in _NO_OWNERS or (
        len(parts) > 1 and revision is None and Path(parts[0]).is_dir()
    )


def refuse_missing_folder(name: str, revision: str | None = None) -> None:
    """Refuse a path that does not exist, before a model of that name is looked up on the hub.

    Raises:
        ModelError: ``model_folder_missing``.
    """
    if is_path(name, revision) and not Path(name).exists():
        raise ModelError(
            "this folder of a model does not exist",
            code="model_folder_missing",
            where=name,
            hint="Set model.name_or_path to a folder with a model or a name on the hub; for a "
            "trained adapter, give the folder of its base model with --base",
        )


def weights_digest(folder: Path) -> str | None:
    """Return a SHA-256 over all safetensors files of a folder, or None if there are none.

    It equals ``LC_ALL=C sha256sum *.safetensors | sha256sum`` within the folder.
    """
    files = sorted(folder.resolve().glob("*.safetensors"), key=lambda file: file.name.encode())
    lines = [f"{cached_digest(file)}  {file.name}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else None


def base_record(model: ModelSection, run: Path) -> dict[str, Any]:
    """Return the entry ``base`` of ``run.json`` for a loaded base model.

    A folder is recorded by its path relative to the run folder, a model on the hub by its name and
    commit.
    """
    folder = _local_folder(model)
    digest = None if folder is None else weights_digest(folder)
    if folder is None or not Path(model.name_or_path).is_dir():
        commit = model.revision if folder is None else folder.name
        return {"name": model.name_or_path, "revision": commit, "sha256": digest}
    relative = os.path.relpath(folder.resolve(), run.resolve())
    return {"path": Path(relative).as_posix(), "sha256": digest}


def base_of_run(run: RunFolder, recorded: ModelSection) -> ModelSection:
    """Return the model section of a run with the present location of its base.

    Raises:
        ModelError: The base is in no folder that the run names (``base_not_found``).
    """
    base = run.record().get("base")
    if base is None:  # written before runs recorded their base
        return recorded
    if "name" in base:
        update = {"name_or_path": base["name"], "revision": base["revision"]}
        return recorded.model_copy(update=update)
    beside, before = (run.path.resolve() / base["path"]).resolve(), Path(recorded.name_or_path)
    if before.is_dir() and (before.resolve() == beside or not beside.is_dir()):
        return recorded
    if not beside.is_dir():
        raise ModelError(
            "the base model of this run is missing",
            code="base_not_found",
            where=str(beside),
            hint="Copy it there, or give its folder with --base",
        )
    name = os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)
    return recorded.model_copy(update={"name_or_path": name, "revision": None})


def check_base(run: RunFolder, model: ModelSection, *, quiet: bool = False) -> None:
    """Refuse a base model whose weights are not those the run was trained on.

    Nothing is checked for runs without a digest, nor for models that are not on this machine yet.

    Raises:
        ModelError: ``base_differs``.
    """
    expected = run.record().get("base", {}).get("sha256")
    folder = _local_folder(model)
    if expected is None or folder is None:
        return
    actual = weights_digest(folder)
    if actual != expected:
        raise ModelError(
            f"the weights of this base model are not those of the run {run.path} (sha256 of its "
            f"safetensors files: {actual and actual[:12]}, in run.json: {expected[:12]})",
            code="base_differs",
            where=model.name_or_path,
            hint="Give the base model the adapter was trained on: --base, or model.name_or_path "
            "in training",
        )
    if not quiet:  # it is checked again when it is loaded
        LOGGER.info("base model: weights as in training (sha256 %s)", expected[:12])


def _local_folder(model: ModelSection) -> Path | None:
    """Return the folder with the files of a model; None if they are not on this machine."""
    if Path(model.name_or_path).is_dir():
        return Path(model.name_or_path)
    if is_path(model.name_or_path, model.revision):
        return None
    config = try_to_load_from_cache(model.name_or_path, "config.json", revision=model.revision)
    return Path(config).parent if isinstance(config, str) else None
