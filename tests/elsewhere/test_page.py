"""docs/ELSEWHERE.md shows the examples as they are, and they need nothing of reeltune."""

from __future__ import annotations

import ast
import re
import shlex

import pytest

from tests.docs.pages import ROOT, relative_links, text_of
from tests.elsewhere.snippets import EXAMPLES

PAGE = ROOT / "docs" / "ELSEWHERE.md"
FILES = sorted(EXAMPLES.glob("elsewhere_*.py"))

_CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CALL = re.compile(r"^python (examples/elsewhere_.*)$", re.MULTILINE)
_TAKEN = re.compile(r"^(.*), \*items = sys\.argv\[1:\]$", re.MULTILINE)


def test_the_code_on_the_page_is_the_files():
    shown = _CODE.findall(text_of(PAGE))
    files = {file.name: text_of(file) for file in FILES}
    for block in shown:
        assert any(block in text for text in files.values()), block.splitlines()[0]
    whole = {name for name, text in files.items() if text in shown}
    assert whole == {"elsewhere_ctranslate2.py", "elsewhere_peft.py"}
    linked = {target.rpartition("/")[2] for target in relative_links(PAGE)}
    assert files.keys() <= whole | linked


def test_the_calls_on_the_page_are_valid_arguments():
    calls = [shlex.split(call) for call in _CALL.findall(text_of(PAGE))]
    assert len(calls) == 2
    for script, *args in calls:
        (folders,) = _TAKEN.findall(text_of(ROOT / script))
        items = args[len(folders.split(", ")) :]
        assert [re.match(r"\d\.\d: ", item) is not None for item in items] == [
            *[True] * (len(items) - 1),
            False,
        ]
        assert len(items) > 1


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_example_imports_reeltune(file):
    tree = ast.parse(text_of(file))
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not {name for name in imported if name.split(".")[0] == "reeltune"}
    assert imported
