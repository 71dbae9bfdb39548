"""Settings that contradict each other name the flag to change."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from reeltune.data.layouts import CSV, DAT_1M
from reeltune.data.settings import PrepareSettings, SplitSettings, parse_time
from reeltune.errors import ConfigError
from tests.errors import raises_error


@pytest.mark.parametrize(
    ("values", "code", "flags"),
    [
        (
            {"val_fraction": 0.6, "test_fraction": 0.4},
            "no_training_share",
            ["--val-fraction", "--test-fraction"],
        ),
        ({"val_fraction": -0.1}, "bad_fraction", ["--val-fraction", -0.1]),
        ({"test_fraction": 1.0}, "bad_fraction", ["--test-fraction", 1.0]),
        ({"test_fraction": float("nan")}, "bad_fraction", ["--test-fraction", "nan"]),
        ({"val_fraction": "0.1"}, "bad_fraction", ["--val-fraction", "'0.1'"]),
        ({"kind": "random"}, "unknown_choice", ["--split", "'random'", "user, time, items, users"]),
        ({"kind": None}, "unknown_choice", ["--split", "None"]),
        ({"val_from": 5, "test_from": 6}, "dates_need_time_split", ["--split time"]),
        ({"kind": "items", "val_from": 5}, "dates_need_time_split", ["--val-from", "by items"]),
        ({"kind": "time", "val_from": 5}, "bad_split_dates", ["--val-from", "--test-from"]),
        ({"kind": "time", "test_from": 5}, "bad_split_dates", ["--test-from", "--val-from"]),
        ({"kind": "time", "val_from": 5, "test_from": 5}, "bad_split_dates", ["--test-from"]),
        ({"kind": "time", "val_from": 6, "test_from": 5}, "bad_split_dates", ["--test-from"]),
    ],
)
def test_contradicting_splits(values, code, flags) -> None:
    with raises_error(ConfigError, code, figures=flags):
        SplitSettings(**values)


@pytest.mark.parametrize(
    ("values", "flags"),
    [
        ({"history_len": 0}, ["--history-len is 0"]),
        ({"min_history": -1}, ["--min-history is -1"]),
        ({"history_len": 2.5}, ["--history-len is 2.5", "whole number"]),
        ({"history_len": "15"}, ["--history-len is '15'"]),
        ({"history_len": True}, ["--history-len is True"]),
        ({"min_history": 1.0}, ["--min-history is 1.0"]),
        ({"min_history": 16}, ["--min-history 16", "--history-len 15"]),
    ],
)
def test_contradicting_histories(values, flags) -> None:
    with raises_error(ConfigError, "bad_history_length", figures=flags):
        PrepareSettings(Path("out"), **values)


@pytest.mark.parametrize(
    ("values", "flags"),
    [
        ({"keep": "first"}, ["--keep", "'first'", "last"]),
        ({"export": "csv"}, ["--format", "'csv'", "chat", "alpaca", "None"]),
    ],
)
def test_unknown_choices(values, flags) -> None:
    with raises_error(ConfigError, "unknown_choice", figures=flags):
        PrepareSettings(Path("out"), **values)


def test_a_threshold_that_is_no_number() -> None:
    with raises_error(ConfigError, "bad_rating_threshold", figures=["'4'"]):
        PrepareSettings(Path("out"), rating_threshold="4")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("threshold", "layout"),
    [(5.5, CSV), (0.5, CSV), (float("nan"), CSV), (1.0, DAT_1M), (3.75, CSV)],
)
def test_threshold_off_the_scale(threshold, layout) -> None:
    with raises_error(ConfigError, "bad_rating_threshold", figures=[threshold]):
        PrepareSettings(Path("out"), rating_threshold=threshold).check_threshold(layout.scale)


@pytest.mark.parametrize(("threshold", "layout"), [(1.0, CSV), (5.0, CSV), (3.5, DAT_1M)])
def test_threshold_on_the_scale(threshold, layout) -> None:
    PrepareSettings(Path("out"), rating_threshold=threshold).check_threshold(layout.scale)


def test_min_history_follows_history_len() -> None:
    assert PrepareSettings(Path("out"), history_len=7).least_history == 7
    for least in (0, 3):
        chosen = PrepareSettings(Path("out"), history_len=7, min_history=least)
        assert chosen.least_history == least


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2015-01-31", datetime(2015, 1, 31, tzinfo=UTC)),
        ("2015-01-31T12:30", datetime(2015, 1, 31, 12, 30, tzinfo=UTC)),
        ("2015-01-31T12:30:00+02:00", datetime(2015, 1, 31, 10, 30, tzinfo=UTC)),
        ("2015-01-31T12:30:00Z", datetime(2015, 1, 31, 12, 30, tzinfo=UTC)),
        (date(2015, 1, 31), datetime(2015, 1, 31, tzinfo=UTC)),
        (datetime(2015, 1, 31, 12, 30), datetime(2015, 1, 31, 12, 30, tzinfo=UTC)),
    ],
)
def test_dates_are_utc(text, moment) -> None:
    assert parse_time("--val-from", text) == int(moment.timestamp())


def test_no_date_and_a_bad_one() -> None:
    assert parse_time("--val-from", None) is None
    with raises_error(ConfigError, "bad_date", figures=["--val-from 31.1.2015"]):
        parse_time("--val-from", "31.1.2015")
