"""``reeltune recommend``, from the command line to the list."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit

from reeltune.config import load_config
from reeltune.data.folder import ITEMS_FILE, TIMELINES_FILE, PreparedFolder
from reeltune.errors import ReeltuneError, RequestError
from reeltune.models.calibration import Calibration, write_calibration
from reeltune.models.loaded_model import load_model
from reeltune.recommend import candidates as candidates_module
from reeltune.recommend.candidates import DEFAULT_CANDIDATES, Filters
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.pipeline import RecommendationPipeline, RecommendationRequest
from reeltune.recommend.user_ratings import user_history
from reeltune.scoring.predictor import Predictor
from tests.docs.pages import ROOT, text_of
from tests.prepared_data import text_item, text_user
from tests.recommend.conftest import Trained

USER = ("--user", 11)


@pytest.fixture
def recommend_json(trained: Trained, capsys: pytest.CaptureFixture[str]):
    """Call the command for JSON; standard output must be nothing else."""

    def call(*flags: object) -> tuple[dict[str, Any], str]:
        code = trained.recommend("--format", "json", *flags)
        shown = capsys.readouterr()
        assert code == 0, shown.err
        return json.loads(shown.out), shown.err

    return call


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return Predictor(load_model(load_config(None, trained.overrides), trained.adapter))


@pytest.fixture(scope="module")
def catalogue(prepared: PreparedFolder) -> Catalogue:
    return Catalogue.of(prepared)


def indices(catalogue: Catalogue, content: list[dict[str, Any]]) -> list[int]:
    return [catalogue.index_of(each["item"]["item_id"]) for each in content]


def ratings(content: list[dict[str, Any]]) -> list[tuple[int, float]]:
    return [(each["item"]["item_id"], each["rating"]) for each in content]


@pytest.mark.slow
def test_somebody_without_ratings_is_answered(
    recommend_json, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    result, err = recommend_json("--top", 3)
    assert (result["user_id"], result["rated"], result["history"]) == (None, 0, [])
    assert [len(result["recommendations"]), len(result["notes"])] == [3, 1]
    assert f"Note: {result['notes'][0]}" in err.splitlines()
    assert "oldest first: none" in err
    empty = tmp_path / "empty.csv"
    empty.write_text("title,rating\n")
    assert recommend_json("--top", 3, "--rated-file", empty)[0] == result
    assert trained.recommend("--top", 3) == 0
    assert "For somebody without ratings" in capsys.readouterr().out


@pytest.mark.slow
def test_a_users_recommendations_are_those_of_the_recommender(recommend_json, predictor: Predictor):
    result, err = recommend_json(*USER, "--top", 7, "--why", 2, "--with-base")
    history = user_history(predictor.loaded.folder.timelines, 11)
    request = RecommendationRequest(history, top_k=7, base=True, reasons=2)
    expected = RecommendationPipeline.of(predictor).recommend(predictor, request)
    assert (expected.scored, expected.rated) == (40 - len(history), len(history))
    names = ("user_id", "model", "adapter", "calibration", "fused")
    source = {name: result.pop(name) for name in names}
    assert source["fused"] is False
    assert result == json.loads(json.dumps(expected.to_dict()))
    assert source["user_id"] == 11
    lines = err.splitlines()
    assert any(re.findall(r"\d+", line) == [str(expected.eligible)] for line in lines)
    assert "candidates" in err


def test_each_table_is_read_once(recommend_json, monkeypatch: pytest.MonkeyPatch):
    files: list[str] = []
    read = PreparedFolder._read

    def counted(folder: PreparedFolder, file: str, *args: Any, **options: Any) -> Any:
        files.append(file)
        return read(folder, file, *args, **options)

    monkeypatch.setattr(PreparedFolder, "_read", counted)
    recommend_json(*USER)
    assert sorted(files) == sorted([ITEMS_FILE, TIMELINES_FILE])


@pytest.mark.slow
def test_the_terminal_gets_a_table_and_nothing_else(
    trained: Trained, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "400")
    assert trained.recommend(*USER, "--format", "json", "--why", "--with-base") == 0
    result = json.loads(capsys.readouterr().out)
    assert trained.recommend(*USER, "--why", "--with-base") == 0
    out = capsys.readouterr().out
    assert " 11," in out.splitlines()[0]
    numbers = [line for line in out.splitlines() if line.startswith("│") and " % │" in line]
    assert len(numbers) == len(result["recommendations"]) == 10
    for line, each in zip(numbers, result["recommendations"], strict=True):
        assert f"{100 * each['p_like']:.1f} % │" in line
        assert f"{100 * each['p_like_base']:.1f} % │" in line
    assert len(re.findall(r"│ [+-]\d+\.\d ", out)) == 30


def test_typed_ratings_and_a_file_are_one_history(
    recommend_json, catalogue: Catalogue, prepared: PreparedFolder, tmp_path: Path
):
    file = tmp_path / "mine.csv"
    file.write_text("movieId,rating,timestamp\n28,4.5,20\n31,0.5,10\n", encoding="utf-8")
    names = ("--rated", "Amélie=3", "--rated", "#4=5")
    result, err = recommend_json("--rated-file", file, *names, "--top", 40)
    assert ratings(result["history"]) == [(31, 0.5), (28, 4.5), (1, 3.0), (4, 5.0)]
    assert result["user_id"] is None
    assert sorted(indices(catalogue, result["recommendations"])) == [
        item for item in range(40) if item not in (0, 1, 9, 10)
    ]
    (note,) = result["notes"]
    assert re.findall(r"\d+", note) == ["4", "5"]
    assert note in err
    assert f"{catalogue.name(0)}: 3.0" in err


def test_with_text_ids_the_same_items_are_recommended_under_their_ids(
    recommend_json, text_prepared: Path, prepared: PreparedFolder, tmp_path: Path
):
    row = {item.item_id: index for index, item in enumerate(prepared.items)}

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: text_item(row[content]) if name == "item_id" else renamed(content)
                for name, content in value.items()
            }
        return [renamed(each) for each in value] if isinstance(value, list) else value

    text = ("--set", f"data.prepared_dir={text_prepared}")
    expected, _ = recommend_json(*USER, "--top", 4, "--why", 2)
    found, _ = recommend_json("--user", text_user(11), "--top", 4, "--why", 2, *text)
    assert found == renamed(expected) | {"user_id": text_user(11)}
    file = tmp_path / "mine.csv"
    file.write_text(f"item_id,rating\n{text_item(9)},4.5\n", encoding="utf-8")
    rated = ("--rated-file", file, "--rated", f"#{text_item(1)}=5")
    found, _ = recommend_json(*rated, *text)
    expected, _ = recommend_json("--rated", "#28=4.5", "--rated", "#4=5")
    assert found == renamed(expected)


def test_filters_leave_films_out(recommend_json, catalogue: Catalogue, prepared: PreparedFolder):
    flags = ("--genre", "drama", "--genre", "Comedy", "--without-genre", "action")
    flags += ("--year-from", 1910, "--year-to", 2015, "--min-ratings", 2, "--max-ratings", 6)
    result, _ = recommend_json(*USER, *flags, "--top", 40)
    matching = Filters(("Drama", "Comedy"), ("Action",), 1910, 2015, 2, 6).matching(catalogue)
    history = user_history(prepared.timelines, 11)
    expected = sorted(set(matching.tolist()) - set(history.item_idx.tolist()))
    assert expected
    assert sorted(indices(catalogue, result["recommendations"])) == expected
    assert result["eligible"] == len(expected)


@pytest.mark.slow
def test_the_most_rated_are_candidates_where_not_all_are(
    recommend_json, catalogue: Catalogue, prepared: PreparedFolder, monkeypatch: pytest.MonkeyPatch
):
    history = user_history(prepared.timelines, 11)
    unrated = np.setdiff1d(np.arange(40), history.item_idx)
    result, _ = recommend_json(*USER, "--candidates", 6, "--top", 40)
    expected = sorted(unrated, key=lambda item: (-catalogue.ratings[item], item))[:6]
    assert sorted(indices(catalogue, result["recommendations"])) == sorted(expected)
    monkeypatch.setattr(candidates_module, "DEFAULT_CANDIDATES", 4)
    result, err = recommend_json(*USER, "--top", 40)
    assert (result["scored"], result["eligible"]) == (4, len(unrated))
    assert any(re.findall(r"\d+", line) == ["4", str(len(unrated))] for line in err.splitlines())
    assert recommend_json(*USER, "--candidates", "all")[0]["scored"] == len(unrated)


@pytest.mark.slow
def test_base_and_reasons_are_given_on_request(recommend_json):
    result, _ = recommend_json(*USER, "--why", "--top", 3, "--with-base")
    assert [len(each["reasons"]) for each in result["recommendations"]] == [3, 3, 3]
    assert all(each["p_like_base"] != each["p_like"] for each in result["recommendations"])
    for each in result["recommendations"]:
        assert set(ratings(each["reasons"])) <= set(ratings(result["history"]))
    result, _ = recommend_json(*USER, "--why", 4, "--top", 2)
    assert [len(each["reasons"]) for each in result["recommendations"]] == [4, 4]
    assert {each["p_like_base"] for each in result["recommendations"]} == {None}
    assert recommend_json(*USER, "--top", 2, "--why=4")[0] == result
    result, _ = recommend_json(*USER, "--top", 2)
    assert [each["reasons"] for each in result["recommendations"]] == [[], []]


@pytest.mark.slow
def test_the_base_model_alone_needs_no_adapter(recommend_json, tmp_path: Path):
    beside, _ = recommend_json(*USER, "--with-base", "--top", 40)
    alone, _ = recommend_json(
        *USER, "--base-only", "--set", f"train.output_dir={tmp_path}", "--top", 40
    )
    assert (alone["adapter"], alone["calibration"]) == (None, "none")
    by_base = {each["item"]["item_id"]: each["p_like_base"] for each in beside["recommendations"]}
    assert len(by_base) == len(alone["recommendations"]) > 15
    for each in alone["recommendations"]:
        assert each["p_like"] == pytest.approx(by_base[each["item"]["item_id"]], abs=1e-5)
    p_like = [each["p_like"] for each in alone["recommendations"]]
    assert p_like == sorted(p_like, reverse=True)


@pytest.mark.slow
def test_history_sets_how_many_ratings_are_shown(recommend_json):
    longer, _ = recommend_json(*USER, "--history", 8)
    assert len(longer["history"]) == 8
    assert longer["notes"] == []
    shorter, err = recommend_json(*USER, "--history", 2)
    assert len(shorter["history"]) == 2
    (note,) = shorter["notes"]
    assert note in err


@pytest.mark.slow
def test_predictions_are_calibrated_as_configured(recommend_json, trained: Trained, tmp_path: Path):
    kept = shutil.ignore_patterns("checkpoint-*", "logs")
    adapter = Path(shutil.copytree(trained.adapter, tmp_path / "run", ignore=kept))
    write_calibration(
        adapter, Calibration(9, "interview", True, 2.5, (1.0, 0.0), (0.0, 1.0), (0.0, 1.0))
    )
    given, _ = recommend_json(*USER, "--adapter", adapter)
    result, _ = recommend_json(
        *USER, "--adapter", adapter, "--set", "scoring.calibration=temperature"
    )
    assert (given["calibration"], result["calibration"]) == ("none", "temperature")
    raw, calibrated = given["recommendations"], result["recommendations"]
    assert [each["item"] for each in calibrated] == [each["item"] for each in raw]
    expected = expit(logit([each["p_like"] for each in raw]) / 2.5)
    np.testing.assert_allclose([each["p_like"] for each in calibrated], expected, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("list.json", ()),
        ("list.csv", ()),
        ("list.txt", ()),
        ("list.txt", ("--format", "csv")),
        ("list.csv", ("--format", "json")),
    ],
)
def test_a_file_holds_what_the_terminal_would_get(
    trained: Trained,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    flags: tuple[str, ...],
):
    file = tmp_path / "new" / name
    assert trained.recommend(*USER, "--top", 3, "--output", file, *flags) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert str(file) in shown.err
    assert [path.name for path in file.parent.iterdir()] == [name]
    text = file.read_bytes().decode()
    shape = flags[1] if flags else {".json": "json", ".csv": "csv"}.get(file.suffix)
    if shape is None:
        assert " 11," in text.splitlines()[0]
        assert text.count(" % │") == 3
        return
    trained.recommend(*USER, "--top", 3, "--format", shape)
    assert text == capsys.readouterr().out
    if shape == "csv":
        assert [row["rank"] for row in csv.DictReader(io.StringIO(text))] == ["1", "2", "3"]
    else:
        assert len(json.loads(text)["recommendations"]) == 3


def test_a_file_is_written_whole_or_stays_as_it_was(
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    file = tmp_path / "list.csv"
    file.write_text("an older list", encoding="utf-8")
    assert trained.recommend("--user", 12, "--output", file) == RequestError.exit_code

    def disk_full(*_: object) -> str:
        raise OSError("no space left")

    monkeypatch.setattr("reeltune.recommend.render.csv_text", disk_full)
    assert trained.recommend(*USER, "--output", file) == ReeltuneError.exit_code
    _, (code, line) = re.findall(r"^error\[(\w+)\]: (.*)", capsys.readouterr().err, re.MULTILINE)
    assert code == "os_error"
    assert line.startswith(f"{file}: no space left")
    assert file.read_text(encoding="utf-8") == "an older list"
    assert list(tmp_path.iterdir()) == [file]


def test_the_help_and_the_page_name_the_default_number_of_candidates(
    trained: Trained, capsys: pytest.CaptureFixture[str]
):
    assert trained.recommend("--help") == 0
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"CUDA device, else {DEFAULT_CANDIDATES}." in words
    page = text_of(ROOT / "docs" / "USING.md")
    assert any(str(DEFAULT_CANDIDATES) in line and "CUDA" in line for line in page.splitlines())
