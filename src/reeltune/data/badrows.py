"""Bad rows of source files: described one by one and counted by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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
        value: The text in the file.
    """

    file: str
    line: int
    reason: str
    message: str
    value: str
    hint: str = "Correct the row"

    def error(self, bad_rows: int) -> DataError:
        """Return the error that stops at this row, the first of ``bad_rows``."""
        others = f" (the first of {bad_rows:,} bad rows)" if bad_rows > 1 else ""
        return DataError(
            f"{self.message}{others}",
            code="bad_row",
            where=f"{self.file}, line {self.line}",
            hint=f"{self.hint}, or pass --skip-bad-rows to drop and count such rows",
        )


@dataclass(frozen=True)
class DroppedRows:
    """Rows dropped from one file.

    Attributes:
        rows: At least the first :data:`ROWS_LISTED` of each reason, in file order.
        counts: All rows, by reason.
    """

    rows: Sequence[BadRow] = ()
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, rows: Sequence[BadRow], counts: Counter[str], *, skip: bool) -> DroppedRows:
        """Return bad rows if they are skipped, else raise a DataError for the first one."""
        if rows and not skip:
            raise min(rows, key=lambda row: row.line).error(counts.total())
        return cls(rows, counts)

    @property
    def total(self) -> int:
        """All dropped rows."""
        return self.counts.total()

    def to_dict(self) -> dict[str, Any]:
        """Return reasons in alphabetical order with their counts and first rows."""
        first: dict[str, list[dict[str, Any]]] = {reason: [] for reason in sorted(self.counts)}
        for row in self.rows:
            place = {"file": row.file, "line": row.line, "value": row.value[:_VALUE_LENGTH]}
            first[row.reason].append(place)
        return {
            reason: {"count": self.counts[reason], "first": places[:ROWS_LISTED]}
            for reason, places in first.items()
        }
