"""``reeltune recommend`` reports errors in one line, with code and exit code."""

from __future__ import annotations

from typing import Any

import pytest

from reeltune.errors import ConfigError, DataError, LengthError, ModelError, RequestError
from tests.errors import error_code
from tests.recommend.conftest import Trained

USER = ("--user", 11)


@pytest.mark.parametrize(
    ("flags", "kind", "code", "figures"),
    [
        (("--user", 12), RequestError, "unknown_user", ["12", "71"]),
        (("--rated", ""), RequestError, "missing_rating", ["--rated ''"]),
        ((*USER, "--rated", "#1=4"), ConfigError, "user_or_ratings", []),
        ((*USER, "--rated-file", "a.csv"), ConfigError, "user_or_ratings", []),
        (("--rated", "#1=9"), RequestError, "rating_not_on_scale", ["--rated '#1=9': ", "'9'"]),
        (("--rated-file", "no.csv"), DataError, "table_not_found", ["no.csv: no such file"]),
        (("--rated-file", "."), DataError, "table_not_found", [".: a folder"]),
        (("--columns", "item=isbn"), ConfigError, "bad_columns", ["--rated-file"]),
        ((*USER, "--genre", "Opera"), RequestError, "unknown_genre", ["'Opera'"]),
        ((*USER, "--year-from", 2100), RequestError, "no_items_left", []),
        ((*USER, "--base-only", "--with-base"), ConfigError, "conflicting_flags", ["--with-base "]),
        (
            (*USER, "--base-only", "--adapter", "x"),
            ConfigError,
            "conflicting_flags",
            ["--base-only", "--adapter"],
        ),
        (
            (*USER, "--adapter", "absent"),
            ModelError,
            "adapter_not_found",
            ["absent: ", "reeltune train", "--base-only"],
        ),
        ((*USER, "--output", "."), ConfigError, "output_is_a_folder", [".: "]),
        ((*USER, "--set", "data.prepared_dir=absent"), DataError, None, ["absent: "]),
        ((*USER, "--set", "scoring.layot=single"), ConfigError, None, ["scoring.layot: "]),
    ],
)
def test_an_error_is_one_line_and_comes_before_a_model_is_loaded(
    trained: Trained,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[object, ...],
    kind: type[Any],
    code: str | None,
    figures: list[str],
):
    def load(*_: object) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr("reeltune.models.loaded_model.load_model", load)
    assert trained.recommend(*flags) == kind.exit_code
    shown = capsys.readouterr()
    assert shown.out == ""
    if code is not None:
        assert error_code(shown.err) == code
    assert [figure for figure in figures if figure not in shown.err] == []
    assert shown.err.startswith("error")
    assert len(shown.err.splitlines()) == 1


@pytest.mark.parametrize(
    "flags",
    [
        ("--candidates", "some"),
        ("--candidates", "0"),
        ("--candidates", "-3"),
        ("--top", "0"),
        ("--history", "0"),
        ("--why", "0"),
        ("--why", "-1"),
        ("--format", "xml"),
    ],
)
def test_flags_that_mean_nothing_are_wrong_usage(
    trained: Trained, capsys: pytest.CaptureFixture[str], flags: tuple[str, str]
):
    assert trained.recommend(*USER, *flags) == 2
    assert flags[0] in capsys.readouterr().err


def test_prompts_that_could_be_too_long_are_refused(
    trained: Trained, capsys: pytest.CaptureFixture[str]
):
    assert trained.recommend(*USER, "--set", "data.max_length=100") == LengthError.exit_code
    assert "data.max_length: " in capsys.readouterr().err
