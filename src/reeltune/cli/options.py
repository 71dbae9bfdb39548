"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

DEFAULT_CONFIG = Path("configs/qwen3_movielens_qlora.yaml")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="The YAML configuration.", show_default=True)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override one key: section.key=value. Can be given many times."),
]

AdapterOption = Annotated[
    Path | None,
    typer.Option(
        "--adapter",
        help="The folder of the trained adapter; by default train.output_dir of the configuration.",
    ),
]
SplitOption = Annotated[
    Literal["validation", "test"], typer.Option("--split", help="Which rows to score.")
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--max-examples", min=1, help="Score a random sample of this many rows of the split."
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", help="Where the JSON goes; by default beside the adapter."),
]


def evaluation_overrides(override: list[str] | None, max_examples: int | None) -> list[str]:
    """Return the overrides with a limit on the rows, if one was given."""
    limit = [f"evaluation.max_examples={max_examples}"] if max_examples is not None else []
    return [*(override or ()), *limit]
