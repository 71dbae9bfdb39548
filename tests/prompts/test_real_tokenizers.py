"""Pieces equal the whole for real tokenizers and every film of a real edition.

The environment names what to use, for nothing is downloaded: ``REELTUNE_TEST_PREPARED`` is a
prepared folder, ``REELTUNE_TEST_QWEN3_TOKENIZER`` and ``REELTUNE_TEST_SMOLLM2`` are folders with a
tokenizer.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reeltune.data.folder import Examples, PreparedFolder
from reeltune.domain import EVIDENCE, Evidence, Form, Item, PromptSettings, Renderer
from reeltune.models.tokenizer import load_tokenizer
from reeltune.prompts.piece_texts import STAR_STEPS
from reeltune.prompts.pieces import PromptTokens
from tests.helpers import make_items
from tests.prompts.build import FORMS, lists, whole_prompts
from tests.timelines import timelines_of

TOKENIZERS = ("REELTUNE_TEST_QWEN3_TOKENIZER", "REELTUNE_TEST_SMOLLM2")


def folder_from(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} names no folder")
    return Path(value)


def assert_equal_for(items: list[Item], tokenizer_folder: Path, settings: PromptSettings) -> None:
    """Show every film before another line, last in a history and as the candidate."""
    tokenizer = load_tokenizer(str(tokenizer_folder))
    renderer = Renderer(settings)
    tokens = PromptTokens(tokenizer, renderer, items)
    assert tokens.differing == []
    count = len(items)
    rows = [*range(count), 0, 1]
    rating = [float(STAR_STEPS[i % len(STAR_STEPS)]) for i in range(len(rows))]
    random = np.random.default_rng(0)
    entries = [len(renderer.evidence_lines(kind)) for kind in settings.evidence]
    codes = random.integers(0, entries, (len(rows), len(entries))).astype(np.int16)
    timelines = replace(timelines_of(rows, rating), evidence=codes if entries else None)
    target = np.arange(2, count + 2, dtype=np.int64)
    examples = Examples(start=target - 2, target=target)
    prompts = lists(tokens.prompts(timelines, examples))
    assert prompts == whole_prompts(tokenizer, renderer, items, timelines, examples)


@pytest.mark.slow
@pytest.mark.parametrize("variable", TOKENIZERS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("genres", [False, True])
@pytest.mark.parametrize("evidence", [(), tuple(EVIDENCE)], ids=["no evidence", "evidence"])
def test_every_film_of_an_edition(
    variable: str, genres: bool, form: Form, evidence: tuple[Evidence, ...]
):
    items = PreparedFolder.open(folder_from("REELTUNE_TEST_PREPARED")).items
    settings = PromptSettings(genres=genres, form=form, evidence=evidence)
    assert_equal_for(items, folder_from(variable), settings)


@pytest.mark.parametrize("variable", TOKENIZERS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("genres", [False, True])
@pytest.mark.parametrize("evidence", [(), tuple(EVIDENCE)], ids=["no evidence", "evidence"])
def test_odd_titles(variable: str, genres: bool, form: Form, evidence: tuple[Evidence, ...]):
    settings = PromptSettings(genres=genres, form=form, evidence=evidence)
    assert_equal_for(make_items(200), folder_from(variable), settings)
