"""The tables of the documentation are those of the result files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import render
from tests.docs.pages import ROOT

RESULTS = render.results_in(ROOT / render.RESULTS)


@pytest.mark.parametrize("name", RESULTS)
def test_a_committed_result_is_complete(name: str):
    assert render.problems(RESULTS[name]) == []


def test_every_committed_result_is_on_its_page():
    pages = render.results_by_page(RESULTS)
    assert sum(len(results) for results in pages.values()) == len(RESULTS)
    for path, results in pages.items():
        page = (ROOT / path).read_text(encoding="utf-8")
        assert render.fill_page(page, results, render.link_from(path)) == page
        for name, result in results.items():
            assert render.render(name, result, render.link_from(path)) in page
            assert (ROOT / path).parent.joinpath(render.link_from(path), f"{name}.json").is_file()


def test_quality_has_its_own_page_with_the_interval_of_the_auc():
    quality, speed = render.PAGES["quality_"], render.PAGES[""]
    given = ("quality_a_user", "quality.h100", "other", "finalists_1")
    pages = render.results_by_page({name: {} for name in given})
    assert {page: list(results) for page, results in pages.items()} == {
        quality: ["quality_a_user"],
        render.PAGES["finalists_"]: ["finalists_1"],
        speed: ["quality.h100", "other"],
    }
    case = {"case": "one", "auc": 0.8, "auc_interval": [0.75, 0.85], "ece_interval": [0.0, 0.1]}
    assert render.table([case]).splitlines()[0] == "| case | AUC | 95 % |"
    assert "| 0.8000 | 0.750 to 0.850 |" in render.table([case])


def a_result(**changes: Any) -> dict[str, Any]:
    result: dict[str, Any] = {
        "hardware": {"platform": "Linux", "cpu_cores": 2, "memory_gib": 8.0, "gpus": ["H100"]},
        "versions": {"python": "3.12", "torch": "2.11.0"},
        "command": "python -m benchmarks.some --rows 3",
        "cases": [
            {
                "case": "one",
                "rows": 1234,
                "choices": ["a"],
                "examples_per_s": 1234.5,
                "last_loss": 1,
            },
            {"case": "two | three", "form": "window", "failed": "out of memory"},
            {"case": "four", "rows": 7, "examples_per_s": 0.12345, "peak_gib": None},
        ],
    }
    return result | changes


def test_a_table_has_names_first_then_figures_with_units_rounded():
    text = render.render("some", a_result())
    assert [line for line in text.splitlines() if line.startswith("|")] == [
        "| form | case | rows | examples/s | failed |",
        "| --- | --- | ---: | ---: | --- |",
        "|  | one | 1,234 | 1,230 |  |",
        "| window | two \\| three |  |  | out of memory |",
        "|  | four | 7 | 0.123 |  |",
    ]
    above = text[: text.index("| form")]
    for text in ("`python -m benchmarks.some --rows 3`", "2 cores", "H100", "torch 2.11.0"):
        assert text in above
    assert "(../../benchmarks/results/some.json)" in above


def test_a_note_is_above_the_table():
    note = "Shared machine."
    noted = render.render("some", a_result(note=note))
    assert f"\n\n{note}\n\n" in noted[: noted.index("| form")]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("matrix_tflop_per_s", "matrix tflop/s"),
        ("peak_gib", "peak GiB"),
        ("ratio_to_map", "times `map`"),
        ("tokens_per_prediction", "tokens per prediction"),
        ("ece_by_chance", "ECE by chance"),
    ],
)
def test_a_heading_names_the_unit(key: str, expected: str):
    assert render.title(key) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (0.0, "0"),
        (12345678, "12,345,678"),
        (52034.4, "52,000"),
        (999.6, "1,000"),
        (45.678, "45.7"),
        (5.0, "5.00"),
        (0.004567, "0.00457"),
        (4.56e-8, "4.6e-08"),
        (-12.34, "-12.3"),
    ],
)
def test_a_number_is_readable(value: float, expected: str):
    assert render.number(value) == expected


@pytest.mark.parametrize("field", ["hardware", "versions", "command", "cases"])
def test_a_missing_field_is_a_problem(field: str):
    result = a_result()
    del result[field]
    (problem,) = render.problems(result)
    assert field in problem


def test_a_case_without_name_or_figure_is_a_problem():
    cases = [{"train_seconds": 3.0}, {"case": "one", "rows": 5}, {"case": "two", "failed": "no"}]
    nameless, unmeasured = render.problems(a_result(cases=cases))
    assert "case 0" in nameless and "name" in nameless
    assert "case 1" in unmeasured


@pytest.fixture
def repository(tmp_path: Path) -> list[str]:
    """A page and a result; returns the arguments that name them."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "some.json").write_text(json.dumps(a_result()), encoding="utf-8")
    page = "# Speed\n\n<!-- begin: some -->\n<!-- end: some -->\n\nThe end.\n"
    (tmp_path / "PAGE.md").write_text(page, encoding="utf-8")
    return ["--results", str(tmp_path / "results"), "--page", str(tmp_path / "PAGE.md")]


def test_a_page_is_written_once_and_then_unchanged(repository: list[str]):
    with pytest.raises(SystemExit, match=r"PAGE\.md"):
        render.main([*repository, "--check"])
    render.main(repository)
    page = Path(repository[-1])
    written = page.read_text(encoding="utf-8")
    assert written.startswith("# Speed\n\n<!-- begin: some -->\n\n`python -m benchmarks.some")
    assert written.endswith("|\n\n<!-- end: some -->\n\nThe end.\n")
    render.main([*repository, "--check"])
    render.main(repository)
    assert page.read_text(encoding="utf-8") == written


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("<!-- end: some -->", "", r"^some\.json"),
        ("<!-- begin: some -->", "<!-- begin: other -->", r"^some\.json"),
        ("The end.", "<!-- begin: old -->\n<!-- end: old -->", r"old\.json"),
        ("The end.", "<!-- begin: some -->\n<!-- end: some -->", "some"),
    ],
)
def test_markers_and_results_must_match(
    repository: list[str], before: str, after: str, complaint: str
):
    page = Path(repository[-1])
    page.write_text(page.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    for arguments in (repository, [*repository, "--check"]):
        with pytest.raises(SystemExit, match=complaint):
            render.main(arguments)


def test_an_incomplete_result_is_not_rendered(repository: list[str]):
    file = Path(repository[1]) / "some.json"
    result = a_result()
    del result["versions"]
    file.write_text(json.dumps(result), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"^some\.json: .*versions"):
        render.main(repository)
