"""``reeltune train``."""

from __future__ import annotations

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
    if dry_run:
        from reeltune.training.dry_run import dry_run as show

        show(resolved)
        return
    from reeltune.api.runs import train as run
    from reeltune.models.choices import process_state

    run(resolved, resume=resume, overwrite=overwrite)
    process_state().destroy_process_group()  # torch warns of processes that end without
