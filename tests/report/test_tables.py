from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reeltune.report.tables import Cell, mark_best, undefined

figures = st.none() | st.sampled_from([0.0, 0.25, 0.5, 0.7500001, 0.75])


@given(st.lists(figures, max_size=6), st.booleans())
def test_the_best_are_marked_and_nothing_else(values: list[float | None], highest: bool):
    cells = [undefined("no rows") if v is None else Cell(f"{v:.4f}") for v in values]
    marked = [cell.best for cell in mark_best(cells, values, highest)]
    defined = [value for value in values if value is not None]
    if len(defined) < 2:
        assert not any(marked)
        return
    assert any(marked)
    for value, best in zip(values, marked, strict=True):
        beaten = [d for d in defined if value is None or (d > value if highest else d < value)]
        assert best == (value is not None and not beaten)


def test_marking_changes_nothing_else():
    cells = [Cell("0.2", "0.1 to 0.3"), Cell("0.4", "0.3 to 0.5")]
    found = mark_best(cells, [0.2, 0.4], highest=False)
    assert found == [Cell("0.2", "0.1 to 0.3", best=True), cells[1]]
