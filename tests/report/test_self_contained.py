from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from reeltune.evaluation.predictions import PredictionTable
from reeltune.evaluation.result import Evaluation
from reeltune.report.write import render, write_report
from tests.report.build import make_evaluation, make_predictions, make_training
from tests.report.hostile import HOSTILE, hostile_evaluation, hostile_predictions
from tests.report.parts import SKILL
from tests.report.reading import Page

ROOT = Path(__file__).parents[2]


def read(evaluation: Evaluation, predictions: PredictionTable) -> Page:
    return Page(render(evaluation, predictions, None))


@pytest.mark.slow
def test_hostile_texts_are_escaped(
    evaluation: Evaluation, predictions: PredictionTable, page: Page
):
    hostile = hostile_evaluation(evaluation)
    found = read(hostile, hostile_predictions(predictions))
    usual = {element.tag for element in page.elements}
    assert {element.tag for element in found.elements} <= usual
    assert "script" not in usual
    names = {name for element in found.elements for name in element.attributes}
    assert not [name for name in names if name.startswith("on") or name == "src"]
    titles = [card.all("h3")[0].text for card in found.section("examples").all("article")]
    assert titles == [" ".join(example.candidate.split()) for example in hostile.examples]
    shown = found.body.text
    for text in HOSTILE:
        assert " ".join(text.split()) in shown


@pytest.mark.slow
def test_dollar_signs_are_not_parsed_as_math(evaluation: Evaluation, predictions: PredictionTable):
    formula = "$\\frac{1}{2}$ for $5"
    (first, *rest) = evaluation.ablations
    changed = replace(evaluation, ablations=[replace(first, name=formula), *rest])
    drawing = read(changed, predictions).section("ablations").all("svg")[0]
    assert formula in [text.text for text in drawing.all("text")]


@pytest.mark.slow
def test_control_characters_do_not_reach_the_page(
    evaluation: Evaluation, predictions: PredictionTable
):
    text = render(replace(evaluation, warnings=["a\x00b\x1bc"]), predictions, None)
    assert "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c" in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", text)


def test_no_external_resources(report: Path, page: Page):
    text = report.read_text(encoding="utf-8")
    assert "url(http" not in text
    assert "@import" not in text
    for element in page.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            if name in element.attributes and element.tag != "a":
                assert element.attributes[name].startswith(("#", "data:"))
        if element.tag == "a":
            assert element.attributes["href"].startswith("#")
    (policy,) = (e for e in page.root.all("meta") if "http-equiv" in e.attributes)
    assert policy.attributes["content"].startswith("default-src 'none'")


def test_ids_are_unique_and_anchors_resolve(page: Page):
    names = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(set(names)) == len(names)
    wanted = {e.attributes["href"][1:] for e in page.root.all("a", "use")}
    wanted |= set(re.findall(r"url\(#([^)]*)\)", " ".join(
        value for e in page.elements for value in e.attributes.values())))  # fmt: skip
    assert wanted <= set(names)


def test_accessibility_attributes(page: Page):
    assert page.root.all("html")[0].attributes["lang"] == "en"
    levels = [int(e.tag[1]) for e in page.root.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for table in page.root.all("table"):
        assert table.all("caption")[0].text
        assert {head.attributes["scope"] for head in table.all("th")} == {"col", "row"}
    for drawing in page.root.all("svg"):
        assert drawing.attributes["role"] == "img"
        assert len(drawing.attributes["aria-label"]) > 20
    for figure in page.root.all("figure"):
        assert figure.all("details")[0].all("table")


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes(report: Path, tmp_path: Path):
    again = tmp_path / "report.html"
    code = (
        "import sys; from pathlib import Path\n"
        "from reeltune.cli.options import importing\n"
        "with importing():\n"
        "    from reeltune.report.write import write_report\n"
        "    from tests.report.build import make_evaluation, make_predictions, make_training\n"
        "rows = make_predictions()\n"
        "write_report(Path(sys.argv[1]), make_evaluation(rows), rows, make_training())\n"
    )
    elsewhere = {**os.environ, "PYTHONHASHSEED": "77", "SOURCE_DATE_EPOCH": "0", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", code, str(again)], cwd=ROOT, env=elsewhere, check=True)
    assert again.read_bytes() == report.read_bytes()


@pytest.mark.slow
def test_size_with_9000_rows(tmp_path: Path):
    rows = make_predictions(9000)
    path = tmp_path / "report.html"
    write_report(path, make_evaluation(rows), rows, make_training(5000))
    assert len(SKILL) == 9
    assert path.stat().st_size < 1.5e6


def test_contrast_in_every_theme():
    """Contrast of WCAG 2.2, success criterion 1.4.3: 4.5 to 1."""
    style = (ROOT / "src/reeltune/report/templates/report.css").read_text(encoding="utf-8")
    themes = [dict(re.findall(r"--([\w-]+): (#\w{6});", part)) for part in style.split(":root")[1:]]
    assert len(themes) == 3
    for theme in themes:
        for words in ("ink", "muted", "accent"):
            for ground in ("paper", "raised", "tint"):
                assert contrast(theme[words], theme[ground]) >= 4.5, (words, ground)
        assert contrast(theme["alert"], theme["alert-tint"]) >= 4.5
        assert contrast(theme["alert"], theme["raised"]) >= 4.5
        assert contrast(theme["ink"], theme["alert-tint"]) >= 4.5


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_of_known_colors():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.slow
def test_entities_are_not_escaped_twice(evaluation: Evaluation, predictions: PredictionTable):
    text = render(replace(evaluation, warnings=["Tom & Jerry's <3"]), predictions, None)
    (line,) = (line for line in text.splitlines() if "Tom" in line)
    assert html.unescape(line) == "<li>Tom & Jerry's <3</li>"
