"""Drift as tables: for the terminal, and as cells for the model card."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table

from reeltune.export.drift import FOUR_BIT, MERGED, UNQUANTIZED, Drift

NOT_MEASURED: Final = "not measured"
READING_HEADINGS: Final = ("name", "what was asked", "AUC")
PAIR_HEADINGS: Final = (
    "difference of",
    "AUC",
    "P(Yes), largest",
    "P(Yes), mean",
    "verdicts changed",
)
_NAMES: Final = {UNQUANTIZED: "adapter", FOUR_BIT: "adapter, 4 bits", MERGED: "merged"}


def reading_cells(drift: Drift) -> list[tuple[str, ...]]:
    """Return one row for each reading, its cells under :data:`READING_HEADINGS`."""
    cells = []
    for reading in drift.readings:
        mark = ", as trained" if reading.name == drift.reference else ""
        if reading.missing is not None:
            value = f"{NOT_MEASURED}: {reading.missing}"
        else:
            value = _number(reading.auc, ".4f")
        cells.append((_NAMES[reading.name], reading.about + mark, value))
    return cells


def pair_cells(drift: Drift) -> list[tuple[str, ...]]:
    """Return one row for each pair of readings, its cells under :data:`PAIR_HEADINGS`."""
    cells = []
    for pair in drift.pairs:
        first, second = drift.reading(pair.first), drift.reading(pair.second)
        row = [f"{_NAMES[pair.second]} less {_NAMES[pair.first]}"]
        if first.missing is not None or second.missing is not None:
            row += [NOT_MEASURED] * (len(PAIR_HEADINGS) - 1)
        else:
            row += [
                _number(pair.auc_difference, "+.4f"),
                _number(pair.largest, ".4f"),
                _number(pair.mean, ".5f"),
                f"{pair.changed} of {drift.rows}",
            ]
        cells.append(tuple(row))
    return cells


def drift_tables(drift: Drift) -> RenderableType:
    """Return what was measured, and what follows from it, for the terminal."""
    readings = Table(title=f"{drift.rows} {drift.split} rows", title_justify="left")
    for i, heading in enumerate(READING_HEADINGS):
        readings.add_column(heading, no_wrap=not i)
    for cells in reading_cells(drift):
        readings.add_row(*cells)
    pairs = Table(title="Drift", title_justify="left")
    for i, heading in enumerate(PAIR_HEADINGS):
        pairs.add_column(heading, justify="right" if i else "left", no_wrap=not i)
    for cells in pair_cells(drift):
        pairs.add_row(*cells)
    return Group(readings, pairs, *drift.notes, *verdict_lines(drift))


def verdict_lines(drift: Drift) -> list[str]:
    """Return whether the merged model stands for the adapter, in sentences."""
    bounds = (
        f"AUC within {drift.bounds.auc:g} and every P(Yes) within {drift.bounds.p_yes:g} of the "
        f"{drift.reading(drift.reference).about}"
    )
    passed = drift.exceeded()
    if not passed:
        return [f"Within bounds: {bounds}."]
    return [f"Out of bounds ({bounds}): {'; '.join(passed)}."]


def _number(value: float | None, spec: str) -> str:
    return "undefined" if value is None else format(value, spec)
