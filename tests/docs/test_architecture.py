"""docs/ARCHITECTURE.md names what is there: import order, exit codes, packages, files, words."""

from __future__ import annotations

import ast
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
from tests.docs.pages import README, ROOT, blocks, spans, table, text_of

PAGE = ROOT / "docs" / "ARCHITECTURE.md"
SOURCE = ROOT / "src" / "reeltune"

_HISTORY = [(4.5, Item(1, "Heat", 1995, ())), (3.0, Item(2, "Fargo", 1996, ()))]
_CANDIDATE = Item(3, "Casino", 1995, ())
_SPEAKERS = ("user", "assistant")


def import_order() -> list[str]:
    (line,) = (block for block in blocks(PAGE) if block.startswith("errors "))
    return line.replace("<", " ").split()


def part_of(module: str) -> str:
    """Where a module stands in the order: its package, or itself at the top level."""
    return module.partition(".")[0]


def imported_by(file: Path) -> set[str]:
    """Modules of the project that a file imports anywhere, without ``reeltune.``."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.removeprefix("reeltune.") for name in names if name.startswith("reeltune.")}
    return found - {"__version__"}


def test_imports_go_one_way():
    order = import_order()
    against = []
    for file in SOURCE.rglob("*.py"):
        module = ".".join(file.relative_to(SOURCE).with_suffix("").parts)
        if module in ("__init__", "__main__"):
            continue
        here = part_of(module)
        for target in sorted(imported_by(file)):
            there = part_of(target)
            if there != here and order.index(there) >= order.index(here):
                against.append(f"{module} imports {target}")
    assert against == []


def test_the_order_names_every_part_once():
    folders = [path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()]
    modules = [path.stem for path in SOURCE.glob("*.py") if not path.stem.startswith("__")]
    assert sorted(import_order()) == sorted([*folders, *modules])


@pytest.mark.parametrize(
    ("page", "form"), [(PAGE, WINDOW), (PAGE, INTERVIEW), (README, INTERVIEW)], ids=str
)
def test_a_prompt_is_shown_as_it_is_rendered(page: Path, form: Form):
    words = []
    for i, turn in enumerate(Renderer(PromptSettings(form=form)).turns(_HISTORY, _CANDIDATE)):
        words += [_SPEAKERS[i % 2], *turn.split()]
    words += ["assistant", "(the", "verdict)"]
    assert words in [block.split() for block in blocks(page)]


def test_the_version_of_the_prompt_is_the_renderers():
    assert f"`PROMPT_VERSION` (now {PROMPT_VERSION})" in text_of(PAGE)


def test_every_kind_of_error_has_its_exit_code():
    rows = {name.strip("`"): code for code, name, _ in table(PAGE, "Exit code") if name}
    kinds = [errors.ReeltuneError, *errors.ReeltuneError.__subclasses__()]
    own = [kind for kind in kinds if kind.__module__ == errors.__name__]
    assert rows == {kind.__name__: str(kind.exit_code) for kind in own}


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split(r"[<>=!~\[ ]", line)[0] for line in project["dependencies"]}
    reasons = dict(table(PAGE, "Package"))
    assert reasons.keys() == wanted
    assert all(reasons.values())


def test_every_file_named_exists():
    for span in spans(PAGE):
        if span.endswith(".py") and "/" in span:
            assert (SOURCE / span).is_file() or (ROOT / span).is_file(), span
