"""What is wanted of an export."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from reeltune.export.bases import PUBLISHED, Onto
from reeltune.export.drift import Bounds
from reeltune.export.merge import NumberType

ENOUGH_ROWS: Final = 1000
"""Rows from which the largest difference says something about the rows not asked."""


@dataclass(frozen=True)
class ExportOptions:
    """What is wanted of an export.

    Attributes:
        rows: The most rows to measure on.
        split: ``validation`` or ``test``.
        dtype: The number type of the merged weights.
        onto: Which weights of the base are merged into.
        bounds: How far the merged model may be from the adapter as it was trained.
        allow_drift: Keep it even if it is farther away.
        overwrite: Replace an earlier export.
    """

    rows: int = ENOUGH_ROWS
    split: str = "test"
    dtype: NumberType = "bfloat16"
    onto: Onto = PUBLISHED
    bounds: Bounds = field(default_factory=Bounds)
    allow_drift: bool = False
    overwrite: bool = False
