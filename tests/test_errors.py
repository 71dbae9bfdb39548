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


def test_an_error_says_what_where_and_how_to_mend_it():
    assert str(DataError("no title", where="movies.csv, line 3", mend="Add one")) == (
        "movies.csv, line 3: no title. Add one"
    )
    assert str(DataError("no title")) == "no title"


@pytest.mark.parametrize(("kind", "standard"), KINDS.items())
def test_every_kind_is_ours_and_the_standard_kind(
    kind: type[ReeltuneError], standard: type[Exception]
):
    assert issubclass(kind, ReeltuneError)
    assert issubclass(kind, standard)
    assert str(kind("what", where="where")) == "where: what"


def test_exit_codes_are_distinct_and_none_is_one_the_shell_uses():
    codes = [kind.exit_code for kind in (ReeltuneError, *KINDS)]
    assert len(set(codes)) == len(codes)
    assert not set(codes) & {0, 2}  # success, wrong usage
