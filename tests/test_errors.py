from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import pytest

from reeltune.errors import (
    ConfigError,
    DataError,
    FetchError,
    LeakError,
    LengthError,
    ModelError,
    Problem,
    ReeltuneError,
    RunError,
)

CLASSES = {
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


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_is_the_same_in_another_process(cls):
    error = cls("no title", code="no_title", where="line 3", hint="Add one", items=["a"])
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (cls, str(error), vars(error))


@pytest.mark.parametrize(("cls", "standard"), CLASSES.items())
def test_every_class_is_ours_and_a_standard_exception(
    cls: type[ReeltuneError], standard: type[Exception]
):
    assert issubclass(cls, ReeltuneError)
    assert issubclass(cls, standard)
    assert str(cls("message", code="code", where="where")) == "where: message"


def test_exit_codes_are_distinct_and_none_is_one_the_shell_uses():
    codes = [cls.exit_code for cls in (ReeltuneError, *CLASSES)]
    assert len(set(codes)) == len(codes)
    assert not set(codes) & {0, 2}  # success, wrong usage


ROOT = Path(__file__).parents[1]


def literal_codes() -> set[tuple[str, str]]:
    """Class and code of every error in the source with a literal code."""
    codes = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Error"):
                for keyword in node.keywords:
                    if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                        codes.add((node.func.id, keyword.value.value))
    return codes


def listed_codes() -> list[tuple[str, str]]:
    """Class and code of every row of the page's table of codes."""
    page = (ROOT / "docs" / "ERRORS.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `?([\w ]+)`? \|", page, flags=re.MULTILINE)
    return [(name, code) for code, name in rows]


@pytest.mark.slow
def test_a_code_belongs_to_one_class():
    codes = sorted(code for _, code in literal_codes())
    assert [code for code in set(codes) if codes.count(code) > 1] == []


@pytest.mark.slow
def test_the_page_lists_every_code_once_and_in_order():
    listed = [code for _, code in listed_codes()]
    assert listed == sorted(set(listed))
    assert literal_codes() - set(listed_codes()) == set()


def test_errors_have_one_line_whatever_they_quote():
    quoted = DataError("bad value 'a\n\x1b[2J\u2028b'", code="x", where="a\x00.csv", hint="x\r")
    assert str(quoted) == r"a\x00.csv: bad value 'a\n\x1b[2J\u2028b'. x\r"
    problems = [Problem(where, "x", "no\nkey") for where in ("a", "b")]
    assert str(ConfigError.of(problems, "c.yaml")).split("\n") == [
        "c.yaml: 2 errors:",
        r"  - a: no\nkey",
        r"  - b: no\nkey",
    ]


def test_each_problem_of_a_configuration_is_one_line():
    problems = [Problem("a\n  - b", "unknown_key", "m\r"), Problem("c", "unknown_key", "m")]
    lines = str(ConfigError.of(problems, "file")).splitlines()
    assert len(lines) == 1 + len(problems)
    assert all(line.isprintable() for line in lines)
