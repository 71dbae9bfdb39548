"""Outcomes of checks: whether one passed, does not apply and why, or which rows fail it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from reeltune.data.folder import PreparedFolder
from reeltune.data.ids import shown_id
from reeltune.data.invariants import EventTable
from reeltune.data.timelines import Ints

SHOWN: Final = 5
"""Offenders that are listed; the others are counted."""

Status = Literal["ok", "failed", "suspicious", "not applicable"]

OK: Final[Status] = "ok"
FAILED: Final[Status] = "failed"
SUSPICIOUS: Final[Status] = "suspicious"
NOT_APPLICABLE: Final[Status] = "not applicable"

PREPARE_AGAIN: Final = "Prepare the data again, and train and evaluate on the result"


@dataclass(frozen=True)
class Finding:
    """One fault; ``user_id``, ``item_id`` and ``event`` are None if it is not about a row.

    Ids are as the data give them; one that no data give, of a damaged file, is its key.

    ``event`` is the row's index in ``timelines.parquet``, counted from 0.
    """

    message: str
    user_id: int | str | None = None
    item_id: int | str | None = None
    event: int | None = None

    def __str__(self) -> str:
        named = (("user", self.user_id), ("item", self.item_id), ("event", self.event))
        row = ", ".join(f"{name} {shown_id(value)}" for name, value in named if value is not None)
        return f"{row}: {self.message}" if row else self.message


@dataclass(frozen=True)
class Offenders:
    """The number of faults, and the first few of them."""

    count: int
    first: tuple[Finding, ...]

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> Offenders:
        """Keep the first few of all findings."""
        return cls(len(findings), tuple(findings[:SHOWN]))

    @classmethod
    def of_rows(cls, rows: Sequence[int] | Ints, explain: Callable[[int], Finding]) -> Offenders:
        """Count rows and explain the first few."""
        return cls(len(rows), tuple(explain(int(row)) for row in rows[:SHOWN]))

    def __add__(self, other: Offenders) -> Offenders:
        return Offenders(self.count + other.count, (self.first + other.first)[:SHOWN])


NONE: Final = Offenders(0, ())


def event_finding(table: EventTable, event: int, message: str) -> Finding:
    """Return a finding about one event."""
    user, item = table.timelines.user_id[event], table.item_id[event]
    return row_finding(table.folder, message, int(user), int(item), event)


def row_finding(
    folder: PreparedFolder, message: str, user: int, item: int, event: int | None = None
) -> Finding:
    """Return a finding about a row, given by the keys of its ids."""
    return Finding(message, folder.user_ids.named(user), folder.item_ids.named(item), event)


@dataclass(frozen=True)
class Outcome:
    """The result of one check.

    Attributes:
        check: Its name.
        status: Whether it passed.
        about: What was checked, or why the check does not apply.
        offenders: What is wrong; empty unless it failed or is suspicious.
        hint: What the user can do; None unless it failed or is suspicious.
    """

    check: str
    status: Status
    about: str
    offenders: Offenders = NONE
    hint: str | None = None

    def lines(self) -> Iterator[str]:
        """Yield one line, and below it the offenders, if any, and the hint."""
        yield f"{self.status:{_STATUS_WIDTH}}  {self.check:{_NAME_WIDTH}}{self.about}"
        if not self.offenders.count:
            return
        for finding in self.offenders.first:
            yield f"    {finding}"
        if self.offenders.count > len(self.offenders.first):
            yield f"    and {self.offenders.count - len(self.offenders.first):,} more"
        yield f"    hint: {self.hint}"


_STATUS_WIDTH: Final = len(NOT_APPLICABLE)
_NAME_WIDTH: Final = 28


@dataclass(frozen=True)
class Check:
    """The name of a check in the output of ``reeltune check``, and what to do if it fails.

    An offender is wrong for certain, unless ``certain`` is false: then it is suspicious.
    """

    name: str
    hint: str
    certain: bool = True

    def result(self, about: str, offenders: Offenders) -> Outcome:
        """Return that it passed, or failed (or is suspicious) if there are offenders."""
        if offenders.count:
            status = FAILED if self.certain else SUSPICIOUS
            return Outcome(self.name, status, about, offenders, self.hint)
        return Outcome(self.name, OK, about)

    def not_applicable(self, reason: str) -> Outcome:
        """Return that there is nothing to check, and why."""
        return Outcome(self.name, NOT_APPLICABLE, reason)


def outcomes_record(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return all outcomes as plain values for JSON."""
    return {"ok": not failed(outcomes), "checks": [asdict(outcome) for outcome in outcomes]}


def failed(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the names of the checks that failed."""
    return [outcome.check for outcome in outcomes if outcome.status == FAILED]
