"""What flags of ``reeltune recommend`` mean, and which do not go together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from reeltune.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from reeltune.config import Config

Format = Literal["table", "json", "csv"]


def shape_of(asked: Format | None, output: Path | None) -> Format:
    """Return how the list is written.

    Raises:
        ConfigError: The file cannot be written.
    """
    if output is not None and output.is_dir():
        raise ConfigError(
            "is a folder", code="output_is_a_folder", where=str(output), hint="Name a file in it"
        )
    if asked is not None or output is None:
        return asked or "table"
    endings: dict[str, Format] = {".json": "json", ".csv": "csv"}
    return endings.get(output.suffix.lower(), "table")


def limit_of(candidates: str | None) -> int | Literal["all"] | None:
    """Return how many films are to be judged."""
    if candidates is None or candidates == "all":
        return candidates
    if not candidates.isdecimal() or int(candidates) < 1:
        raise typer.BadParameter(f"--candidates {candidates!r} is neither a number nor all")
    return int(candidates)


def adapter_of(config: Config, adapter: Path | None, base_only: bool, base: bool) -> Path | None:
    """Return where the adapter lies; None for the base model alone.

    Raises:
        ConfigError: The base model is asked for twice.
        ModelError: There is no adapter.
    """
    from reeltune.models.names import ADAPTER_CONFIG

    if base_only:
        if base or adapter is not None:
            flag = "--base" if base else "--adapter"
            raise ConfigError(
                f"--base-only and {flag} are both given",
                code="conflicting_flags",
                hint="Leave one of them out",
            )
        return None
    folder = adapter or config.train.output_dir
    if not (folder / ADAPTER_CONFIG).is_file():
        mend = "Run: reeltune train, or ask the base model with --base-only"
        raise ModelError("no adapter here", code="adapter_not_found", where=str(folder), hint=mend)
    return folder
