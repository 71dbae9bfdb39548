"""Bad rows of source files: described one by one and counted by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from reeltune.errors import DataError, printable

ROWS_LISTED: Final = 100
"""How many rows ``meta.json`` lists for each reason; counts are always complete."""

_VALUE_LENGTH = 120

_FEW: Final = 10
_SKIP: Final = ", or pass --skip-bad-rows to drop and count such rows"


def shortened(text: str, width: int = 60) -> str:
    """Return untrusted text with control characters escaped, shortened to ``width``."""
    safe = printable(text[: width + 1])
    return safe if len(safe) <= width else f"{safe[: width - 3]}..."


@dataclass(frozen=True)
class BadRow:
    """One row that cannot be used.

    Attributes:
        file: The name of the file.
        line: The physical line on which the row begins, counted from 1, header included.
        reason: Stable key for counting.
        value: The text in the file.
        unit: What ``line`` counts: lines, or rows where there are none.
    """

    file: str
    line: int
    reason: str
    message: str
    value: str
    hint: str = "Correct the row"
    unit: str = "line"


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
    def of(
        cls,
        rows: Sequence[BadRow],
        total: int,
        *,
        skip: bool,
        keep: bool = False,
        counts: Counter[str] | None = None,
    ) -> DroppedRows:
        """Return bad rows if they are skipped, else raise a DataError for the first one.

        A large share of the ``total`` rows is never skipped, except duplicates, nor is any row
        with ``keep``. Without ``counts`` by reason, ``rows`` are all bad rows.
        """
        counts = Counter(row.reason for row in rows) if counts is None else counts
        lost = sum(n for reason, n in counts.items() if not reason.startswith("duplicate"))
        many = lost > total * (0.1 if lost > _FEW else 0.25) or keep
        if rows and (not skip or (many and lost < total)):
            first = min(rows, key=lambda row: (-counts[row.reason] if many else 0, row.line))
            bad = counts.total()
            others = f" (the first of {bad:,} bad rows)" if bad > 1 else ""
            too_many = f"; {bad:,} of {total:,} rows are too many to drop"
            raise DataError(
                f"{first.message}{others}",
                code="bad_row",
                where=f"{first.file}, {first.unit} {first.line}",
                hint=first.hint + (too_many if many else _SKIP),
            )
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
