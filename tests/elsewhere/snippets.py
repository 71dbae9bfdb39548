"""Arguments and output of the scripts in ``examples``."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reeltune.domain import Item
from reeltune.models.loaded_model import LoadedModel
from reeltune.prompts.rows import choose_blocks, held_out_rows

EXAMPLES = Path(__file__).parents[2] / "examples"

_TOLD = re.compile(r"P\(Yes\) = (\d\.\d{6})\n")


def words(item: Item) -> str:
    """A film as typed by a user."""
    title = item.title or "Untitled"
    return title if item.year is None else f"{title} ({item.year})"


def command_lines(subject: LoadedModel, split: str = "test") -> Iterator[list[str]]:
    """A script's arguments for every row of a split: films with stars, then the candidate."""
    timelines, items = subject.folder.timelines, subject.folder.items
    rows = choose_blocks(subject.folder, held_out_rows(subject.config, split, None)).examples
    for start, target in zip(rows.start.tolist(), rows.target.tolist(), strict=True):
        shown = [words(items[row]) for row in timelines.item_idx[start : target + 1]]
        rating = timelines.rating[start:target].tolist()
        yield [*(f"{s}: {item}" for s, item in zip(rating, shown, strict=False)), shown[-1]]


def tell(script: str, args: list[str], capsys: pytest.CaptureFixture[str]) -> float:
    """Run a script with these arguments, and return the P(Yes) it prints."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *args])
        patch.syspath_prepend(str(EXAMPLES))
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    printed = _TOLD.fullmatch(capsys.readouterr().out)
    assert printed, script
    return float(printed[1])
