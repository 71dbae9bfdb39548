"""Bad rows of source files: described one by one and counted by reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from reeltune.errors import DataError

ROWS_LISTED: Final = 100
"""How many rows ``meta.json`` lists for each reason; counts are always complete."""

_VALUE_LENGTH = 120


@dataclass(frozen=True)
class BadRow:
    """One row that cannot be used.

    Attributes:
        file: The name of the file.
        line: The physical line on which the row begins, counted from 1, header included.
        reason: Stable key for counting.
        message: What is wrong, without a full stop.
        value: The text in the file.
        hint: What to do about it.
    """

    file: str
    line: int
    reason: str
    message: str
    value: str
    hint: str = "Correct the row"

    def to_dict(self) -> dict[str, Any]:
        """Return file, line and value for ``meta.json``."""
        return {"file": self.file, "line": self.line, "value": self.value[:_VALUE_LENGTH]}

    def error(self, bad_rows: int) -> DataError:
        """Return the error that stops at this row, the first of ``bad_rows``."""
        others = f" (the first of {bad_rows:,} bad rows)" if bad_rows > 1 else ""
        return DataError(
            f"{self.message}{others}",
            code="bad_row",
            where=f"{self.file}, line {self.line}",
            hint=f"{self.hint}, or pass --skip-bad-rows to drop and count such rows",
        )


@dataclass
class DroppedRows:
    """Rows dropped from one file, by reason."""

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, list[BadRow]] = field(default_factory=dict)

    def add(self, rows: Sequence[BadRow], counts: Mapping[str, int]) -> None:
        """Add the first rows of each reason, in file order, and the counts of all of them."""
        for reason, count in counts.items():
            self.counts[reason] = self.counts.get(reason, 0) + count
        for row in rows:
            listed = self.first.setdefault(row.reason, [])
            if len(listed) < ROWS_LISTED:
                listed.append(row)

    def refuse_or_add(
        self, rows: Sequence[BadRow], counts: Mapping[str, int], *, skip: bool
    ) -> None:
        """Add the rows if bad rows are skipped, else raise a DataError for the first one."""
        if rows and not skip:
            raise min(rows, key=lambda row: row.line).error(sum(counts.values()))
        self.add(rows, counts)

    @property
    def total(self) -> int:
        """All dropped rows."""
        return sum(self.counts.values())

    def to_dict(self) -> dict[str, Any]:
        """Return reasons in alphabetical order with their counts and first rows."""
        return {
            reason: {
                "count": self.counts[reason],
                "first": [row.to_dict() for row in self.first.get(reason, [])],
            }
            for reason in sorted(self.counts)
        }
