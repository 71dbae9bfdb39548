"""Arguments of the Python API that the command line would refuse as flags."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import reeltune
from reeltune import Filters, Recommender
from reeltune.api.frames import Frame
from reeltune.config.arguments import checked
from reeltune.errors import ConfigError
from tests.errors import raises_error

TABLE = pl.DataFrame({"user": [1, 2], "item": [1, 1], "rating": [1, 5], "time": [0, 1]})
TWICE = pd.DataFrame([[11, 11, 1, 5]], columns=["user_id", "user_id", "item_id", "rating"])
LISTS = [5, "abc", [(1, 5)], TABLE.lazy(), TABLE["item"], TWICE, {None: 5}, {1.0: 5}]

WRONG: list[tuple[Callable[..., Any], str, list[Any]]] = [
    (reeltune.tune, "trials", [0, -1, "a", None, True]),
    (reeltune.tune, "keep", [0, -1, 1.5]),
    (reeltune.tune, "timeout", [-1, float("nan"), "1"]),
    (reeltune.tune, "space", ["lora.r=8", [8], None]),
    (reeltune.train, "config", [5, ["lora.r=4"]]),
    (reeltune.train, "overrides", [["lora.r=4"], "lora.r=4", 5]),
    (reeltune.train, "resume", ["yes"]),
    (reeltune.load, "run", [5]),
    (reeltune.load, "history_len", [0, -5, "a", 2.5]),
    (reeltune.load, "prepared", [5]),
    (reeltune.evaluate, "form", ["x"]),
    (reeltune.evaluate, "split", ["train", None]),
    (reeltune.evaluate, "metrics", [[1], {"a": 1}]),
    (reeltune.evaluate, "output", [5]),
    (reeltune.prepare, "ratings", [5, TABLE.lazy(), {"a": 1}, TWICE, TABLE["item"]]),
    (reeltune.prepare, "items", [5, TABLE.lazy(), TWICE]),
    (reeltune.prepare, "output", [None, 5]),
    (reeltune.prepare, "export", ["csv"]),
    (reeltune.prepare, "keep", ["first"]),
    (reeltune.prepare, "split", ["random"]),
    (reeltune.prepare, "history_len", [2.5, "15", None]),
    (reeltune.prepare, "min_history", [2.5]),
    (reeltune.prepare, "rating_threshold", ["5", True]),
    (reeltune.prepare, "val_fraction", ["0.1"]),
    (reeltune.prepare, "scale", [(1, 10)]),
    (reeltune.prepare, "columns", [["user=a"], {"user": 1}]),
    (reeltune.prepare, "val_from", [2015]),
    (reeltune.prepare, "item_text", ["author"]),
    (Filters, "genres", ["Crime", [1], None]),
    (Filters, "without_genres", ["Crime"]),
    (Filters, "year_from", ["1990", 1990.5]),
    (Filters, "min_ratings", [-1, None, "3"]),
    (Filters, "max_ratings", [-1]),
]
WRONG_OF_RECOMMENDER: list[tuple[Callable[..., Any], str, list[Any]]] = [
    (Recommender.recommend, "k", [-1, 0, None, "3", 2.5, True]),
    (Recommender.recommend, "candidates", [0, "some", 2.5]),
    (Recommender.recommend, "filters", [{"genres": ["Crime"]}]),
    (Recommender.recommend, "user", [1.5, True]),
    (Recommender.recommend, "ratings", LISTS),
    (Recommender.explain, "item", [None, 16.0]),
    (Recommender.explain, "k", [0, -1, "3"]),
    (
        Recommender.predict,
        "pairs",
        [None, "pairs.csv", {11: 1}, TABLE.lazy(), TWICE, TABLE["item"]],
    ),
    (
        Recommender.predict,
        "pairs",
        [[(11, 1), (11, 1, 5)], ["ab"], [11], [{"user": 11, "item": 1}]],
    ),
]


def cases(table: list[tuple[Callable[..., Any], str, list[Any]]]) -> list[Any]:
    return [
        pytest.param(function, name, value, id=f"{function.__name__}-{name}-{index}")
        for function, name, values in table
        for index, value in enumerate(values)
    ]


@pytest.mark.parametrize(("function", "name", "value"), cases(WRONG))
def test_a_wrong_argument_is_an_error_that_names_it(
    function: Callable[..., Any],
    name: str,
    value: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    monkeypatch.chdir(tmp_path)
    with raises_error(
        ConfigError, "invalid_setting", where=f"{function.__name__}(): {name}", figures=[", got "]
    ):
        function(**{name: value})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("function", "name", "value"), cases(WRONG_OF_RECOMMENDER))
def test_a_wrong_argument_of_a_recommender_is_an_error_that_names_it(
    recommender: Recommender, function: Callable[..., Any], name: str, value: Any
):
    item = {"item": 1} if function is Recommender.explain else {}
    with raises_error(ConfigError, "invalid_setting", where=f"{function.__name__}(): {name}"):
        function(recommender, **{**item, name: value})


def test_all_wrong_arguments_are_named():
    with raises_error(ConfigError, "invalid_config", where="tune()", figures=["trials", "keep"]):
        reeltune.tune(trials=0, keep=0)
    with pytest.raises(TypeError, match="trails"):
        reeltune.tune(trails=1)  # type: ignore[call-arg]


def test_what_was_admitted_stays(recommender: Recommender, run: reeltune.Run):
    whole = np.int64(3)
    few = Filters(["Drama", "Comedy"], year_from=np.int64(1), min_ratings=np.int64(0))
    assert few == Filters(("Drama", "Comedy"), year_from=1)
    found = recommender.recommend(np.int64(11), k=whole, candidates=np.int64(5), filters=few)
    assert len(found) == 3
    assert len(recommender.recommend(ratings=MappingProxyType({np.int64(1): 5}), k=2)) == 2
    assert len(recommender.explain(np.int64(4), ratings={1: 5, "#7": 1}, k=None)) == 2
    expected = recommender.predict([(11, 1), (21, 7)])
    for pairs in (
        np.array([[11, 1], [21, 7]]),
        zip([11, 21], [1, 7], strict=True),
        [[11, 1], [21, 7]],
    ):
        assert recommender.predict(pairs).equals(expected)
    assert reeltune.load(run, history_len=np.int64(2)).predictor.history_len == 2


def test_frames_arrive_as_they_are_and_numbers_as_those_of_python():
    given: list[Any] = []

    @checked
    def take(frame: Frame, number: int = 1) -> None:
        """Keep the frame."""
        given.extend((frame, number))

    for frame in (TABLE, TABLE.to_pandas()):
        take(frame, np.int64(7))
        assert type(given.pop()) is int
        assert given.pop() is frame
    assert (take.__name__, take.__doc__) == ("take", "Keep the frame.")


@pytest.mark.parametrize("day", [date(2015, 1, 31), datetime(2015, 1, 31, 12, tzinfo=UTC)])
def test_dates_may_be_given_as_dates(tmp_path: Path, day: date):
    with raises_error(ConfigError, "dates_need_time_split"):
        reeltune.prepare(tmp_path, tmp_path / "out", split="user", val_from=day)
