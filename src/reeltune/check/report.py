"""What guards found, as lines for people and as values for machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

from reeltune.check.findings import FAILED, Outcome

_STATUS_WIDTH: Final = len("not applicable")
_NAME_WIDTH: Final = 26


def outcome_lines(outcome: Outcome) -> Iterator[str]:
    """Yield one line for a guard, and below it the offenders, if any, and the hint."""
    yield f"{outcome.status:{_STATUS_WIDTH}}  {outcome.guard:{_NAME_WIDTH}}{outcome.about}"
    offenders = outcome.offenders
    if not offenders.count:
        return
    for finding in offenders.first:
        yield f"    {finding}"
    if offenders.count > len(offenders.first):
        yield f"    and {offenders.count - len(offenders.first):,} more"
    yield f"    hint: {outcome.hint}"


def outcomes_record(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return all outcomes as plain values for JSON."""
    return {
        "ok": not failed(outcomes),
        "guards": [asdict(outcome) for outcome in outcomes],
    }


def failed(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the names of the guards that failed."""
    return [outcome.guard for outcome in outcomes if outcome.status == FAILED]
