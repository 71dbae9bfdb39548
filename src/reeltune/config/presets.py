"""Packaged configurations, the file that ``--config`` names, and the folder of a new project."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from reeltune.errors import ConfigError
from reeltune.files import atomic_file

PRESETS: Final = {file.stem: file for file in (Path(__file__).parent / "presets").glob("*.yaml")}
"""The file of each preset, by name."""

DEFAULT_PRESET: Final = "qwen3_movielens_qlora"
CONFIGS_FOLDER: Final = Path("configs")

_IGNORED_FOLDERS: Final = ("data", "models", "output")
_IGNORE_ALL: Final = "*\n!.gitignore\n"


def find_config(named: Path | None) -> Path:
    """Return the file of a configuration: a path, or the name of a preset.

    The default is the file of the default preset in ``configs/``, or the preset itself where there
    is no such folder.
    """
    if named is None:
        file = CONFIGS_FOLDER / f"{DEFAULT_PRESET}.yaml"
        return file if CONFIGS_FOLDER.is_dir() else PRESETS[DEFAULT_PRESET]
    preset = PRESETS.get(str(named), named)
    return named if preset != named and named.exists() else preset


def write_project(folder: Path, *, overwrite: bool) -> list[Path]:
    """Write ``configs/`` with every preset, and folders for data, models and output.

    A ``.gitignore`` keeps the content of these folders out of version control.

    Returns:
        The files written; files with the same content are left alone.

    Raises:
        ConfigError: A file exists with other content, and ``overwrite`` is not set.
    """
    texts = {
        folder / CONFIGS_FOLDER / file.name: file.read_text(encoding="utf-8")
        for file in PRESETS.values()
    }
    texts |= {folder / name / ".gitignore": _IGNORE_ALL for name in _IGNORED_FOLDERS}
    changed = sorted(
        path
        for path, text in texts.items()
        if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text
    )
    existing = [path for path in changed if path.exists()]
    if existing and not overwrite:
        raise ConfigError(
            "exists with other content",
            code="file_exists",
            where=", ".join(map(str, existing)),
            hint="Choose another folder, or replace it with --overwrite",
        )
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as temporary:
            temporary.write_text(texts[path], encoding="utf-8")
    return changed
