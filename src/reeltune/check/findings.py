"""What a guard says: that it held, that it does not apply and why, or which rows break it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

SHOWN: Final = 5
"""Offenders that are named; the others are counted."""

Status = Literal["ok", "failed", "suspicious", "not applicable"]

OK: Final[Status] = "ok"
FAILED: Final[Status] = "failed"
SUSPICIOUS: Final[Status] = "suspicious"
NOT_APPLICABLE: Final[Status] = "not applicable"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        what: What is wrong, without a full stop.
        user_id: Whose row it is; None where it is not about a row.
        item_id: The film of the row.
        event: The row's place among the events of ``timelines.parquet``, counted from 0.
    """

    message: str
    user_id: int | None = None
    item_id: int | None = None
    event: int | None = None

    def __str__(self) -> str:
        named = (("user", self.user_id), ("film", self.item_id), ("event", self.event))
        row = ", ".join(f"{name} {value}" for name, value in named if value is not None)
        return f"{row}: {self.message}" if row else self.message


@dataclass(frozen=True)
class Offenders:
    """How many things are wrong, and the first few of them."""

    count: int
    first: tuple[Finding, ...]

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> Offenders:
        """Keep the first few of all findings."""
        return cls(len(findings), tuple(findings[:SHOWN]))

    def __add__(self, other: Offenders) -> Offenders:
        return Offenders(self.count + other.count, (self.first + other.first)[:SHOWN])


NONE: Final = Offenders(0, ())


@dataclass(frozen=True)
class Outcome:
    """What one guard found.

    Attributes:
        guard: Its name.
        status: Whether it held.
        about: What was looked at, or why the guard does not apply.
        offenders: What is wrong; nothing unless it failed or is suspicious.
        hint: What the user can do; None unless it failed or is suspicious.
    """

    guard: str
    status: Status
    about: str
    offenders: Offenders = NONE
    hint: str | None = None


@dataclass(frozen=True)
class Guard:
    """A guard's name, and what to do when it fails.

    Attributes:
        name: What it is called.
        hint: What the user can do.
        proves: Whether what it finds is wrong for certain, rather than worth a look.
    """

    name: str
    hint: str
    proves: bool = True

    def judge(self, about: str, offenders: Offenders) -> Outcome:
        """Return that it held, or that it failed (or is suspicious) if there are offenders.

        Args:
            about: What was looked at.
            offenders: What is wrong with it.
        """
        if offenders.count:
            status = FAILED if self.proves else SUSPICIOUS
            return Outcome(self.name, status, about, offenders, self.hint)
        return Outcome(self.name, OK, about)

    def not_applicable(self, reason: str) -> Outcome:
        """Return that there is nothing to look at, and why."""
        return Outcome(self.name, NOT_APPLICABLE, reason)


PREPARE_AGAIN: Final = "Prepare the data again, and train and evaluate on what that gives"
"""What helps against every fault of a prepared folder."""
