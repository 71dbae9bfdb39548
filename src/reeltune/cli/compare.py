"""``reeltune compare``."""

from __future__ import annotations

from dataclasses import asdict
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
    """Show base and tuned model side by side on the same rows, with the metrics of both."""
    from rich.console import Console

    from reeltune.asking.subject import load_subject
    from reeltune.config import load_config
    from reeltune.evaluation.compare import compare as run
    from reeltune.evaluation.evaluate import evaluation_record
    from reeltune.evaluation.tables import difference_line, metrics_table, samples_table
    from reeltune.files import write_json
    from reeltune.progress import scoring_progress
    from reeltune.runs.log import logging_to

    overrides = evaluation_overrides(override, max_examples)
    if samples is not None:
        overrides.append(f"evaluation.samples={samples}")
    resolved = load_config(config, overrides)
    folder = adapter or resolved.train.output_dir
    with logging_to(None):
        subject = load_subject(resolved, folder)
        with scoring_progress() as progress:
            found = run(subject, split, progress)
    console = Console()
    if found.samples:
        console.print(samples_table(found.samples))
    metrics = {"base": found.base.metrics, "tuned": found.tuned.metrics}
    console.print(metrics_table(f"{split} rows, {resolved.data.prepared_dir}", metrics))
    console.print(difference_line(found.auc_difference))
    target = output or folder / f"comparison-{split}.json"
    record = evaluation_record(subject, split, metrics)
    interval = found.auc_difference
    write_json(
        target,
        record
        | {
            "auc_difference": asdict(interval) if interval is not None else None,
            "samples": [asdict(sample) for sample in found.samples],
        },
    )
    typer.echo(f"written to {target}")
