"""``reeltune train`` and ``tune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reeltune.cli import options
from reeltune.extras import require


def train(
    config: options.ConfigOption = options.DEFAULT_CONFIG,
    override: options.SetOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the newest whole checkpoint.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run in the output folder.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show the configuration, rows, lengths, memory and one example, run one step "
            "forward and backward, and change nothing on disk.",
        ),
    ] = False,
) -> None:
    """Fine-tune the adapter: load, preprocess, train with periodic evaluation, save."""
    require("train")
    resolved = options.resolve_config(config, override)
    with options.importing():
        import reeltune.training.train  # noqa: F401  # with all that the functions below import
    if dry_run:
        from reeltune.training.dry_run import dry_run as show

        show(resolved)
        return
    from reeltune.api.runs import train as run
    from reeltune.models.choices import process_state

    run(resolved, resume=resume, overwrite=overwrite)
    process_state().destroy_process_group()  # torch warns of processes that end without


SPACE = "KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=a,b,c: search a key; one value fixes it. Repeatable."


def tune(
    config: options.ConfigOption = options.DEFAULT_CONFIG,
    override: options.SetOption = None,
    output_dir: Annotated[Path | None, typer.Option(help="Default: train.output_dir-tune.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Run trials until there are so many.")] = 20,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds until no more begin.")
    ] = None,
    space: Annotated[list[str] | None, typer.Option(help=SPACE)] = None,
    keep: Annotated[int, typer.Option(min=1, help="How many of the best keep their weights.")] = 3,
) -> None:
    """Search for the configuration with the lowest validation log loss, a training per trial."""
    require("train")
    require("tune")
    resolved = options.resolve_config(config, override)
    with options.importing():
        from reeltune.api.runs import tune as search
        from reeltune.training.tune import BEST_FILE, trials_table

    folder = output_dir or Path(f"{resolved.train.output_dir}-tune")
    found = search(
        resolved, output=folder, trials=trials, timeout=timeout, space=space or (), keep=keep
    )
    typer.echo(trials_table(found))
    running = any(trial["state"] == "running" for trial in found["trials"])
    so_far = " so far" if running else ""
    typer.echo(f"the best configuration{so_far}: reeltune train --config {folder / BEST_FILE}")
