"""``reeltune check``: leakage checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


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
    """Look for leaks: a model must not have known any row that it is evaluated on."""
    from reeltune.errors import LeakError
    from reeltune.leakage.outcomes import failed, outcomes_record
    from reeltune.leakage.suite import find_target, run_checks

    target = find_target(folder, data)
    outcomes = []
    for outcome in run_checks(target):
        outcomes.append(outcome)
        if not as_json:
            typer.echo("\n".join(outcome.lines()))
    if as_json:
        typer.echo(json.dumps(outcomes_record(outcomes), indent=2))
    if names := failed(outcomes):
        raise LeakError(
            f"{len(names)} of {len(outcomes)} leakage checks failed ({', '.join(names)})",
            code="leak_found",
            where=str(folder),
            hint="Metrics measured on these data are not valid",
        )
