"""Pieces equal the whole for real tokenizers and every film of a real edition."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from reeltune.cli import main
from reeltune.config.domains import domain_presets, find_domain
from reeltune.data.folder import PreparedFolder
from reeltune.data.timelines import Examples
from reeltune.domain import SIGNALS, Form, Item, PromptSettings, Renderer, SignalKind
from reeltune.models.pretrained import load_tokenizer
from reeltune.prompts.pieces import PromptTokens
from tests import registries
from tests.helpers import make_items
from tests.prompts.build import FORMS, lists, whole_prompts
from tests.timelines import timelines_of

PREPARED = "REELTUNE_TEST_PREPARED"
"""Names a prepared folder to test instead of ml-100k."""


@pytest.fixture(scope="module", params=["qwen3", "smollm2"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    return load_tokenizer(str(request.getfixturevalue(f"{request.param}_tokenizer")))


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    """Every film of a real edition."""
    folder = os.environ.get(PREPARED)
    if not folder:
        ratings, folder = registries.movielens_100k(), tmp_path_factory.mktemp("real") / "ml-100k"
        args = ["--ratings-dir", str(ratings), "--output-dir", str(folder), "--no-json", "--no-fit"]
        with pytest.raises(SystemExit) as left:
            main(["prepare", *args])
        assert not left.value.code
    return PreparedFolder.open(Path(folder)).items


def assert_equal_for(
    items: list[Item], tokenizer: PreTrainedTokenizerBase, settings: PromptSettings
) -> None:
    """Show every film before another line, last in a history and as the candidate."""
    renderer = Renderer(settings)
    tokens = PromptTokens(tokenizer, renderer, items)
    assert tokens.differing == []
    count = len(items)
    rows = [*range(count), 0, 1]
    scale = settings.scale.ratings()
    rating = [scale[i % len(scale)] for i in range(len(rows))]
    random = np.random.default_rng(0)
    entries = [len(kind.lines) for kind in settings.context]
    codes = random.integers(0, entries, (len(rows), len(entries))).astype(np.int16)
    timelines = replace(timelines_of(rows, rating), context=codes if entries else None)
    target = np.arange(2, count + 2, dtype=np.int64)
    examples = Examples(start=target - 2, target=target)
    prompts = lists(tokens.prompts(timelines, examples))
    assert prompts == whole_prompts(tokenizer, renderer, items, timelines, examples)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("genres", [False, True])
@pytest.mark.parametrize("signals", [(), tuple(SIGNALS)], ids=["no signals", "signals"])
def test_every_film_of_an_edition(
    tokenizer: PreTrainedTokenizerBase,
    items: list[Item],
    genres: bool,
    form: Form,
    signals: tuple[SignalKind, ...],
):
    settings = PromptSettings(genres=genres, form=form, signals=signals)
    assert_equal_for(items, tokenizer, settings)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("genres", [False, True])
@pytest.mark.parametrize("signals", [(), tuple(SIGNALS)], ids=["no signals", "signals"])
def test_odd_titles(
    tokenizer: PreTrainedTokenizerBase, genres: bool, form: Form, signals: tuple[SignalKind, ...]
):
    settings = PromptSettings(genres=genres, form=form, signals=signals)
    assert_equal_for(make_items(200), tokenizer, settings)


OWN = {
    "name": "disc",
    "item": "Blu-ray",
    "items": "Blu-rays",
    "disliked": "don't care",
    "unit": "points",
}
SCALES = {
    "half stars": (4.0, 0.5, 5.0, None),
    "quarters": (4.0, 0.25, 5.0, None),
    "1 to 10": (7.0, 1.0, 10.0, None),
    "0 to 100": (60.0, 0.0, 100.0, 1.0),
    "tenths below zero": (0.5, -1.0, 1.0, 0.1),
    "likes": (1.0, 0.0, 1.0, 1.0),
}
"""Threshold, lowest and highest rating, and step."""


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("domain", "scale"),
    [*((name, "1 to 10") for name in domain_presets()), *(("own", scale) for scale in SCALES)],
)
def test_domains_and_scales(
    tokenizer: PreTrainedTokenizerBase, domain: str, scale: str, form: Form
):
    threshold, lowest, highest, step = SCALES[scale]
    settings = PromptSettings(
        threshold,
        lowest,
        highest,
        form=form,
        signals=tuple(SIGNALS),
        domain=find_domain(OWN if domain == "own" else domain),
        scale_step=step,
    )
    assert_equal_for(make_items(120), tokenizer, settings)
