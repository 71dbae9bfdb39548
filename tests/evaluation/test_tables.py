from __future__ import annotations

import io
import re

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from reeltune.domain import Item
from reeltune.evaluation.compare import Sample, answer
from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.metrics import Metrics, measure
from reeltune.evaluation.result import Breakdown, Gain, Group
from reeltune.evaluation.tables import (
    cold_to_warm_table,
    difference_line,
    gain_sentence,
    gain_table,
    lead_sentence,
    metrics_table,
    samples_table,
)

LABELS = np.array([True, False, True, False])
USERS = np.array([1, 1, 1, 2])


def rendered(table: Table) -> list[str]:
    """The lines of a table, wide enough that nothing wraps."""
    stream = io.StringIO()
    Console(file=stream, width=300, color_system=None).print(table)
    return stream.getvalue().splitlines()


def cells(lines: list[str], first: str) -> list[str]:
    """The cells of the one row that begins with ``first``."""
    found = [re.split(" {2,}", line.strip()) for line in lines]
    (row,) = [row for row in found if row[0] == first]
    return row[1:]


def metrics_of(p_yes: list[float]) -> Metrics:
    return measure(LABELS, np.array(p_yes), USERS)


def test_one_scorer_has_one_column():
    lines = rendered(metrics_table("Test rows", {"base": metrics_of([0.9, 0.2, 0.4, 0.7])}))
    assert "Test rows" in lines[0]
    assert cells(lines, "AUC") == ["0.7500"]
    assert cells(lines, "AUC per user, mean") == ["1.0000"]
    assert cells(lines, "accuracy at 0.5") == ["0.5000"]
    assert cells(lines, "share of predicted Yes") == ["0.5000"]


def test_two_scorers_have_their_difference():
    better, worse = metrics_of([0.9, 0.2, 0.8, 0.1]), metrics_of([0.9, 0.2, 0.4, 0.7])
    lines = rendered(metrics_table("t", {"base": worse, "tuned": better}))
    assert cells(lines, "AUC") == ["0.7500", "1.0000", "+0.2500"]
    lines = rendered(metrics_table("t", {"tuned": better, "base": worse}))
    assert cells(lines, "AUC") == ["1.0000", "0.7500", "-0.2500"]


def test_three_scorers_have_no_difference():
    metrics = metrics_of([0.9, 0.2, 0.4, 0.7])
    lines = rendered(metrics_table("t", dict.fromkeys("abc", metrics)))
    assert cells(lines, "AUC") == ["0.7500"] * 3


def test_undefined_values_are_shown_as_undefined():
    one_label = measure(np.array([False]), np.array([0.1]), np.array([1]))
    lines = rendered(metrics_table("t", {"base": one_label, "tuned": one_label}))
    for name in ("AUC", "AUC per user, mean", "F1 of Yes at 0.5"):
        assert cells(lines, name) == ["undefined"] * 3
    assert cells(lines, "accuracy at 0.5") == ["1.0000", "1.0000", "+0.0000"]


def test_a_difference_to_an_undefined_value_is_undefined():
    one_label = measure(np.array([False]), np.array([0.1]), np.array([1]))
    lines = rendered(metrics_table("t", {"a": one_label, "b": metrics_of([0.9, 0.2, 0.4, 0.7])}))
    assert cells(lines, "AUC") == ["undefined", "0.7500", "undefined"]


def test_the_metrics_of_no_rows_can_be_shown():
    none = measure(np.array([], dtype=bool), np.array([]), np.array([], dtype=np.int64))
    lines = rendered(metrics_table("t", {"base": none}))
    assert cells(lines, "log loss (nats)") == ["undefined"]
    assert "0 rows" in " ".join(lines)


def test_the_caption_counts_rows_and_users():
    table = metrics_table("t", {"base": metrics_of([0.9, 0.2, 0.4, 0.7])})
    numbers = re.findall(r"\d+\.?\d*", str(table.caption))
    # Rows, share of Yes, accuracy of the more frequent answer, users with both labels and without.
    assert numbers == ["4", "0.5000", "0.5000", "1", "1"]


@pytest.mark.parametrize(
    ("low", "high", "contains_zero"),
    [
        (0.01, 0.05, False),
        (-0.05, -0.01, False),
        (-0.01, 0.05, True),
        (0.0, 0.05, True),
        (-0.05, 0.0, True),
    ],
)
def test_a_difference_shows_whether_its_interval_contains_zero(
    low: float, high: float, contains_zero: bool
):
    line = difference_line(Interval(0.03125, low, high, 997, 60))
    assert all(word in line for word in ("AUC", "tuned", "base", " 997 "))
    assert re.findall(r"[+-]\d\.\d{4}", line) == ["+0.0312", f"{low:+.4f}", f"{high:+.4f}"]
    assert ("contains zero" in line) == contains_zero
    assert ("excludes zero" in line) != contains_zero


def test_a_missing_difference_is_undefined():
    line = difference_line(None, "tuned", "kNN", "log loss")
    assert all(word in line for word in ("tuned", "kNN", "log loss", "undefined"))
    assert not re.search(r"\d", line)


def test_few_users_have_no_interval():
    line = difference_line(Interval(0.16, 0.11, 0.21, 1000, 1), other="kNN", metric="AUC in a user")
    assert all(word in line for word in ("AUC in a user", "tuned", "kNN", "+0.1600", "1 user,"))
    assert "0.11" not in line and "0.21" not in line


def sample(title: str = "Heat", year: int | None = 1995, writes: str = "Yes") -> Sample:
    item = Item(7, title, year, ())
    return Sample(3, item, "No", 0.25, 0.5, "maybe", writes)


def test_a_sample_is_one_row():
    assert cells(rendered(samples_table([sample()])), "3") == [
        "Heat (1995)",
        "No",
        "0.250 No",
        "0.500 Yes",
        "'maybe'",
        "'Yes'",
    ]


def test_a_sample_without_a_year():
    assert cells(rendered(samples_table([sample(year=None)])), "3")[0] == "Heat"


@pytest.mark.parametrize(
    "title", ["What [uncut]", "[REC]", "[/b]", "[red]Heat", "A :heart: of Gold", "a\\[b"]
)
def test_titles_are_shown_verbatim(title: str):
    assert cells(rendered(samples_table([sample(title)])), "3")[0] == f"{title} (1995)"


@pytest.mark.parametrize("writes", ["[/INST] Yes", "[bold]", "a\nb"])
def test_generated_text_is_shown_verbatim(writes: str):
    assert cells(rendered(samples_table([sample(writes=writes)])), "3")[-1] == repr(writes)


@pytest.mark.parametrize(
    ("p_yes", "word"), [(0.0, "No"), (0.499, "No"), (0.5, "Yes"), (1.0, "Yes")]
)
def test_an_answer_is_the_likelier_word(p_yes: float, word: str):
    assert answer(p_yes) == word


def gain_of(base: float, low: float, value: float, high: float, users: int = 60) -> Gain:
    around = [Interval(v, v - 0.01, v + 0.01, 1000, users) for v in (base, base + value)]
    base_metrics, tuned_metrics, differences = (
        {"auc": each, "auc_per_user_mean": each, "log_loss": each}
        for each in (*around, Interval(value, low, high, 1000, users))
    )
    return Gain(base_metrics, tuned_metrics, differences)


@pytest.mark.parametrize(
    ("gain", "figures", "absent"),
    [
        (
            gain_of(0.75, 0.016, 0.03, 0.045),
            ["raised", "0.030", "0.016 to 0.045", "better", " 78", " 75"],
            ["worse"],
        ),
        (
            gain_of(0.75, -0.045, -0.03, -0.016),
            ["lowered", "0.030", "0.016 to 0.045", "worse", " 72", " 75"],
            ["better", "-0.0"],
        ),
        (gain_of(0.75, -0.01, 0.03, 0.05), ["+0.030", "-0.010 to +0.050"], ["raised"]),
        (gain_of(0.75, 0.01, 0.03, 0.05, users=4), ["+0.030", "4 users"], ["raised", "0.010"]),
        (Gain({"auc": None}, {"auc": None}, {"auc": None}), ["undefined"], ["raised"]),
    ],
)
def test_the_sentence_follows_from_the_interval(gain: Gain, figures: list[str], absent: list[str]):
    sentence = gain_sentence(gain)
    assert [figure for figure in figures if figure not in sentence] == []
    assert [figure for figure in absent if figure in sentence] == []


def test_the_closing_table_has_both_models_and_their_difference():
    lines = rendered(gain_table(gain_of(0.75, 0.016, 0.03, 0.045)))
    assert cells(lines, "AUC") == ["0.7500", "0.7800", "+0.0300", "+0.0160 to +0.0450"]
    few = rendered(gain_table(gain_of(0.75, 0.016, 0.03, 0.045, users=3)))
    assert not any("0.0160" in line for line in few)


def lead(value: float, half: float, users: int = 60) -> Interval:
    return Interval(value, value - half, value + half, 1000, users)


BREAKDOWN = Breakdown(
    "ratings of the user",
    "Ratings before the candidate.",
    [
        Group("0", 40, 40, 0.5, {"tuned": lead(0.75, 0.05), "kNN": lead(0.5, 0.05)},
              {"tuned": lead(0.5, 0.1), "kNN": lead(0.625, 0.1)}, {"kNN": lead(0.25, 0.1)}),
        Group("1", 1234, 90, 0.5, {"tuned": lead(0.75, 0.05, 4), "kNN": lead(0.8125, 0.05, 4)},
              {"tuned": lead(0.5, 0.1), "kNN": lead(0.625, 0.1)}, {"kNN": lead(-0.0625, 0.05)}),
        Group("2", 50, 9, 0.5, {"tuned": lead(0.7, 0.1), "kNN": lead(0.6, 0.1)},
              {"tuned": lead(0.5, 0.1), "kNN": lead(0.625, 0.1)}, {"kNN": lead(0.1, 0.05, 9)}),
        Group("3", 2, 2, 0.5, dict.fromkeys(["tuned", "kNN"]), {}, {}, "fewer than 30 rows"),
        Group("4", 0, 0, None, dict.fromkeys(["tuned", "kNN"]), {}, {}, "no rows"),
    ],
)  # fmt: skip


def test_groups_from_cold_to_warm_are_columns():
    lines = rendered(cold_to_warm_table(BREAKDOWN))
    begin = next(i for i, line in enumerate(lines) if line.startswith("kNN"))
    first, second, third = (" ".join(line.split()) for line in lines[begin : begin + 3])
    # AUC, interval and log loss; 4 users are too few for an interval.
    assert first == "kNN 0.500 0.812 0.600 -"
    assert second == "0.45-0.55 0.625 0.50-0.70"
    assert third == "0.625 0.625"
    text = " ".join(" ".join(lines).split())
    assert "40 1,234 50 2 scorer rows rows rows rows" in text
    assert "At 3: fewer than 30 rows. At 4: no rows." in text


def test_a_sentence_says_where_a_model_leads():
    assert lead_sentence(BREAKDOWN, "tuned", "kNN") == (
        "Tuned against kNN: better at 0; worse at 1; no clear difference at 2."
    )
    assert lead_sentence(BREAKDOWN, "tuned", "MF") == "Tuned against MF: undefined."


def test_no_number_from_cold_to_warm_is_cut_at_80_columns():
    names = ("matrix factorization", "gradient boosting with signals")
    values = {name: lead(0.7125, 0.0625) for name in names}
    labels = ("0", "1", "2 to 4", "5 to 9", "10 to 19", "20 and more")
    groups = [Group(label, 1_234_567, 99, 0.5, values, values, {}) for label in labels]
    stream = io.StringIO()
    table = cold_to_warm_table(Breakdown("ratings of the user", "About.", groups))
    Console(file=stream, width=80, color_system=None).print(table)
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    for whole in ("0.65-0.78", "1,234,567"):
        assert text.count(whole) == text.count(whole[:-1]) == (12 if "-" in whole else 6)
