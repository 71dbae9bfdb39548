"""``reeltune evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from reeltune.cli.options import (
    DEFAULT_CONFIG,
    AdapterOption,
    ConfigOption,
    LimitOption,
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
    baselines: Annotated[
        bool | None,
        typer.Option("--baselines/--no-baselines", help="Whether to fit classical baselines."),
    ] = None,
    controls: Annotated[
        int | None,
        typer.Option(
            "--controls", min=0, help="Rows to ask with something taken away; 0 for none."
        ),
    ] = None,
    keep_verdicts: Annotated[
        bool,
        typer.Option(
            "--keep-verdicts",
            help="Take the models' verdicts and controls from this run's last evaluation, as when "
            "it was made on a GPU and the baselines are to be fitted here.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="The folder to write to; by default beside the adapter."),
    ] = None,
) -> None:
    """Measure tuned model, base model and classical baselines on the same rows, with a report."""
    from functools import partial

    from rich.console import Console

    from reeltune.asking.subject import load_subject
    from reeltune.config import load_config
    from reeltune.evaluation.assemble import assemble
    from reeltune.evaluation.gather import gather
    from reeltune.evaluation.tables import difference_lines, scorers_table
    from reeltune.progress import scoring_progress
    from reeltune.report.keep import REPORT_FILE, keep, keep_with_adapter, read_earlier
    from reeltune.runs.folder import RunFolder
    from reeltune.runs.log import LOGGER, logging_to

    overrides = evaluation_overrides(override, max_examples)
    if baselines is not None:
        overrides.append(f"evaluation.baselines={str(baselines).lower()}")
    if controls is not None:
        overrides.append(f"evaluation.ablation_examples={controls}")
    resolved = load_config(config, overrides)
    run = None if base_only else RunFolder(adapter or resolved.train.output_dir)
    target = output or _target(run and run.path, resolved.train.output_dir, split, form)
    with logging_to(None):
        subject = load_subject(resolved, run.path if run else None, form, calibrated=False)
        earlier = read_earlier(target, subject, run) if keep_verdicts else None
        with scoring_progress() as progress:
            said = partial(LOGGER.info, "baseline: %s")
            found = gather(subject, split, progress, said, earlier)
            evaluation = assemble(subject, found, progress)
        keep(target, subject, found, evaluation, run)
        if run is not None and form is None and split == "test":
            keep_with_adapter(run, found, evaluation)
    console = Console()
    console.print(scorers_table(evaluation))
    for line in difference_lines(evaluation):
        console.print(line, highlight=False)
    for warning in evaluation.warnings:
        console.print(f"Note: {warning}", highlight=False)
    typer.echo(f"written to {target / REPORT_FILE} and beside it")


def _target(adapter: Path | None, output_dir: Path, split: str, form: str | None) -> Path:
    """Return the folder an evaluation is written to."""
    parts = ["evaluation", *([split] if split != "test" else []), *([form] if form else [])]
    name = "-".join(parts)
    # A base model has no run folder, and a file in an empty one would be in training's way.
    return adapter / name if adapter else output_dir.with_name(f"{output_dir.name}-base-{name}")
