"""``reeltune doctor``."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check this machine: versions, GPU, compiler, space and the hub, each with what it means."""
    from reeltune.doctor import diagnose

    findings = diagnose()
    healthy = all(finding.status != "problem" for finding in findings)
    if as_json:
        content = [dataclasses.asdict(finding) for finding in findings]
        typer.echo(json.dumps({"healthy": healthy, "findings": content}, indent=2))
    else:
        for finding in findings:
            label = typer.style(f"{finding.status:8}", fg=_COLOURS[finding.status])
            typer.echo(f"{label}{finding.name:16}{finding.value}: {finding.meaning}")
            if finding.remedy is not None:
                typer.echo(f"{'':24}{finding.remedy}")
    if not healthy:
        raise typer.Exit(1)
