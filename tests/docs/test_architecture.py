"""docs/ARCHITECTURE.md and docs/ERRORS.md match the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from reeltune import errors
from reeltune.domain import (
    INTERVIEW,
    PROMPT_VERSION,
    WINDOW,
    Form,
    Item,
    PromptSettings,
    Renderer,
)
from reeltune.extras import EXTRAS
from tests.docs.pages import ROOT, TRAINING, blocks, spans, table, text_of

PAGE = ROOT / "docs" / "ARCHITECTURE.md"
ERRORS = ROOT / "docs" / "ERRORS.md"
SOURCE = ROOT / "src" / "reeltune"

_HISTORY = [(4.5, Item(1, "Heat", 1995, ())), (3.0, Item(2, "Fargo", 1996, ()))]
_CANDIDATE = Item(3, "Casino", 1995, ())
_SPEAKERS = ("user", "assistant")


def layers() -> list[list[str]]:
    """The layers that import-linter holds the packages to, from the bottom up."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    return [re.findall(r"\w+", layer) for layer in reversed(contract["layers"])]


def test_the_page_shows_the_layers_that_imports_are_checked_against():
    (line,) = (block for block in blocks(PAGE) if block.startswith("errors "))
    assert [layer.split() for layer in line.split("<")] == layers()[:-1]


def test_every_package_has_its_layer():
    folders = [path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()]
    modules = [path.stem for path in SOURCE.glob("*.py") if path.stem != "__init__"]
    assert sorted(name for layer in layers() for name in layer) == sorted([*folders, *modules])


@pytest.mark.parametrize(
    ("page", "form"),
    [(PAGE, WINDOW), (PAGE, INTERVIEW), (TRAINING, INTERVIEW)],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_prompt_is_shown_as_it_is_rendered(page: Path, form: Form):
    words = []
    for i, turn in enumerate(Renderer(PromptSettings(form=form)).turns(_HISTORY, _CANDIDATE)):
        words += [_SPEAKERS[i % 2], *turn.split()]
    words += ["assistant", "(the", "prediction)"]
    assert words in [block.split() for block in blocks(page)]


def test_the_version_of_the_prompt_is_the_renderers():
    assert f"`PROMPT_VERSION` (now {PROMPT_VERSION})" in text_of(PAGE)


def test_every_kind_of_error_has_its_exit_code():
    rows = {name.strip("`"): code for code, name, _ in table(ERRORS, "exit code") if name}
    kinds = errors.ReeltuneError.__subclasses__()
    own = [kind for kind in kinds if kind.__module__ == errors.__name__]
    assert rows == {"OSError": "1"} | {kind.__name__: str(kind.exit_code) for kind in own}


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    wanted = {re.split(r"[<>=!~\[ ]", line)[0] for line in lines}
    reasons = dict(table(PAGE, "Package"))
    assert reasons.keys() == wanted
    assert all(reasons.values())


def test_every_file_named_exists():
    for span in spans(PAGE):
        if span.endswith(".py") and "/" in span:
            assert (SOURCE / span).is_file() or (ROOT / span).is_file(), span
