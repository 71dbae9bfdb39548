"""``reeltune recommend`` refuses what it cannot do: one line, and the exit code of its kind."""

from __future__ import annotations

from typing import Any

import pytest

from reeltune.errors import ConfigError, DataError, LengthError, ModelError, RequestError
from tests.recommend.conftest import Trained

USER = ("--user", 11)


@pytest.mark.parametrize(
    ("flags", "kind", "said"),
    [
        (("--user", 12), RequestError, "no user has the id 12. Users have ids from 1 to 71"),
        ((), ConfigError, "nobody to recommend for. Give --user ID, or ratings"),
        ((*USER, "--rated", "#1=4"), ConfigError, "a user and ratings are both given"),
        ((*USER, "--rated-file", "a.csv"), ConfigError, "a user and ratings are both given"),
        (("--rated", "#1=9"), RequestError, "--rated '#1=9': '9' stars are not on the scale"),
        (("--rated-file", "absent.csv"), RequestError, "absent.csv: cannot be read (No such"),
        ((*USER, "--genre", "Opera"), RequestError, "no film has the genre 'Opera'. Choose from"),
        ((*USER, "--year-from", 2100), RequestError, "no film is left to judge"),
        ((*USER, "--base-only", "--base"), ConfigError, "--base-only and --base are both given"),
        ((*USER, "--base-only", "--adapter", "x"), ConfigError, "--base-only and --adapter are"),
        (
            (*USER, "--adapter", "absent"),
            ModelError,
            "absent: no adapter here. Run: reeltune train",
        ),
        ((*USER, "--output", "."), ConfigError, ".: is a folder. Name a file in it"),
        ((*USER, "--set", "data.prepared_dir=absent"), DataError, "absent: no prepared data here"),
        ((*USER, "--set", "scoring.layot=single"), ConfigError, "scoring.layot: no such key"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_a_model_is_loaded(
    trained: Trained,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[object, ...],
    kind: type[Any],
    said: str,
):
    def load(*_: object) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr("reeltune.asking.subject.load_subject", load)
    assert trained.recommend(*flags) == kind.exit_code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert shown.err.startswith("error: ")
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
        ("--user", "me"),
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
    assert "Set data.max_length to at least" in capsys.readouterr().err
