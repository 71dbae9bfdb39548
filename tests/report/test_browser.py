"""The report in a real browser: it loads nothing, fits the screen, and has two themes."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from matplotlib.image import imread

from reeltune.evaluation.predictions import PredictionTable
from reeltune.evaluation.result import Evaluation
from reeltune.report.write import write_report
from tests.report.hostile import HOSTILE, hostile_evaluation, hostile_predictions

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

WIDTHS = (360, 1280)
Scheme = Literal["light", "dark"]

_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_UNFOLD = "document.querySelectorAll('details').forEach(details => { details.open = true })"

_OVERLAPPING = """() => {
    const found = [];
    const overlap = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
        // A box is as tall as a line; its letters are not.
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 5;
    for (const svg of document.querySelectorAll('.chart svg')) {
        const words = [...svg.querySelectorAll('text')].filter(word => word.textContent.trim());
        const all = [...words, ...svg.querySelectorAll('use')];
        const boxes = all.map(one => one.getBoundingClientRect());
        for (let i = 0; i < words.length; i++)
            for (let j = i + 1; j < all.length; j++)
                if (overlap(boxes[i], boxes[j]))
                    found.push([words[i].textContent, all[j].textContent || 'a mark']);
    }
    return found;
}"""


class Opened:
    """A report in a browser, with all it said and asked for."""

    def __init__(self, context: BrowserContext, path: Path) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        context.on("request", lambda request: self.requests.append(request.url))
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.goto(path.as_uri())
        self.page.wait_for_load_state("networkidle")

    def pictures(self) -> list[np.ndarray]:
        """What is seen first, and one chart, each of shape ``(height, width, 3)``."""
        shots = (self.page.screenshot(), self.page.locator(".chart svg").first.screenshot())
        return [255 * imread(io.BytesIO(shot))[..., :3] for shot in shots]


def open_report(browser: Browser, path: Path, width: int, scheme: Scheme = "light") -> Opened:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    return Opened(context, path)


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_no_requests_and_no_console_errors(browser: Browser, report: Path, width: int):
    opened = open_report(browser, report, width)
    assert opened.requests == [report.as_uri()]
    assert opened.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize(("width", "highest"), [(390, 3600), (1280, 2600)])
def test_page_is_short_while_sections_are_folded(
    browser: Browser, report: Path, width: int, highest: int
):
    page = open_report(browser, report, width).page
    assert page.evaluate("document.documentElement.scrollHeight") <= highest
    first = page.locator(".answer .chart svg").bounding_box()
    assert first is not None
    assert first["y"] + first["height"] < 800  # visible without scrolling


@pytest.mark.slow
@pytest.mark.parametrize("width", [*WIDTHS, 390])
def test_no_horizontal_overflow(browser: Browser, report: Path, width: int):
    page = open_report(browser, report, width).page
    assert page.evaluate(_OVERFLOW) == 0
    page.evaluate(_UNFOLD)
    assert page.evaluate(_OVERFLOW) == 0


@pytest.mark.slow
def test_all_columns_fit_a_desktop(browser: Browser, report: Path):
    box = open_report(browser, report, 1280).page.locator("#scorers ~ .scroll").first
    assert box.evaluate("box => box.scrollWidth - box.clientWidth") == 0


@pytest.mark.slow
def test_wide_table_scrolls_inside_its_box(browser: Browser, report: Path):
    page = open_report(browser, report, 360).page
    box = page.locator("#scorers ~ .scroll").first
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    box.evaluate("box => { box.scrollLeft = 200 }")
    first = box.locator("tbody th").first.bounding_box()
    outer = box.bounding_box()
    assert first is not None
    assert outer is not None
    assert first["x"] == pytest.approx(outer["x"], abs=1)


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_light_and_dark_screenshots(browser: Browser, report: Path, width: int):
    light = open_report(browser, report, width, "light").pictures()
    dark = open_report(browser, report, width, "dark").pictures()
    for day, night in zip(light, dark, strict=True):
        assert day.shape == night.shape
        assert day.mean() > 200
        assert night.mean() < 60
        for picture in (day, night):
            assert (picture.reshape(-1, 3).std(axis=0) > 5).all()


@pytest.mark.slow
def test_charts_follow_the_theme(browser: Browser, report: Path):
    colours = {}
    for scheme in ("light", "dark"):
        page = open_report(browser, report, 1280, scheme).page
        words = page.locator(".chart text")
        colours[scheme] = set(
            words.evaluate_all("all => all.map(word => getComputedStyle(word).fill)")
        )
    assert colours["light"].isdisjoint(colours["dark"])


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_chart_labels_do_not_overlap(browser: Browser, report: Path, width: int):
    page = open_report(browser, report, width).page
    page.evaluate(_UNFOLD)
    assert page.locator(".chart svg use").count() > 50
    assert page.evaluate(_OVERLAPPING) == []


@pytest.mark.slow
def test_hostile_texts_are_only_text(
    browser: Browser, tmp_path: Path, evaluation: Evaluation, predictions: PredictionTable
):
    path = tmp_path / "report.html"
    write_report(path, hostile_evaluation(evaluation), hostile_predictions(predictions), None)
    opened = open_report(browser, path, 360)
    assert opened.requests == [path.as_uri()]
    assert opened.complaints == []
    page = opened.page
    assert page.locator("script, iframe, object, embed, img, form").count() == 0
    titles = page.locator(".card h3").all_text_contents()
    assert titles == [HOSTILE[place % len(HOSTILE)] for place in range(len(titles))]
    assert page.evaluate(_OVERFLOW) == 0


@pytest.mark.slow
def test_long_words_cause_no_overflow(
    browser: Browser, tmp_path: Path, evaluation: Evaluation, predictions: PredictionTable
):
    example = replace(evaluation.examples[0], candidate="W" * 300, why="y" * 300)
    long = replace(
        evaluation, examples=[example], warnings=["x" * 300], about={"k" * 90: "v" * 300}
    )
    path = tmp_path / "report.html"
    write_report(path, long, predictions, None)
    assert open_report(browser, path, 360).page.evaluate(_OVERFLOW) == 0


@pytest.mark.slow
def test_print_uses_the_light_theme(browser: Browser, report: Path):
    page = open_report(browser, report, 1280, "dark").page
    page.emulate_media(media="print", color_scheme="dark")
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert ground == "rgb(255, 255, 255)"
    folded = page.locator(".fold figure, .fold .card, .answer div > details > p")
    assert folded.count() > 20
    assert all(folded.evaluate_all("all => all.map(element => element.checkVisibility())"))
