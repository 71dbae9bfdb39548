"""``reeltune export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from reeltune.cli import options


def export(
    *,
    merged: Annotated[Path, typer.Option("--merged", help="Folder of the merged model.")],
    config: options.ConfigOption = options.DEFAULT_CONFIG,
    override: options.SetOption = None,
    adapter: options.AdapterOption = None,
    split: options.SplitOption = "test",
    rows: Annotated[
        int, typer.Option("--rows", min=1, help="Measure on a random sample of this many rows.")
    ] = 1000,
    dtype: Annotated[
        Literal["bfloat16", "float16", "float32"],
        typer.Option("--dtype", help="Data type of the merged weights."),
    ] = "bfloat16",
    onto: Annotated[
        Literal["published", "4bit"],
        typer.Option(
            "--onto",
            help="Merge into the base's published weights, or into its dequantized 4-bit weights, "
            "for an adapter trained in 4 bits.",
        ),
    ] = "published",
    max_auc_drift: Annotated[
        float,
        typer.Option("--max-auc-drift", min=0, help="Largest allowed difference of the AUC."),
    ] = 0.005,
    max_p_drift: Annotated[
        float,
        typer.Option("--max-p-drift", min=0, help="Largest allowed difference of any P(Yes)."),
    ] = 0.05,
    allow_drift: Annotated[
        bool, typer.Option("--allow-drift", help="Keep the model even beyond a bound.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export in that folder.")
    ] = False,
) -> None:
    """Write base and adapter as one ordinary model and measure its drift from the adapter."""
    from rich.console import Console

    from reeltune.export.drift import Bounds, drift_tables
    from reeltune.export.export import ExportOptions, export_merged
    from reeltune.progress import scoring_progress
    from reeltune.runs.log import logging_to

    resolved = options.resolve_config(config, override)
    chosen = ExportOptions(
        rows=rows,
        split=split,
        dtype=dtype,
        onto=onto,
        bounds=Bounds(max_auc_drift, max_p_drift),
        allow_drift=allow_drift,
        overwrite=overwrite,
    )
    console = Console()
    with logging_to(None), scoring_progress() as progress:
        export_merged(
            resolved,
            adapter or resolved.train.output_dir,
            merged,
            chosen,
            lambda drift: console.print(drift_tables(drift)),
            progress,
        )
    typer.echo(f"written to {merged}")
