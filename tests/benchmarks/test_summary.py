"""The short tables and charts of the documentation are those of the result files."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from benchmarks import summary
from tests.docs.pages import ROOT, table

FILES = summary.rendered(ROOT)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_committed_files_are_up_to_date(path):
    assert (ROOT / path).read_text(encoding="utf-8") == FILES[path]


@pytest.mark.parametrize(("name", "heading"), [("PERFORMANCE", "case"), ("QUALITY", "scorer")])
def test_page_has_one_chart_and_one_table(name: str, heading: str):
    page = ROOT / "docs" / f"{name}.md"
    assert 0 < len(table(page, heading)) <= summary.MOST_ROWS
    (image,) = re.findall(r"!\[[^\]]+\]\((.+?\.svg)\)", page.read_text(encoding="utf-8"))
    assert (page.parent / image).is_file()


def test_chart_positions_are_proportional():
    bars = [
        summary.Bar("a < b", "25", 25.0, ours=True),
        summary.Bar("c", "100", 100.0, ours=False),
    ]
    root = ElementTree.fromstring(summary.chart("title", bars, 0.0))
    short, long = (float(bar.attrib["width"]) for bar in root.findall(".//{*}rect"))
    assert long == 4 * short
    assert "a < b" in [text.text for text in root.findall(".//{*}text")]


def test_intervals_contain_their_value():
    bars = [summary.Bar("a", "0.8", 0.8, ours=True, interval=(0.75, 0.9))]
    root = ElementTree.fromstring(summary.chart("title", bars, 0.7))
    (dot,) = root.findall(".//{*}circle")
    line = next(line for line in root.findall(".//{*}line") if line.attrib["class"] == "ours")
    low, value, high = (float(v) for v in (line.attrib["x1"], dot.attrib["cx"], line.attrib["x2"]))
    assert low < value < high


def test_long_table_is_refused():
    with pytest.raises(ValueError):
        summary.table(["case"], [["x"]] * 9)
