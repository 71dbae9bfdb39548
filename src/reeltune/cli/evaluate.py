"""``reeltune evaluate``."""

from __future__ import annotations

from typing import Annotated, Literal

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
    app.command()(evaluate)


def evaluate(
    config: ConfigOption = DEFAULT_CONFIG,
    override: SetOption = None,
    adapter: AdapterOption = None,
    split: SplitOption = "test",
    max_examples: LimitOption = None,
    base_only: Annotated[
        bool, typer.Option("--base-only", help="Score the base model, without any adapter.")
    ] = False,
    form: Annotated[
        Literal["window", "interview"] | None,
        typer.Option("--form", help="Ask in this form, whichever the adapter was trained in."),
    ] = None,
    output: OutputOption = None,
) -> None:
    """Measure a model on validation or test rows: a table, and JSON beside the adapter."""
    from rich.console import Console

    from reeltune.cli.scoring_progress import scoring_progress
    from reeltune.config import load_config
    from reeltune.evaluation.evaluate import evaluation_record, score_split
    from reeltune.evaluation.subject import load_subject
    from reeltune.evaluation.tables import metrics_table
    from reeltune.files import write_json
    from reeltune.runs.log import logging_to

    resolved = load_config(config, evaluation_overrides(override, max_examples))
    folder = adapter or resolved.train.output_dir
    with logging_to(None):
        subject = load_subject(resolved, None if base_only else folder, form)
        name = "base" if base_only else "tuned"
        with scoring_progress() as progress:
            scored = score_split(subject, split, progress(name))
    metrics = {name: scored.metrics}
    Console().print(metrics_table(f"{split} rows, {resolved.data.prepared_dir}", metrics))
    # A base model has no run folder, and a file in an empty one would be in training's way.
    beside = resolved.train.output_dir.parent if base_only else folder
    asked = f"-{form}" if form else ""
    target = output or beside / f"evaluation-{name}-{split}{asked}.json"
    write_json(target, evaluation_record(subject, split, metrics))
    typer.echo(f"written to {target}")
