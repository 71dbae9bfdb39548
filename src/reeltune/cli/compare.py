"""``reeltune compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from reeltune.cli.options import (
    DEFAULT_CONFIG,
    AdapterOption,
    ConfigOption,
    LimitOption,
    OutputOption,
    SetOption,
    SplitOption,
    evaluation_overrides,
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(compare)


def compare(
    config: ConfigOption = DEFAULT_CONFIG,
    override: SetOption = None,
    adapter: AdapterOption = None,
    split: SplitOption = "test",
    max_examples: LimitOption = None,
    samples: Annotated[
        int | None, typer.Option("--samples", min=0, help="How many rows to show in full.")
    ] = None,
    output: OutputOption = None,
) -> None:
    """Compare base and tuned model on the same rows: metrics, difference, and rows in full."""
    from rich.console import Console

    from reeltune.config import load_config
    from reeltune.evaluation.compare import compare as compare_models
    from reeltune.evaluation.tables import difference_line, metrics_table, samples_table
    from reeltune.files import write_json
    from reeltune.models.loaded_model import load_model
    from reeltune.progress import scoring_progress
    from reeltune.runs.log import logging_to

    overrides = evaluation_overrides(override, max_examples)
    if samples is not None:
        overrides.append(f"evaluation.samples={samples}")
    resolved = load_config(config, overrides)
    folder = adapter or resolved.train.output_dir
    with logging_to(None):
        loaded = load_model(resolved, folder)
        with scoring_progress() as progress:
            comparison = compare_models(loaded, split, progress)
    console = Console()
    if comparison.samples:
        console.print(samples_table(comparison.samples))
    console.print(metrics_table(f"{split} rows, {resolved.data.prepared_dir}", comparison.metrics))
    console.print(difference_line(comparison.auc_difference))
    target = output or folder / f"comparison-{split}.json"
    write_json(target, comparison.to_dict(loaded))
    typer.echo(f"written to {target}")
