"""Drift as tables: for the terminal, and as cells for the model card."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table

from reeltune.export.drift import FOUR_BIT, MERGED, UNQUANTIZED, Drift

MEASUREMENT_COLUMNS: Final = ("variant", "model", "AUC")
DIFFERENCE_COLUMNS: Final = (
    "difference",
    "AUC",
    "P(Yes), largest",
    "P(Yes), mean",
    "predictions changed",
)

_NOT_MEASURED: Final = "not measured"
_LABELS: Final = {UNQUANTIZED: "adapter", FOUR_BIT: "adapter, 4 bits", MERGED: "merged"}


def measurement_cells(drift: Drift) -> list[tuple[str, ...]]:
    """Return one row for each measurement, under :data:`MEASUREMENT_COLUMNS`."""
    cells = []
    for one in drift.measurements:
        mark = ", as trained" if one.name == drift.reference else ""
        missing = f"{_NOT_MEASURED}: {one.missing}"
        value = _number(one.auc, ".4f") if one.missing is None else missing
        cells.append((_LABELS[one.name], one.description + mark, value))
    return cells


def difference_cells(drift: Drift) -> list[tuple[str, ...]]:
    """Return one row for each pair of variants, under :data:`DIFFERENCE_COLUMNS`."""
    return [
        (
            f"{_LABELS[found.second]} less {_LABELS[found.first]}",
            *(
                [_NOT_MEASURED] * 4
                if found.changed is None
                else (
                    _number(found.auc, "+.4f"),
                    _number(found.p_yes_max, ".4f"),
                    _number(found.p_yes_mean, ".5f"),
                    f"{found.changed} of {drift.rows}",
                )
            ),
        )
        for found in drift.differences
    ]


def result_lines(drift: Drift) -> list[str]:
    """Return the notes, and whether the merged model is within its bounds."""
    bounds = (
        f"AUC within {drift.bounds.auc:g} and every P(Yes) within {drift.bounds.p_yes:g} of the "
        f"{drift.measurement(drift.reference).description}"
    )
    exceeded = drift.exceeded()
    result = f"Out of bounds ({bounds}): {'; '.join(exceeded)}." if exceeded else None
    return [*drift.notes, result or f"Within bounds: {bounds}."]


def drift_tables(drift: Drift) -> RenderableType:
    """Return the measurements and the result for the terminal."""
    tables = []
    for title, columns, rows in (
        (f"{drift.rows} {drift.split} rows", MEASUREMENT_COLUMNS, measurement_cells(drift)),
        ("Drift", DIFFERENCE_COLUMNS, difference_cells(drift)),
    ):
        table = Table(title=title, title_justify="left")
        for i, heading in enumerate(columns):
            numeric = i and columns is DIFFERENCE_COLUMNS
            table.add_column(heading, justify="right" if numeric else "left", no_wrap=not i)
        for cells in rows:
            table.add_row(*cells)
        tables.append(table)
    return Group(*tables, *result_lines(drift))


def _number(value: float | None, spec: str) -> str:
    return "undefined" if value is None else format(value, spec)
