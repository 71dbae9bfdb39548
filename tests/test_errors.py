from __future__ import annotations

import pytest

from reeltune.errors import (
    ConfigError,
    DataError,
    FetchError,
    LeakError,
    LengthError,
    ModelError,
    ReeltuneError,
    RunError,
)

KINDS = {
    ConfigError: ValueError,
    DataError: ValueError,
    FetchError: OSError,
    ModelError: RuntimeError,
    LengthError: ValueError,
    RunError: RuntimeError,
    LeakError: ValueError,
}


def test_an_error_has_a_message_a_code_where_and_a_hint():
    error = DataError("no title", code="no_title", where="movies.csv, line 3", hint="Add one")
    assert (error.message, error.code) == ("no title", "no_title")
    assert (error.where, error.hint) == ("movies.csv, line 3", "Add one")
    assert str(error) == "movies.csv, line 3: no title. Add one"
    assert str(DataError("no title", code="no_title")) == "no title"


@pytest.mark.parametrize(("kind", "standard"), KINDS.items())
def test_every_kind_is_ours_and_the_standard_kind(
    kind: type[ReeltuneError], standard: type[Exception]
):
    assert issubclass(kind, ReeltuneError)
    assert issubclass(kind, standard)
    assert str(kind("message", code="code", where="where")) == "where: message"


def test_exit_codes_are_distinct_and_none_is_one_the_shell_uses():
    codes = [kind.exit_code for kind in (ReeltuneError, *KINDS)]
    assert len(set(codes)) == len(codes)
    assert not set(codes) & {0, 2}  # success, wrong usage
