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
from reeltune.recommend.recommend import recommend
from scipy.special import expit, logit

from reeltune.asking.judge import Judge
from reeltune.asking.subject import load_subject
from reeltune.config import load_config
from reeltune.data.folder import PreparedFolder
from reeltune.errors import ReeltuneError, RequestError
from reeltune.recommend import candidates as candidates_module
from reeltune.recommend.candidates import CPU_CANDIDATES, user_history
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.filters import Filters, most_rated
from reeltune.scoring.calibration import Calibration, write_calibration
from tests.docs.pages import ROOT, text_of
from tests.recommend.conftest import Trained

USER = ("--user", 11)


@pytest.fixture
def asked(trained: Trained, capsys: pytest.CaptureFixture[str]):
    """Call the command for JSON; standard output must be nothing else."""

    def ask(*flags: object) -> tuple[dict[str, Any], str]:
        code = trained.recommend("--format", "json", *flags)
        shown = capsys.readouterr()
        assert code == 0, shown.err
        return json.loads(shown.out), shown.err

    return ask


@pytest.fixture(scope="module")
def own_judge(trained: Trained) -> Judge:
    return Judge(load_subject(load_config(None, trained.overrides), trained.adapter))


@pytest.fixture(scope="module")
def catalogue(prepared: PreparedFolder) -> Catalogue:
    return Catalogue.of(prepared)


def rows_of(catalogue: Catalogue, told: list[dict[str, Any]]) -> list[int]:
    return [catalogue.row_of(one["item_id"]) for one in told]


def test_a_users_list_is_that_of_the_judge(asked, own_judge: Judge, catalogue: Catalogue):
    told, err = asked(*USER, "--top", 7)
    history = user_history(own_judge.subject.folder.timelines, 11)
    unrated = np.setdiff1d(np.arange(40), history.item_idx)
    expected = recommend(own_judge, history, unrated, 7)
    assert rows_of(catalogue, told["items"]) == [one.item_idx for one in expected]
    assert [one["p_like"] for one in told["items"]] == [one.p_yes for one in expected]
    assert not {"p_like_base", "why"} & told["items"][0].keys()
    assert (told["user_id"], told["rated"]) == (11, len(history))
    assert (told["fitting"], told["judged"], told["notes"]) == (len(unrated), len(unrated), [])
    assert rows_of(catalogue, told["shown"]) == history.item_idx[-5:].tolist()
    assert f"judging all {len(unrated)} films that fit and are not rated yet" in err
    assert "scoring candidates" in err


def test_the_terminal_gets_a_table_and_nothing_else(
    trained: Trained, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "400")
    assert trained.recommend(*USER, "--format", "json", "--why", "--base") == 0
    told = json.loads(capsys.readouterr().out)
    assert trained.recommend(*USER, "--why", "--base") == 0
    out = capsys.readouterr().out
    assert out.startswith("For user 11, by ")
    numbers = [line for line in out.splitlines() if line.startswith("│") and " % │" in line]
    assert len(numbers) == len(told["items"]) == 10
    for line, item in zip(numbers, told["items"], strict=True):
        assert f"{100 * item['p_like']:.1f} % │" in line
        assert f"{100 * item['p_like_base']:.1f} % │" in line
    assert len(re.findall(r"│ [+-]\d+\.\d ", out)) == 30


def test_typed_ratings_and_a_file_are_one_history(
    asked, catalogue: Catalogue, prepared: PreparedFolder, tmp_path: Path
):
    file = tmp_path / "mine.csv"
    file.write_text("movieId,rating,timestamp\n28,4.5,20\n31,0.5,10\n", encoding="utf-8")
    names = ("--rated", "Amélie=3", "--rated", "#4=5")
    told, err = asked("--rated-file", file, *names, "--top", 40)
    shown = [(one["item_id"], one["rating"]) for one in told["shown"]]
    assert shown == [(31, 0.5), (28, 4.5), (1, 3.0), (4, 5.0)]
    assert told["user_id"] is None
    assert sorted(rows_of(catalogue, told["items"])) == [
        row for row in range(40) if row not in (0, 1, 9, 10)
    ]
    (note,) = told["notes"]
    assert note.startswith("4 ratings are shown, and the model has learned from histories of 5")
    assert f"Note: {note}" in err
    assert "shown to the model, oldest first: " in err
    assert f"{catalogue.name(0)}: 3.0" in err


def test_filters_leave_films_out(asked, catalogue: Catalogue, prepared: PreparedFolder):
    flags = ("--genre", "drama", "--genre", "Comedy", "--without-genre", "action")
    flags += ("--year-from", 1910, "--year-to", 2015, "--min-ratings", 2, "--max-ratings", 6)
    told, _ = asked(*USER, *flags, "--top", 40)
    wanted = Filters(("Drama", "Comedy"), ("Action",), 1910, 2015, 2, 6).rows(catalogue)
    history = user_history(prepared.timelines, 11)
    expected = sorted(set(wanted.tolist()) - set(history.item_idx.tolist()))
    assert expected
    assert sorted(rows_of(catalogue, told["items"])) == expected
    assert told["fitting"] == len(expected)


def test_the_most_rated_are_judged_where_not_all_are(
    asked, catalogue: Catalogue, prepared: PreparedFolder, monkeypatch: pytest.MonkeyPatch
):
    history = user_history(prepared.timelines, 11)
    unrated = np.setdiff1d(np.arange(40), history.item_idx)
    told, _ = asked(*USER, "--candidates", 6, "--top", 40)
    expected = most_rated(catalogue, unrated, 6).tolist()
    assert sorted(rows_of(catalogue, told["items"])) == expected
    monkeypatch.setattr(candidates_module, "CPU_CANDIDATES", 4)
    told, err = asked(*USER, "--top", 40)
    assert (told["judged"], told["fitting"]) == (4, len(unrated))
    assert f"judging the 4 most often rated of {len(unrated)} films" in err
    assert "without a CUDA device all would take long; --candidates all judges them" in err
    assert asked(*USER, "--candidates", "all")[0]["judged"] == len(unrated)


def test_base_and_reasons_are_told_where_asked(asked):
    told, _ = asked(*USER, "--why", "--top", 3, "--base")
    assert [len(item["why"]) for item in told["items"]] == [3, 3, 3]
    assert all(item["p_like_base"] != item["p_like"] for item in told["items"])
    shown = {(one["item_id"], one["rating"]) for one in told["shown"]}
    assert {(one["item_id"], one["rating"]) for one in told["items"][0]["why"]} <= shown
    told, _ = asked(*USER, "--why", 4, "--top", 2)
    assert [len(item["why"]) for item in told["items"]] == [4, 4]
    assert "p_like_base" not in told["items"][0]
    assert asked(*USER, "--top", 2, "--why=4")[0] == told


def test_the_base_model_alone_needs_no_adapter(asked, tmp_path: Path):
    beside, _ = asked(*USER, "--base", "--top", 40)
    alone, _ = asked(*USER, "--base-only", "--set", f"train.output_dir={tmp_path}", "--top", 40)
    assert (alone["adapter"], alone["calibration"]) == (None, "none")
    by_base = {item["item_id"]: item["p_like_base"] for item in beside["items"]}
    assert len(by_base) == len(alone["items"]) > 15
    for item in alone["items"]:
        assert item["p_like"] == pytest.approx(by_base[item["item_id"]], abs=1e-5)
    chances = [item["p_like"] for item in alone["items"]]
    assert chances == sorted(chances, reverse=True)


def test_history_says_how_many_ratings_are_shown(asked):
    longer, _ = asked(*USER, "--history", 8)
    assert len(longer["shown"]) == 8
    assert longer["notes"] == []
    shorter, err = asked(*USER, "--history", 2)
    assert len(shorter["shown"]) == 2
    assert "Note: 2 ratings are shown" in err


def test_verdicts_are_calibrated_as_the_configuration_says(asked, trained: Trained, tmp_path: Path):
    kept = shutil.ignore_patterns("checkpoint-*", "logs")
    adapter = Path(shutil.copytree(trained.adapter, tmp_path / "run", ignore=kept))
    write_calibration(
        adapter, Calibration(9, "interview", "blocks", 2.5, (1.0, 0.0), (0.0, 1.0), (0.0, 1.0))
    )
    given, _ = asked(*USER, "--adapter", adapter)
    told, _ = asked(*USER, "--adapter", adapter, "--set", "scoring.calibration=temperature")
    assert (given["calibration"], told["calibration"]) == ("none", "temperature")
    assert [f["item_id"] for f in told["items"]] == [f["item_id"] for f in given["items"]]
    expected = expit(logit([item["p_like"] for item in given["items"]]) / 2.5)
    np.testing.assert_allclose([item["p_like"] for item in told["items"]], expected, atol=1e-9)


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
    assert f"written to {file}" in shown.err
    assert [path.name for path in file.parent.iterdir()] == [name]
    text = file.read_bytes().decode()
    shape = flags[1] if flags else {".json": "json", ".csv": "csv"}.get(file.suffix)
    if shape is None:
        assert text.startswith("For user 11")
        assert text.count(" % │") == 3
        return
    trained.recommend(*USER, "--top", 3, "--format", shape)
    assert text == capsys.readouterr().out
    as_csv = shape == "csv"
    items = list(csv.DictReader(io.StringIO(text))) if as_csv else json.loads(text)["items"]
    assert [str(item["rank"]) for item in items] == ["1", "2", "3"]


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
    _, error = re.findall(r"^error\[(\w+)\]: (.*)", capsys.readouterr().err, re.MULTILINE)
    assert error == ("os_error", "no space left")
    assert file.read_text(encoding="utf-8") == "an older list"
    assert list(tmp_path.iterdir()) == [file]


def test_the_help_and_the_page_say_how_many_films_are_judged(
    trained: Trained, capsys: pytest.CaptureFixture[str]
):
    assert trained.recommend("--help") == 0
    words = capsys.readouterr().out.replace("│", " ").split()
    assert f"and {CPU_CANDIDATES} elsewhere" in " ".join(words)
    page = " ".join(text_of(ROOT / "docs" / "USING.md").split())
    assert f"elsewhere the {CPU_CANDIDATES} most often rated" in page
