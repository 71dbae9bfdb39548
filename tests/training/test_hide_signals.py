"""Training sequences without signals: which, how many, and that nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from reeltune.config import build_config
from reeltune.data.folder import PreparedFolder
from reeltune.data.timelines import Blocks
from reeltune.domain import Form, PromptSettings
from reeltune.errors import ConfigError, RunError
from reeltune.lengths.measure import block_lengths
from reeltune.prompts.rows import Selection, TokenRows, choose_blocks, tokenize, train_rows
from reeltune.signals.folder import with_signals
from reeltune.training.cache import key_of_rows
from reeltune.training.train import train
from tests.errors import raises_error
from tests.helpers import chat_tokenizer
from tests.prompts.build import FORMS, lists, merging_tokenizer, prompt_tokens
from tests.runs import tiny_config

SIGNALS = ("user", "recent")
ALL = Selection("train", None, 0, True, 4, answered=True)


@pytest.fixture(scope="module")
def folder(prepared: PreparedFolder) -> PreparedFolder:
    return with_signals(prepared, SIGNALS)


def rows_of(
    folder: PreparedFolder, form: Form, selection: Selection, tokenizer: PreTrainedTokenizerBase
) -> TokenRows:
    settings = PromptSettings(form=form, signals=SIGNALS)
    tokens = prompt_tokens(folder, settings, tokenizer)
    rows = tokenize(folder, tokens, choose_blocks(folder, selection), selection)
    lengths = block_lengths(folder, tokens, selection)
    if selection.share_history:
        assert lengths.prompts.tolist() == rows.sequences.prompt_lengths.tolist()
        assert lengths.sequences.tolist() == rows.sequences.ids.lengths.tolist()
    return rows


def without_lines(text: str) -> str:
    """A prompt without the lines of both signals under its items."""
    kept = [line for line in text.split("\n") if not line.startswith(("User ", "Lately "))]
    return "\n".join(kept)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share_history", [True, False])
@pytest.mark.parametrize("make", [chat_tokenizer, merging_tokenizer], ids=["pieces", "whole"])
def test_a_hidden_sequence_differs_by_its_lines_alone(
    folder: PreparedFolder,
    form: Form,
    share_history: bool,
    make: Callable[[], PreTrainedTokenizerBase],
):
    tokenizer = make()
    selection = replace(ALL, share_history=share_history)
    shown = rows_of(folder, form, selection, tokenizer)
    some = rows_of(folder, form, replace(selection, hide_signals=0.3), tokenizer)
    none = rows_of(folder, form, replace(selection, hide_signals=1.0), tokenizer)
    for labels in ("liked", "user_id", "item_id"):
        np.testing.assert_array_equal(getattr(some, labels), getattr(shown, labels))
    count = len(some.sequences)  # more than shown, if only hidden ones have pieces that differ
    hidden = set(replace(selection, hide_signals=0.3).hidden(count).tolist())
    assert len(hidden) == round(0.3 * count) > 1
    with_lines, bare = lists(shown.sequences.alone()), lists(none.sequences.alone())
    chosen = [bare if row in hidden else with_lines for row in some.sequences.row.tolist()]
    assert lists(some.sequences.alone()) == [prompts[i] for i, prompts in enumerate(chosen)]
    whole = [tokenizer.decode(ids) for ids in with_lines]
    expected = [tokenizer(without_lines(str(text)), add_special_tokens=False) for text in whole]
    assert bare == [each["input_ids"] for each in expected]
    assert bare != with_lines


def test_the_share_is_counted_and_drawn_from_the_seed():
    selection = replace(ALL, hide_signals=0.25)
    assert len(selection.hidden(10)) == 2  # of 2.5: the even neighbour
    assert len(selection.hidden(12)) == 3
    assert ALL.hidden(12).tolist() == []
    assert replace(ALL, hide_signals=1.0).hidden(3).tolist() == [0, 1, 2]
    assert selection.hidden(99).tolist() == selection.hidden(99).tolist()
    assert selection.hidden(99).tolist() != replace(selection, seed=1).hidden(99).tolist()


def test_the_cache_key_has_the_share_only_above_zero(folder: PreparedFolder):
    def key(selection: Selection):
        settings = PromptSettings(signals=SIGNALS)
        return key_of_rows(folder, settings, chat_tokenizer(), selection).parts["selection"]

    half = replace(ALL, hide_signals=0.5)
    assert key(half) == asdict(half)
    assert {**key(ALL), "hide_signals": 0.0} == asdict(ALL) != key(ALL)


def test_training_alone_hides_signals_and_there_must_be_some():
    config = build_config({"train": {"hide_signals": 0.5}})
    assert train_rows(config).hide_signals == 0.5
    tree = {"train": {"hide_signals": 0.5}, "prompt": {"signals": []}}
    with raises_error(ConfigError, "no_signals_to_hide", where="train.hide_signals"):
        build_config(tree)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_run_records_how_many_it_hides(share, tiny_qwen3, prepared, tmp_path):
    def config(share: float):
        signals = json.dumps(SIGNALS)
        changes = {"prompt__signals": signals, "train__hide_signals": share}
        return tiny_config(tiny_qwen3, prepared.path, tmp_path, train__max_steps=2, **changes)

    run = train(config(share))
    record = json.loads((run / "run.json").read_text())
    blocks: Blocks = choose_blocks(prepared, train_rows(config(share)))
    assert record["signals_hidden"] == {"sequences": round(share * len(blocks)), "of": len(blocks)}
    line = f"{round(share * len(blocks))} of {len(blocks)}"
    for name in ("training.log", "README.md"):
        assert (line in (run / name).read_text()) == bool(share)
    with raises_error(RunError, "run_config_changed", figures=["train.hide_signals"]):
        train(config(0.25), resume=True)
