"""The tokenized cache: used when everything it depends on is equal, and never otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from transformers import AutoTokenizer

from reeltune.data.columns import TRAIN
from reeltune.data.folder import PreparedFolder
from reeltune.domain import Renderer
from reeltune.errors import RunError
from reeltune.prompts.chat import chat_frame
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import Selection, choose_blocks, tokenize
from reeltune.training.cache import key_of_rows, look_up, store
from tests.errors import raises_error
from tests.helpers import write_prepared

SELECTION = Selection(TRAIN, None, 0, True, 4, answered=True)


@pytest.fixture
def tokenizer(tiny_qwen3):
    return AutoTokenizer.from_pretrained(tiny_qwen3)


def key_of(folder, tokenizer, selection=SELECTION, **changes):
    settings = replace(folder.prompt_settings, **changes)
    return key_of_rows(folder, settings, tokenizer, selection)


def rows_of(folder, tokenizer, selection=SELECTION, **changes):
    renderer = Renderer(replace(folder.prompt_settings, **changes))
    tokens = PromptTokens(tokenizer, renderer, folder.items)
    return tokenize(folder, tokens, choose_blocks(folder, selection), selection)


def assert_equal(found, expected):
    for name in ("liked", "user_id", "item_id"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    one, other = found.sequences, expected.sequences
    assert one.answered == other.answered
    for name in ("trunk", "row", "answer_position", "branch", "leave"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.ids.values, other.ids.values)
    np.testing.assert_array_equal(one.ids.offsets, other.ids.offsets)


@pytest.mark.parametrize("form", ["window", "interview"])
@pytest.mark.parametrize("selection", [SELECTION, replace(SELECTION, answered=False, limit=9)])
def test_stored_rows_are_read_back_equal(form, selection, prepared, tokenizer, tmp_path):
    rows = rows_of(prepared, tokenizer, selection, form=form)
    key = key_of(prepared, tokenizer, selection, form=form)
    assert look_up(tmp_path / "cache", key)[0] is None
    assert_equal(store(tmp_path / "cache", key, rows), rows)
    found, _ = look_up(tmp_path / "cache", key)
    assert found is not None
    assert_equal(found, rows)


def test_the_folder_is_an_arrow_dataset_with_its_descriptions(prepared, tokenizer, tmp_path):
    store(tmp_path / "cache", key_of(prepared, tokenizer), rows_of(prepared, tokenizer))
    names = {path.name for path in (tmp_path / "cache").iterdir()}
    assert {"dataset_info.json", "state.json", "cache_key.json"} <= names
    assert any(name.endswith(".arrow") for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_nothing_there_is_a_miss(prepared, tokenizer, tmp_path):
    found = look_up(tmp_path / "cache", key_of(prepared, tokenizer))
    assert found == (None, "nothing cached yet")


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("prompt", {"genres": True}),
        ("prompt", {"threshold": 3.0}),
        ("prompt", {"version": "next"}),
        ("prompt", {"form": "interview"}),
        ("selection", {"selection": replace(SELECTION, split="test")}),
        ("selection", {"selection": replace(SELECTION, limit=3)}),
        ("selection", {"selection": replace(SELECTION, seed=1)}),
        ("selection", {"selection": replace(SELECTION, share_history=False)}),
        ("selection", {"selection": replace(SELECTION, block_size=5)}),
        ("selection", {"selection": replace(SELECTION, answered=False)}),
    ],
)
def test_a_changed_part_is_a_miss_that_names_it(part, change, prepared, tokenizer, tmp_path):
    store(tmp_path / "cache", key_of(prepared, tokenizer), rows_of(prepared, tokenizer))
    found = look_up(tmp_path / "cache", key_of(prepared, tokenizer, **change))
    assert found == (None, f"changed since: {part}")


def test_other_data_are_a_miss_though_the_path_is_the_same(tokenizer, tmp_path):
    path = tmp_path / "prepared"
    first = PreparedFolder.open(write_prepared(path, seed=0))
    store(tmp_path / "cache", key_of(first, tokenizer), rows_of(first, tokenizer))
    second = PreparedFolder.open(write_prepared(path, seed=1))
    found = look_up(tmp_path / "cache", key_of(second, tokenizer))
    assert found == (None, "changed since: prepared data")


def test_another_tokenizer_or_template_is_a_miss(prepared, tokenizer, tiny_llama, tmp_path):
    store(tmp_path / "cache", key_of(prepared, tokenizer), rows_of(prepared, tokenizer))
    other = AutoTokenizer.from_pretrained(tiny_llama)
    assert look_up(tmp_path / "cache", key_of(prepared, other))[1].endswith("tokenizer")
    tokenizer.chat_template += " "
    assert look_up(tmp_path / "cache", key_of(prepared, tokenizer))[1].endswith("tokenizer")


def test_a_failed_write_leaves_the_old_cache(prepared, tokenizer, tmp_path, monkeypatch):
    key = key_of(prepared, tokenizer)
    store(tmp_path / "cache", key, rows_of(prepared, tokenizer))

    def fail(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("reeltune.training.cache.write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        store(
            tmp_path / "cache",
            key_of(prepared, tokenizer, genres=True),
            rows_of(prepared, tokenizer),
        )
    assert look_up(tmp_path / "cache", key)[0] is not None
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_other_files_in_the_folder_are_not_replaced(prepared, tokenizer, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with raises_error(RunError, "other_files_in_cache", where=str(tmp_path), figures=["thesis"]):
        look_up(tmp_path, key_of(prepared, tokenizer))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_another_date_in_the_frame_is_a_miss(prepared, tokenizer, tmp_path, monkeypatch):
    tokenizer.chat_template = "{{ strftime_now('%Y-%m-%d') }}" + tokenizer.chat_template
    store(tmp_path / "cache", key_of(prepared, tokenizer), rows_of(prepared, tokenizer))
    key = key_of(prepared, tokenizer)
    assert look_up(tmp_path / "cache", key)[0] is not None
    monkeypatch.setattr(
        "reeltune.training.cache.chat_frame",
        lambda tokenizer, form: chat_frame(tokenizer, form, date(2030, 1, 2)),
    )
    found = look_up(tmp_path / "cache", key_of(prepared, tokenizer))
    assert found == (None, "changed since: prompt")
