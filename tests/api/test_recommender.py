"""Predictions, recommendations and explanations through the Python API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import yaml
from polars.testing import assert_frame_equal

import reeltune
from reeltune.api.frames import new_frame
from reeltune.data.folder import PreparedFolder
from reeltune.data.history import History
from reeltune.errors import ConfigError, DataError, ModelError, RequestError, RunError
from reeltune.recommend.pipeline import RecommendationPipeline, RecommendationRequest
from reeltune.recommend.user_ratings import user_history
from reeltune.scoring.predictor import Query
from tests.bulk.command import call
from tests.errors import raises_error
from tests.prepared_data import text_item, text_user

USER = 11
VIE = "C'est la vie?!"
PAIRS = [(11, 1), (11, 4), (21, 7)]
BOTH = pytest.mark.parametrize("frame", [pl.DataFrame, pd.DataFrame])

MakeFrame = Callable[[dict[str, Any]], Any]


def columns(pairs: list[Any]) -> dict[str, Any]:
    return {"user_id": [user for user, _ in pairs], "item_id": [item for _, item in pairs]}


@pytest.mark.slow
@BOTH
def test_predictions_come_beside_the_input_in_the_same_kind_of_frame(recommender, frame: MakeFrame):
    given = frame({"note": ["a", "b", "c"], **columns(PAIRS)})
    predicted = recommender.predict(given)
    assert type(predicted) is frame
    assert list(predicted.columns) == ["note", "user_id", "item_id", "p_yes"]
    assert predicted["note"].to_list() == ["a", "b", "c"]
    assert "p_yes" not in given.columns
    expected = recommender.predict(PAIRS)
    assert isinstance(expected, pl.DataFrame)
    assert predicted["p_yes"].to_list() == expected["p_yes"].to_list()
    assert expected["p_yes"].is_between(0, 1).all()


@BOTH
def test_earlier_predictions_are_replaced_in_the_result_alone(recommender, frame: MakeFrame):
    given = frame({"p_yes": [-1.0] * 3, **columns(PAIRS)})
    predicted = recommender.predict(given)
    assert list(predicted.columns) == ["p_yes", "user_id", "item_id"]
    assert predicted["p_yes"].to_list() == recommender.predict(PAIRS)["p_yes"].to_list()
    assert given["p_yes"].to_list() == [-1.0] * 3


def test_an_index_of_pandas_stays(recommender):
    given = pd.DataFrame(columns(PAIRS), index=["x", "y", "z"])
    assert recommender.predict(given).index.to_list() == ["x", "y", "z"]


def test_a_prediction_depends_on_the_ratings_before_it_alone(recommender, prepared: PreparedFolder):
    timelines = prepared.ratings
    event = int(np.flatnonzero(timelines.user_id == USER)[7])
    first = event - int(timelines.position[event])
    item_idx = int(timelines.item_idx[event])
    query = Query(History.from_timelines(timelines, range(first, event)), np.array([item_idx]))
    (expected,) = recommender.predictor.predict([query])
    item_id = prepared.items[item_idx].item_id
    assert recommender.predict([(USER, item_id)])["p_yes"][0] == pytest.approx(
        expected.p_yes[0], abs=1e-5
    )
    earlier = {"user_id": [USER], "item_id": [item_id], "timestamp": [0]}
    assert recommender.predict(pl.DataFrame(earlier))["p_yes"][0] != pytest.approx(
        expected.p_yes[0], abs=1e-6
    )


@BOTH
def test_no_pairs_give_an_empty_frame(recommender, frame: MakeFrame):
    empty = frame({name: np.array([], dtype=np.int64) for name in ("user_id", "item_id")})
    assert len(recommender.predict(empty)) == 0
    assert list(recommender.predict([]).columns) == ["user_id", "item_id", "p_yes"]


@BOTH
@pytest.mark.parametrize("pair", [(999, 1), (11, 2)])
def test_unknown_ids_are_an_error_or_have_no_p_yes(
    recommender, frame: MakeFrame, pair: tuple[int, int]
):
    given = frame(columns([*PAIRS, pair]))
    unknown = next(value for value in pair if value in (999, 2))
    with raises_error(
        RequestError, "invalid_input_rows", where="pairs", figures=["row 3", unknown]
    ):
        recommender.predict(given)
    p_yes = recommender.predict(given, skip_unknown=True)["p_yes"]
    assert [value is None or np.isnan(value) for value in p_yes] == [False] * 3 + [True]


@BOTH
def test_missing_columns_and_wrong_types_are_errors(recommender, frame: MakeFrame):
    with raises_error(DataError, "missing_columns", where="pairs", figures=["item", "rated"]):
        recommender.predict(frame({"user_id": [11], "rated": [1]}))
    with raises_error(DataError, "wrong_column_type", figures=["user_id"]):
        recommender.predict(frame({"user_id": [1.5], "item_id": [1]}))


@BOTH
def test_ids_of_text_are_used_as_those_of_numbers(
    recommender, run, text_prepared: Path, frame: MakeFrame
):
    texts = reeltune.load(run, prepared=text_prepared)
    pairs = [(text_user(user), text_item(item // 3)) for user, item in PAIRS]
    predicted = texts.predict(frame(columns(pairs)))
    assert predicted[["user_id", "item_id"]].equals(frame(columns(pairs)))
    expected = recommender.predict(PAIRS)["p_yes"].to_list()
    assert predicted["p_yes"].to_list() == texts.predict(pairs)["p_yes"].to_list() == expected
    with raises_error(RequestError, "invalid_input_rows", figures=["user_id 11"]):
        texts.predict(PAIRS)

    first, second = (recommender.recommend(USER, k=3), texts.recommend(text_user(USER), k=3))
    assert second["item_id"].to_list() == [text_item(item // 3) for item in first["item_id"]]
    assert second["p_yes"].to_list() == first["p_yes"].to_list()
    first = recommender.explain(4, ratings={28: 5, 31: 1})
    second = texts.explain(text_item(1), ratings={text_item(9): 5, text_item(10): 1})
    assert second["item_id"].to_list() == [text_item(item // 3) for item in first["item_id"]]
    assert second["effect"].to_list() == first["effect"].to_list()
    rated = frame({"item_id": [text_item(9), text_item(10)], "rating": [5, 1]})
    assert texts.explain(text_item(1), ratings=rated)["effect"].to_list() == (
        second["effect"].to_list()
    )
    with raises_error(RequestError, "unknown_user", figures=[text_user(1)]):
        texts.recommend("nobody")


def test_recommendations_are_those_of_the_pipeline(recommender, prepared: PreparedFolder):
    recommended = recommender.recommend(user=USER, k=4)
    request = RecommendationRequest(user_history(prepared.timelines, USER), top_k=4)
    pipeline = RecommendationPipeline.of(recommender.predictor)
    expected = pipeline.recommend(recommender.predictor, request).recommendations
    assert recommended["item_id"].to_list() == [each.item.item_id for each in expected]
    assert recommended["p_yes"].to_list() == [each.p_like for each in expected]
    assert recommended["genres"].to_list() == [list(each.item.genres) for each in expected]
    assert recommended["year"].to_list() == [each.item.year for each in expected]


@BOTH
def test_ratings_can_be_a_mapping_or_a_frame(recommender, frame: MakeFrame):
    by_title = recommender.recommend(ratings={"Amélie": 4.5, "2001": 1, VIE: 3}, k=5)
    ids = {
        title: recommender.catalogue.items[index].item_id
        for title, index in (
            (title, recommender.catalogue.find(title)) for title in ("Amélie", "2001", VIE)
        )
    }
    by_id = recommender.recommend(ratings=dict(zip(ids.values(), (4.5, 1, 3), strict=True)), k=5)
    assert_frame_equal(by_title, by_id)
    times = {"timestamp": [2, 3, 1]}
    table = frame({"title": ["2001", VIE, "Amélie"], "rating": [1.0, 3.0, 4.5], **times})
    from_table = recommender.recommend(ratings=table, k=5)
    assert type(from_table) is frame
    assert from_table["item_id"].to_list() == by_id["item_id"].to_list()
    assert from_table["p_yes"].to_list() == by_id["p_yes"].to_list()
    usual = frame({"name": table["title"], "Book-Rating": table["rating"], "date": [2, 3, 1]})
    assert recommender.recommend(ratings=usual, k=5)["p_yes"].to_list() == by_id["p_yes"].to_list()


def test_filters_and_candidates_limit_recommendations(recommender):
    filters = reeltune.Filters(genres=("Drama",))
    recommended = recommender.recommend(user=USER, k=40, filters=filters)
    assert len(recommended)
    assert all("Drama" in genres for genres in recommended["genres"])
    assert len(recommender.recommend(user=USER, k=40, candidates=3)) == 3
    with raises_error(RequestError, "no_items_left"):
        recommender.recommend(user=USER, filters=reeltune.Filters(year_from=2100))


def test_an_explanation_gives_the_effect_of_each_shown_rating(
    recommender, prepared: PreparedFolder
):
    history = user_history(prepared.timelines, USER)
    shown = history.last(recommender.predictor.history_len)
    item_idx = int(np.setdiff1d(np.arange(len(prepared.items)), history.item_idx)[0])
    item = prepared.items[item_idx]
    explained = recommender.explain(item.item_id, user=USER)
    rated = [prepared.items[index].item_id for index in shown.item_idx]
    assert sorted(explained["item_id"]) == sorted(rated)
    strength = explained["effect"].abs().to_list()
    assert strength == sorted(strength, reverse=True)
    with_all, without = recommender.predictor.predict(
        [
            Query(shown, np.array([item_idx])),
            Query(shown.without(rated.index(explained["item_id"][0])), np.array([item_idx])),
        ]
    )
    expected = float(with_all.p_yes[0] - without.p_yes[0])
    assert explained["effect"][0] == pytest.approx(expected, abs=1e-5)
    assert explained["rating"][0] == shown.rating[rated.index(explained["item_id"][0])]
    assert_frame_equal(recommender.explain(item.item_id, user=USER, k=2), explained[:2])


def test_an_explanation_of_a_rated_item_is_of_the_time_of_its_rating(
    recommender, prepared: PreparedFolder, monkeypatch
):
    history, queries = user_history(prepared.timelines, USER), list[Query]()
    predict = recommender.predictor.predict
    monkeypatch.setattr(
        recommender.predictor, "predict", lambda given: predict(queries.extend(given) or given)
    )
    recommender.explain(prepared.items[history.item_idx[3]].item_id, user=USER)
    full, *shortened = queries
    assert history.timestamp is not None
    assert {query.asked_at for query in queries} == {history.timestamp[3]}
    assert np.array_equal(full.history.timestamp, history.timestamp[:3])  # type: ignore[arg-type]
    lengths = [(len(q.history), len(q.history.timestamp)) for q in shortened]  # type: ignore[arg-type]
    assert lengths == [(2, 2)] * 3


def test_an_explanation_of_a_rated_item_uses_the_ratings_before_it(
    recommender, prepared: PreparedFolder
):
    history = user_history(prepared.timelines, USER)
    third = prepared.items[int(history.item_idx[3])].item_id
    before = [prepared.items[index].item_id for index in history.item_idx[:3]]
    assert sorted(recommender.explain(third, user=USER)["item_id"]) == sorted(before)


def test_an_explanation_without_ratings_is_empty(recommender, prepared: PreparedFolder):
    first = prepared.items[int(user_history(prepared.timelines, USER).item_idx[0])]
    assert len(recommender.explain(first.item_id, user=USER)) == 0


@BOTH
def test_a_title_is_explained_from_given_ratings(recommender, frame: MakeFrame):
    table = frame({"title": ["2001", VIE], "rating": [5, 1]})
    explained = recommender.explain("Amélie", ratings=table)
    assert type(explained) is frame
    assert sorted(explained["title"]) == ["2001", VIE]


@pytest.mark.parametrize("method", ["recommend", "explain"])
def test_requests_that_cannot_be_answered_are_errors(recommender, method: str):
    def call(**options: Any) -> Any:
        arguments = ("Amélie",) if method == "explain" else ()
        return getattr(recommender, method)(*arguments, **options)

    with raises_error(RequestError, "unknown_user", figures=[999]):
        call(user=999)
    with raises_error(RequestError, "unknown_item", where="ratings[2]", figures=[2]):
        call(ratings={2: 4.0})
    with raises_error(RequestError, "unknown_title", figures=["No such film"]):
        call(ratings={"No such film": 4.0})
    with raises_error(RequestError, "rating_not_on_scale", where="C'est la vie", figures=[9]):
        call(ratings={VIE: 9})
    with raises_error(RequestError, "missing_ratings_column", where="ratings", figures=["stern"]):
        call(ratings=pl.DataFrame({"title": [VIE], "stern": [4]}))
    with raises_error(ConfigError, "user_or_ratings"):
        call(user=USER, ratings={VIE: 4})


def test_somebody_without_ratings_is_answered_with_a_warning(recommender, caplog):
    answers = [
        recommender.recommend(**given, k=3)
        for given in ({}, {"ratings": {}}, {"ratings": pl.DataFrame({"title": [], "rating": []})})
    ]
    assert len(answers[0]) == 3
    for answer in answers[1:]:
        assert_frame_equal(answer, answers[0])
    assert len(recommender.explain("Amélie")) == 0
    assert [record.args for record in caplog.records if "empty histories" in record.msg] == [()] * 4
    one = answers[0]["item_id"].head(1).to_list()
    query = Query(History.of([], []), np.array([recommender.catalogue.index_of(one[0])]))
    (predicted,) = recommender.predictor.predict([query])
    assert answers[0]["p_yes"][0] == pytest.approx(predicted.p_yes[0], abs=1e-6)


def test_an_unknown_item_cannot_be_explained(recommender):
    with raises_error(RequestError, "unknown_item", figures=[2]):
        recommender.explain(2, user=USER)


def test_a_run_is_loaded_from_its_folder(recommender, run: reeltune.Run):
    again = reeltune.load(str(run.folder))
    assert_frame_equal(again.predict(PAIRS), recommender.predict(PAIRS))


@pytest.mark.slow
def test_the_base_model_needs_no_adapter(recommender, run: reeltune.Run, values: dict[str, Any]):
    base = reeltune.load(run, base_only=True).predict(PAIRS)
    assert base["p_yes"].to_list() != recommender.predict(PAIRS)["p_yes"].to_list()
    assert_frame_equal(reeltune.load(config=values).predict(PAIRS), base)


def test_a_moved_prepared_folder_can_be_named(
    recommender, run: reeltune.Run, prepared: PreparedFolder, tmp_path: Path
):
    moved = tmp_path / "moved"
    moved.symlink_to(prepared.path)
    loaded = reeltune.load(run, prepared=moved)
    assert loaded.predictor.loaded.folder.path == moved
    assert_frame_equal(loaded.predict(PAIRS), recommender.predict(PAIRS))


def test_what_is_missing_is_an_error(run: reeltune.Run, values: dict[str, Any], tmp_path: Path):
    with raises_error(RunError, "not_a_run", where="absent"):
        reeltune.load(tmp_path / "absent")
    with raises_error(ModelError, "adapter_not_found", where="absent"):
        reeltune.load(tmp_path / "absent", config=values)
    with raises_error(DataError, "not_a_prepared_folder", where="absent"):
        reeltune.load(run, prepared=tmp_path / "absent")
    with raises_error(ConfigError, "run_or_config"):
        reeltune.load()


def test_predictions_equal_those_of_the_command(
    recommender, values: dict[str, Any], tmp_path: Path
):
    pl.DataFrame(columns(PAIRS)).write_parquet(tmp_path / "in.parquet")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    given = (tmp_path / "in.parquet", tmp_path / "out", "--config", tmp_path / "config.yaml")
    assert call(["score", *map(str, given)]) == 0
    assert_frame_equal(pl.read_parquet(tmp_path / "out" / "*.parquet"), recommender.predict(PAIRS))


def test_frames_of_items_without_years_and_genres_have_the_usual_types():
    frame = new_frame({"item_id": ["a"], "year": [None], "genres": [[]]})
    assert frame.schema == {"item_id": pl.String, "year": pl.Int64, "genres": pl.List(pl.String)}
    assert new_frame({"item_id": [1]}).schema == {"item_id": pl.Int64}
