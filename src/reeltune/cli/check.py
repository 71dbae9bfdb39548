"""``reeltune check``: the leak guard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(check)


def check(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A prepared folder, a run folder, or its evaluation folder."
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            show_default="those the run was configured with",
            help="The prepared data of a run or an evaluation.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of lines.")
    ] = False,
) -> None:
    """Look for leaks: nothing a model is judged on may have been known to it."""
    from reeltune.check.guards import check_target
    from reeltune.check.report import failed, outcome_lines, outcomes_record
    from reeltune.check.target import find_target
    from reeltune.errors import LeakError

    target = find_target(folder, data)
    outcomes = []
    for outcome in check_target(target):
        outcomes.append(outcome)
        if not as_json:
            typer.echo("\n".join(outcome_lines(outcome)))
    if as_json:
        typer.echo(json.dumps(outcomes_record(outcomes), indent=2))
    if names := failed(outcomes):
        raise LeakError(
            f"{len(names)} of {len(outcomes)} leakage checks failed ({', '.join(names)})",
            code="leak_found",
            where=str(folder),
            hint="Metrics measured on these data are not valid",
        )
