"""Options shared by ``reeltune recommend`` and ``reeltune score``, and checks of their values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from reeltune.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from reeltune.config import Config

Format = Literal["table", "json", "csv"]

BaseOnlyOption = Annotated[
    bool, typer.Option("--base-only", help="Use the base model, without an adapter.")
]
HistoryOption = Annotated[
    int | None,
    typer.Option(
        "--history",
        min=1,
        help="Number of the newest ratings shown to the model. Default: as in the prepared data.",
    ),
]
GenreOption = Annotated[
    list[str] | None,
    typer.Option("--genre", help="Only films of this genre. Repeat it to allow several."),
]
WithoutGenreOption = Annotated[
    list[str] | None, typer.Option("--without-genre", help="No films of this genre.")
]
YearFromOption = Annotated[int | None, typer.Option("--year-from", help="First year of a film.")]
YearToOption = Annotated[int | None, typer.Option("--year-to", help="Last year of a film.")]
MinRatingsOption = Annotated[
    int | None,
    typer.Option("--min-ratings", min=0, help="Only films with at least this many ratings."),
]
MaxRatingsOption = Annotated[
    int | None,
    typer.Option("--max-ratings", min=0, help="Only films with at most this many ratings."),
]


def format_of(given: Format | None, output: Path | None) -> Format:
    """Return the output format: as given, else by the file's ending, else a table.

    Raises:
        ConfigError: The file is a folder.
    """
    if output is not None and output.is_dir():
        raise ConfigError(
            "is a folder", code="output_is_a_folder", where=str(output), hint="Name a file in it"
        )
    if given is not None or output is None:
        return given or "table"
    endings: dict[str, Format] = {".json": "json", ".csv": "csv"}
    return endings.get(output.suffix.lower(), "table")


def candidate_count(candidates: str | None) -> int | Literal["all"] | None:
    """Parse ``--candidates``."""
    if candidates is None or candidates == "all":
        return candidates
    if not candidates.isdecimal() or int(candidates) < 1:
        raise typer.BadParameter(f"--candidates {candidates!r} is neither a number nor all")
    return int(candidates)


def adapter_of(config: Config, adapter: Path | None, base_only: bool, base: bool) -> Path | None:
    """Return the adapter's folder; None for the base model alone.

    Raises:
        ConfigError: ``--base-only`` is combined with ``--base`` or ``--adapter``.
        ModelError: There is no adapter.
    """
    from reeltune.runs.folder import ADAPTER_CONFIG

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
        raise ModelError(
            "no adapter here",
            code="adapter_not_found",
            where=str(folder),
            hint="Run: reeltune train, or use the base model with --base-only",
        )
    return folder
