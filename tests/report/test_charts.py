from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.predictions import PredictionTable
from reeltune.evaluation.result import Evaluation
from reeltune.report.curves import POINTS, reliability_chart, roc_chart, thinned
from reeltune.report.forest import Row, draw_rows
from reeltune.report.metric_labels import ONE_LABEL
from reeltune.report.roles import Roles
from reeltune.report.svg import new_figure, styled, to_svg

rates = st.integers(0, 2**32 - 1)


def staircase(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The ROC curve of predictions with ties, both labels present."""
    random = np.random.default_rng(seed)
    labels = np.append(random.random(size) < 0.5, [True, False])
    return roc_curve(labels, random.integers(0, size, size + 2), drop_intermediate=False)[:2]


def words_of(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter("text")]


@given(rates, st.integers(1, 500), st.integers(2, 60))
def test_thinned_curve_stays_close_to_the_curve(seed: int, size: int, points: int):
    x, y = staircase(seed, size)
    thin_x, thin_y = thinned(x, y, points)
    assert len(thin_x) <= points
    assert (thin_x[0], thin_y[0], thin_x[-1], thin_y[-1]) == (0, 0, 1, 1)
    assert set(zip(thin_x, thin_y, strict=True)) <= set(zip(x, y, strict=True))
    if points > 2:
        # Nothing that was left out is further away than the distance of two points kept.
        drawn = np.interp(x + y, thin_x + thin_y, thin_x)
        assert np.abs(drawn - x).max() <= 2 / (points - 2) + 1e-9


def test_the_curves_of_a_report_have_at_most_300_points(
    predictions: PredictionTable, evaluation: Evaluation
):
    assert POINTS == 300
    chart = roc_chart(predictions, Roles.of(evaluation))
    assert chart.drawing is not None
    lengths = [
        path.attrib["d"].count("L") + 1
        for path in ElementTree.fromstring(chart.drawing).iter("path")
    ]
    assert 50 < max(lengths) <= POINTS


def test_the_numbers_of_a_roc_curve_are_those_of_the_predictions(evaluation: Evaluation):
    random = np.random.default_rng(0)
    liked = np.tile([True, False], 50)
    none = np.arange(100)
    rows = PredictionTable("test", none, none, none, none, none, liked, {})
    rows = rows.scored("tuned", np.where(liked, 0.5, 0.2) + 0.3 * random.random(100))
    rows = rows.scored("base", np.full(100, 0.5))
    chart = roc_chart(rows, Roles.of(evaluation))
    assert chart.table is not None
    found = {row[0].text: [cell.text for cell in row[1:]] for row in chart.table.rows}
    assert roc_auc_score(liked, rows.p_yes["tuned"]) == 1
    assert found == {"tuned": ["100.0 %"] * 4, "base": ["0.0 %"] * 4}


@pytest.mark.parametrize("label", [True, False])
def test_one_label_has_no_curve(predictions: PredictionTable, evaluation: Evaluation, label: bool):
    same = replace(predictions, liked=np.full(len(predictions), label))
    chart = roc_chart(same, Roles.of(evaluation))
    assert chart.drawing is None
    assert chart.missing == ONE_LABEL


def test_colours_fonts_and_sizes_are_left_to_the_page(
    predictions: PredictionTable, evaluation: Evaluation
):
    roles = Roles.of(evaluation)
    for chart in (roc_chart(predictions, roles), reliability_chart(evaluation.reliability, roles)):
        assert chart.drawing is not None
        assert not re.findall(r":\s*(#|rgb)", chart.drawing)
        assert "font-family" not in chart.drawing
        root = ElementTree.fromstring(chart.drawing)
        assert root.attrib.keys() == {"viewBox", "role", "aria-label"}
        assert "var(--accent)" in chart.drawing
        assert not list(root.iter("metadata")) + list(root.iter("style"))


def test_the_users_own_style_changes_nothing(predictions: PredictionTable, evaluation: Evaluation):
    roles = Roles.of(evaluation)
    usual = roc_chart(predictions, roles)
    other: dict[Any, Any] = {
        "font.size": 30,
        "svg.fonttype": "path",
        "axes.labelpad": 40,
        "xtick.labelbottom": False,
    }
    with matplotlib.rc_context(other):
        assert roc_chart(predictions, roles) == usual


def test_rows_show_labels_and_notes():
    rows = [
        Row("a label", "+0.1000", [("tuned", Interval(0.1, 0.05, 0.2, 9, 60))], ""),
        Row("$x$ & <b>", "", [("tuned", None)], "no rows"),
    ]
    with styled():
        drawn = draw_rows(rows, "name", "In words", difference=True)
    assert drawn is not None
    words = words_of(drawn)
    for expected in ("a label", "+0.1000", "$x$ & <b>", "undefined: no rows", "0"):
        assert expected in words
    assert ElementTree.fromstring(drawn).attrib["aria-label"] == (
        "In words: a label, tuned +0.1000, +0.0500 to +0.2000; $x$ & <b>, tuned undefined."
    )


def test_rows_without_a_value_are_not_drawn():
    with styled():
        assert draw_rows([Row("a", "", [("tuned", None)], "r")], "n", "w", True) is None
        assert draw_rows([], "n", "w", False) is None


def test_one_mark_of_several_can_be_undefined():
    row = Row("a", "3 rows", [("tuned", Interval(0.7, 0.6, 0.8, 9, 60)), ("base", None)], "r")
    with styled():
        drawn = draw_rows([row], "n", "w", False)
    assert drawn is not None
    assert words_of(drawn).count("undefined") == 1


@pytest.mark.slow
@settings(max_examples=20)
@given(st.floats(-0.5, 0.5), st.floats(0, 0.3), st.floats(0, 0.3), st.booleans())
def test_ticks_are_within_the_drawing_and_distinct(
    value: float, below: float, above: float, difference: bool
):
    found = Interval(value, value - below, value + above, 9, 60)
    with styled():
        drawn = draw_rows([Row("label", "", [("base", found)], "")], "n", "w", difference)
    assert drawn is not None
    places = [float(text.attrib["x"]) for text in ElementTree.fromstring(drawn).iter("text")]
    assert all(0 <= place <= 420 for place in places)
    ticks = [word for word in words_of(drawn) if word != "label"]
    assert len(ticks) >= 2
    assert len(set(ticks)) == len(ticks)


def test_characters_invalid_in_xml_become_spaces():
    label = "a\x00b\x0bc\ufffed\ud800e"
    with styled():
        drawn = draw_rows(
            [Row(label, "", [("base", Interval(0, 0, 0, 1, 60))], "")], "n", "w", True
        )
    assert drawn is not None
    assert "a b c d e" in words_of(drawn)


def test_svg_ids_are_prefixed_with_the_chart_name():
    with styled():
        figure = new_figure(100)
        figure.add_axes((0, 0, 1, 1)).plot([0, 1], [0, 1], marker="o")
        drawn = to_svg(figure, "mine", "w")
    names = re.findall(r' id="([^"]*)"', drawn)
    assert names
    assert all(name.startswith("mine-") for name in names)
    used = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', drawn)
    assert {a or b for a, b in used} <= set(names)
