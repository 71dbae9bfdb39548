from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltune.domain import Domain, RatingScale, RatingWords
from reeltune.evaluation.predictions import PredictionTable
from reeltune.evaluation.result import Evaluation, Kind
from reeltune.report.headline import headline
from reeltune.report.metric_labels import METRIC_LABELS, NOT_MEASURED, ONE_LABEL
from reeltune.report.roles import Roles
from reeltune.report.scorer_tables import KIND_NAMES
from reeltune.report.tables import Cell, mark_best, undefined
from reeltune.report.write import render
from tests.report.build import (
    METRICS,
    make_evaluation,
    make_predictions,
    make_training,
    without,
)
from tests.report.parts import SKILL, WITH_FUSION
from tests.report.reading import Page

SCORERS = "scorers"
DIFFERENCES = "differences"


def read(evaluation: Evaluation, predictions: PredictionTable) -> Page:
    return Page(render(evaluation, predictions, None))


def test_scorers_table_has_every_metric_with_its_interval(page: Page, evaluation: Evaluation):
    found = page.table(SCORERS)
    assert len(found) == len(evaluation.scorers)
    for scorer in evaluation.scorers:
        cells = found[f"{scorer.name} {KIND_NAMES[scorer.kind]}"]
        for key, cell in zip(METRICS, cells, strict=True):
            interval = scorer.metrics[key]
            assert interval is not None
            ends = f" {interval.low:.4f} to {interval.high:.4f}" if key != "ece" else ""
            expected = f"{interval.value:.4f}{ends}"
            assert cell.removeprefix("best ").replace("\u2212", "-") == expected


def test_scorers_are_sorted_by_kind_and_then_by_auc(page: Page):
    rows = list(page.table(SCORERS).items())
    kinds: list[Kind] = ["tuned", "base", *["baseline"] * 7]  # pyright: ignore[reportAssignmentType]
    for (head, _), kind in zip(rows, kinds, strict=True):
        assert head.endswith(KIND_NAMES[kind])
    baselines = [float(cells[0].removeprefix("best ").split()[0]) for _, cells in rows[2:9]]
    assert baselines == sorted(baselines, reverse=True)


def test_best_of_each_column_is_marked(page: Page, evaluation: Evaluation):
    found = page.table(SCORERS)
    for place, key in enumerate(METRICS):
        best = [head for head, cells in found.items() if cells[place].startswith("best ")]
        values = {s.name: s.metrics[key].value for s in evaluation.scorers if s.metrics[key]}  # pyright: ignore[reportOptionalMemberAccess]
        choose = min if key in ("log_loss", "brier", "ece") else max
        assert len(best) == 1
        assert best[0].startswith(choose(values, key=values.__getitem__))


def test_differences_table_has_every_conclusion(page: Page, evaluation: Evaluation):
    found = page.table(DIFFERENCES)
    assert found.keys() == {difference.other for difference in evaluation.differences}
    for difference in evaluation.differences:
        for key, cell in zip(METRICS, found[difference.other], strict=True):
            interval = difference.metrics[key]
            assert interval is not None
            plain = cell.replace("\u2212", "-")
            if key == "ece":
                assert plain == f"{interval.value:+.4f}"
                continue
            gain = interval.value * (-1 if key in ("log_loss", "brier") else 1)
            clear = interval.low > 0 or interval.high < 0
            conclusion = ("better" if gain > 0 else "worse") if clear else "not clear"
            assert plain.startswith(f"{interval.value:+.4f} {interval.low:+.4f} to ")
            assert plain.endswith(f", {conclusion}")


def test_headline_is_title_and_only_h1(page: Page, evaluation: Evaluation):
    (heading,) = page.root.all("h1")
    claim = headline(evaluation, Roles.of(evaluation)).claim
    assert heading.text == claim
    assert page.root.all("title")[0].text.startswith(claim)


def test_warnings_and_settings_are_shown(page: Page, evaluation: Evaluation):
    assert [item.text for item in page.section("warnings").all("li")] == evaluation.warnings
    run = page.section("run")
    pairs = zip(run.all("dt"), run.all("dd"), strict=True)
    assert {name.text: value.text for name, value in pairs} == evaluation.about


def test_breakdowns_ablations_and_calibration_have_their_numbers(
    page: Page, evaluation: Evaluation
):
    groups = page.section("groups")
    assert len(groups.all("svg")) == len(evaluation.breakdowns)
    decades = page.table("breakdown-2")
    assert decades["unknown year"] == ["0", "0", *["undefined no rows"] * 4]
    first = evaluation.breakdowns[0].groups[0]
    assert page.table("breakdown-0")[first.label][0] == f"{first.rows:,}"
    base = page.table("breakdown-0")[first.label][4]
    assert base.endswith("; lead \u22120.0125, \u22120.0245 to \u22120.0005")
    ablations = list(page.table("ablations").values())
    assert ablations[0] == ["600", "0.7520 0.7400 to 0.7640",
                           "\u22120.0610 \u22120.0730 to \u22120.0490"]  # fmt: skip
    assert ablations[3] == ["600", *[f"undefined {ONE_LABEL}"] * 2]
    calibrated = page.table("calibration")
    assert list(calibrated) == [reliability.name for reliability in evaluation.reliability]
    given = evaluation.reliability[0]
    assert calibrated[given.name][:2] == [
        f"{given.ece:.4f}",
        f"{given.ece_by_chance:.4f} to {given.ece_by_chance_high:.4f}",
    ]


def test_every_scorer_is_shown_from_cold_to_warm(page: Page, evaluation: Evaluation):
    charts = page.section("cold").all("figure")
    assert len(charts) == len(evaluation.cold_to_warm) == 2
    assert all(chart.all("svg") for chart in charts)
    table = page.table("cold-to-warm-0")
    assert set(table) == {scorer.name for scorer in evaluation.scorers}
    for name, cells in table.items():
        for group, cell in zip(evaluation.cold_to_warm[0].groups, cells, strict=True):
            auc, loss = group.auc[name], group.log_loss[name]
            assert (auc is None) == (group.label == "1")
            if auc is None or loss is None:
                assert cell == "undefined fewer than 30 rows"
            else:
                ends = f"{auc.low:.4f} to {auc.high:.4f}; log loss {loss.value:.4f}"
                assert cell == f"{auc.value:.4f} {ends}"
    words = charts[0].all("figcaption")[0].text
    assert "Tuned against base: better at 0, 2 to 4" in words
    assert "At 1: fewer than 30 rows." in words


def test_groups_without_metrics_have_no_chart(evaluation: Evaluation, predictions: PredictionTable):
    first = evaluation.cold_to_warm[0]
    page = read(
        replace(evaluation, cold_to_warm=[replace(first, groups=[first.groups[1]])]), predictions
    )
    assert "undefined: no group has enough rows with both labels" in page.section("cold").text
    page = read(replace(evaluation, cold_to_warm=[], top_ten=None), predictions)
    assert "undefined: no user has more than ten rows." in page.section("beyond").text
    named = [section.attributes["aria-labelledby"] for section in page.root.all("section")]
    assert "cold" not in named


def test_top_tens_of_every_scorer_are_shown(page: Page, evaluation: Evaluation):
    table = page.table("top-ten")
    assert set(table) == {"all rows to compare with", *(s.name for s in evaluation.scorers)}
    assert table["tuned"] == ["62.5 %", "0.7500 0.7380 to 0.7620", "43.5 43.5 to 43.5",
                              "+0.2500 +0.2380 to +0.2620", "4.50 4.49 to 4.51",
                              "undefined no two items of a list have genres"]  # fmt: skip


def test_examples_show_predictions_and_labels(page: Page, evaluation: Evaluation):
    cards = page.section("examples").all("article")
    assert len(cards) == 10
    for card, example in zip(cards, evaluation.examples, strict=True):
        answer = "Yes" if example.liked else "No"
        assert card.all("h3")[0].text == example.candidate
        rating, truth = (word.text for word in card.all("p")[1].all("strong"))
        assert (rating.split()[0], truth) == (f"{example.rating:.1f}", answer)
        shown = [item.text for item in card.all("ol")[0].all("li") + card.all("ol")[1].all("li")]
        assert len(shown) == len(example.history)
        for text, event in zip(shown, example.history, strict=True):
            assert text.startswith(event.title)
            assert f"{event.rating:.1f}" in text
        predictions = [item.text for item in card.all("ul")[0].all("li")]
        names = ("tuned", "base", "logistic regression on running means")
        for name, prediction in zip(names, predictions, strict=True):
            p_yes = example.p_yes[name]
            says = "Yes" if p_yes >= 0.48 else "No"
            assert prediction.startswith(name)
            assert f"{p_yes:.4f}" in prediction and f" {says} " in prediction
            assert ("✓" in prediction, "✗" in prediction) == (says == answer, says != answer)


@pytest.mark.slow
def test_undefined_metrics_have_a_reason(evaluation: Evaluation, predictions: PredictionTable):
    bare = evaluation
    for key in METRICS:
        bare = without(bare, key)
    page = read(bare, predictions)
    reasons = {metric.key: metric.undefined for metric in METRIC_LABELS}
    assert len(set(reasons.values())) == 4
    expected = [f"undefined {reasons[key]}" for key in METRICS]
    for words in (SCORERS, DIFFERENCES):
        found = page.table(words)
        assert found
        assert all(cells == expected for cells in found.values())
    tiles = [tile.text for tile in page.root.all("dl")[0].all("dd")]
    assert [tile.startswith("undefined") for tile in tiles] == [True, True, True, False, False]
    assert not page.section("differences").all("svg")


@pytest.mark.slow
def test_metric_not_measured_for_one_scorer_is_shown_as_such(
    evaluation: Evaluation, predictions: PredictionTable
):
    base = replace(evaluation.scorers[1], metrics={"auc": None})
    some = replace(evaluation, scorers=[evaluation.scorers[0], base, *evaluation.scorers[2:]])
    cells = read(some, predictions).table(SCORERS)[f"base {KIND_NAMES['base']}"]
    assert cells == [f"undefined {ONE_LABEL}", *[f"undefined {NOT_MEASURED}"] * 7]


@pytest.mark.slow
def test_rows_of_one_label_make_a_report(evaluation: Evaluation, predictions: PredictionTable):
    page = read(without(evaluation, "auc"), replace(predictions, liked=predictions.liked | True))
    assert f"undefined: {ONE_LABEL}" in page.section("curves").text
    assert not page.section("curves").all("figure")[0].all("svg")


@pytest.mark.parametrize("name", ["tuned", "base", "film mean"])
def test_one_scorer_alone_makes_a_report(name: str):
    skill = {name: SKILL[name]}
    rows = make_predictions(60, skill)
    alone = replace(make_evaluation(rows, skill), ablations=[], reliability=[], examples=[])
    page = read(replace(alone, breakdowns=[]), rows)
    assert len(page.table(SCORERS)) == 1
    assert not [cell for cell in page.table(SCORERS).popitem()[1] if "best" in cell]
    for section in ("differences", "learning", "groups", "ablations", "examples"):
        assert "undefined: " in page.section(section).text


@pytest.mark.slow
def test_none_cannot_be_printed(evaluation: Evaluation, predictions: PredictionTable):
    lost: dict[str, Any] = {"seed": None}
    with pytest.raises(TypeError):
        render(replace(evaluation, about=lost), predictions, None)


@pytest.mark.slow
def test_learning_curves_are_shown_for_a_run(evaluation: Evaluation, predictions: PredictionTable):
    page = Page(render(evaluation, predictions, make_training()))
    learning = page.section("learning")
    assert len(learning.all("svg")) == 3
    assert page.table("validation-auc").keys() >= {"40", "400"}
    assert "360" in learning.all("svg")[0].text


figures = st.none() | st.sampled_from([0.0, 0.25, 0.5, 0.7500001, 0.75])


@given(st.lists(figures, max_size=6), st.booleans())
def test_only_the_best_cells_are_marked(values: list[float | None], highest: bool):
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


def test_mark_best_keeps_the_rest_of_a_cell():
    cells = [Cell("0.2", "0.1 to 0.3"), Cell("0.4", "0.3 to 0.5")]
    found = mark_best(cells, [0.2, 0.4], highest=False)
    assert found == [Cell("0.2", "0.1 to 0.3", best=True), cells[1]]


def test_a_report_on_books_says_their_ratings(evaluation: Evaluation, predictions: PredictionTable):
    words = RatingWords(Domain("book", "book", "books"), RatingScale(0.0, 10.0, 0.5))
    text = render(evaluation, predictions, None, words)
    assert "Newest books before it" in text
    assert " of 10.0" in text
    assert "\N{BLACK STAR}" not in text


def test_a_report_on_likes_says_them(evaluation: Evaluation, predictions: PredictionTable):
    words = RatingWords(Domain("song", "song", "songs"), RatingScale(0.0, 1.0, 1.0))
    text = render(evaluation, predictions, None, words)
    assert "rated it <strong>liked</strong> afterwards" in text


def test_with_a_fusion_the_report_is_about_what_is_shipped():
    predictions = make_predictions(skill=WITH_FUSION)
    evaluation = make_evaluation(predictions, WITH_FUSION)
    page = read(evaluation, predictions)
    heads = list(page.table(SCORERS))
    assert heads[:2] == ["shipped what commands answer with", "tuned the tuned model alone"]
    assert re.match("Shipped: clearly .* than the model alone, ", page.root.all("h1")[0].text)
    assert set(page.table(DIFFERENCES)) == WITH_FUSION.keys() - {"shipped"}
    assert set(page.table("differences-1")) == WITH_FUSION.keys() - {"shipped", "tuned"}
    text = page.root.text
    assert "The shipped log-odds are 0.60 x model + 0.30 x boosting + 0.15 x expected" in text
    assert "What the model adds: AUC, shipped minus shipped without the model: +0." in text
