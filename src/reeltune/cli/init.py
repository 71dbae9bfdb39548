"""``reeltune init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    folder: Annotated[Path, typer.Argument(help="The folder of the project.")] = Path(),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files with other content.")
    ] = False,
) -> None:
    """Start a project: write the preset configurations and folders for data, models and output."""
    from reeltune.config.presets import CONFIGS_FOLDER, DEFAULT_PRESET, write_project

    for path in write_project(folder, overwrite=overwrite):
        typer.echo(f"written: {path}")
    typer.echo(f"Edit {folder / CONFIGS_FOLDER / DEFAULT_PRESET}.yaml. Then run, in {folder}:")
    for command in ("prepare", "lengths", "train", "compare"):
        typer.echo(f"  reeltune {command}")
