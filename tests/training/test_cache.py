"""The tokenized cache: used when everything it depends on is equal, and never otherwise."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from unittest.mock import Mock

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
from reeltune.training.cache import CACHE_KEY, key_of_rows, look_up, rows_of, store
from tests.errors import raises_error
from tests.helpers import write_prepared

SELECTION = Selection(TRAIN, None, 0, True, 4, answered=True)


@pytest.fixture
def tokenizer(tiny_qwen3):
    return AutoTokenizer.from_pretrained(tiny_qwen3)


def key_of(folder, tokenizer, selection=SELECTION, **changes):
    settings = replace(folder.prompt_settings, **changes)
    return key_of_rows(folder, settings, tokenizer, selection)


def tokenized(folder, tokenizer, selection=SELECTION, **changes):
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
    rows = tokenized(prepared, tokenizer, selection, form=form)
    key = key_of(prepared, tokenizer, selection, form=form)
    assert look_up(tmp_path / "cache", key)[0] is None
    store(tmp_path / "cache", key, rows)
    found, _ = look_up(tmp_path / "cache", key)
    assert found is not None
    assert_equal(found, rows)


def test_the_folder_is_an_arrow_dataset_with_its_descriptions(prepared, tokenizer, tmp_path):
    store(tmp_path / "cache", key_of(prepared, tokenizer), tokenized(prepared, tokenizer))
    names = {path.name for path in (tmp_path / "cache").iterdir()}
    assert {"dataset_info.json", "state.json", "cache_key.json"} <= names
    assert any(name.endswith(".arrow") for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_nothing_there_is_a_miss(prepared, tokenizer, tmp_path):
    found = look_up(tmp_path / "cache", key_of(prepared, tokenizer))
    assert found == (None, "")


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
    store(tmp_path / "cache", key_of(prepared, tokenizer), tokenized(prepared, tokenizer))
    found = look_up(tmp_path / "cache", key_of(prepared, tokenizer, **change))
    assert found == (None, f"changed since: {part}")


def test_other_data_are_a_miss_though_the_path_is_the_same(tokenizer, tmp_path):
    path = tmp_path / "prepared"
    first = PreparedFolder.open(write_prepared(path, seed=0))
    store(tmp_path / "cache", key_of(first, tokenizer), tokenized(first, tokenizer))
    second = PreparedFolder.open(write_prepared(path, seed=1))
    found = look_up(tmp_path / "cache", key_of(second, tokenizer))
    assert found == (None, "changed since: prepared data")


def test_another_tokenizer_or_template_is_a_miss(prepared, tokenizer, tiny_llama, tmp_path):
    store(tmp_path / "cache", key_of(prepared, tokenizer), tokenized(prepared, tokenizer))
    other = AutoTokenizer.from_pretrained(tiny_llama)
    assert look_up(tmp_path / "cache", key_of(prepared, other))[1].endswith("tokenizer")
    tokenizer.chat_template += " "
    assert look_up(tmp_path / "cache", key_of(prepared, tokenizer))[1].endswith("tokenizer")


def test_a_failed_write_leaves_the_old_cache(prepared, tokenizer, tmp_path, monkeypatch):
    key = key_of(prepared, tokenizer)
    store(tmp_path / "cache", key, tokenized(prepared, tokenizer))

    def fail(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("reeltune.training.cache.write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        store(
            tmp_path / "cache",
            key_of(prepared, tokenizer, genres=True),
            tokenized(prepared, tokenizer),
        )
    assert look_up(tmp_path / "cache", key)[0] is not None
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_other_files_in_the_folder_are_not_replaced(prepared, tokenizer, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    rows, key = tokenized(prepared, tokenizer), key_of(prepared, tokenizer)
    with raises_error(RunError, "other_files_in_cache", where=str(tmp_path), figures=["thesis"]):
        store(tmp_path, key, rows)
    assert rows_of(tmp_path, key, lambda: rows, "train") is rows
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_another_date_in_the_frame_is_a_miss(prepared, tokenizer, tmp_path, monkeypatch):
    tokenizer.chat_template = "{{ strftime_now('%Y-%m-%d') }}" + tokenizer.chat_template
    store(tmp_path / "cache", key_of(prepared, tokenizer), tokenized(prepared, tokenizer))
    key = key_of(prepared, tokenizer)
    assert look_up(tmp_path / "cache", key)[0] is not None
    monkeypatch.setattr(
        "reeltune.training.cache.chat_frame",
        lambda tokenizer, form: chat_frame(tokenizer, form, date(2030, 1, 2)),
    )
    found = look_up(tmp_path / "cache", key_of(prepared, tokenizer))
    assert found == (None, "changed since: prompt")


def edit_key(file: Path, **entries: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))


def put_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def fill_middle(file: Path) -> None:
    content = file.read_bytes()
    half = len(content) // 2
    file.write_bytes(content[:half] + bytes(16) + content[half + 16 :])


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda file: os.truncate(file, file.stat().st_size // 2),
    "emptied": lambda file: os.truncate(file, 0),
    "zero-filled": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "zeros within": fill_middle,
    "longer": lambda file: file.write_bytes(file.read_bytes() + b" "),
    "missing": Path.unlink,
    "a folder": put_folder,
    "nested": lambda file: file.write_text("[" * 100_000),
    "a list": lambda file: file.write_text("[]"),
}


@pytest.fixture
def filled(prepared, tokenizer, tmp_path):
    """Return the folder of a cache, its key and its rows."""
    key, rows = key_of(prepared, tokenizer), tokenized(prepared, tokenizer)
    store(tmp_path / "cache", key, rows)
    return tmp_path / "cache", key, rows


def assert_made_anew(path, key, rows, caplog):
    """Assert that a look-up is a miss in one line, and that the next one is a hit."""
    caplog.set_level("INFO", logger="reeltune")
    tokenize = Mock(return_value=rows)
    for expected in ("miss", "hit"):
        caplog.clear()
        assert_equal(rows_of(path, key, tokenize, "train"), rows)
        assert tokenize.call_count == 1
        (record,) = caplog.records
        assert record.args is not None
        assert expected in record.args
        assert "\n" not in record.getMessage()
    assert [child.name for child in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_of_any_file_is_a_miss_in_one_line(filled, caplog, damage):
    path, key, rows = filled
    for name in sorted(file.name for file in path.iterdir()):
        if (name, damage) != (CACHE_KEY, "longer"):  # a space after a JSON object changes nothing
            DAMAGE[damage](path / name)
            assert_made_anew(path, key, rows, caplog)


def test_files_of_another_cache_are_a_miss(filled, prepared, tokenizer, tmp_path, caplog):
    path, key, rows = filled
    other = replace(SELECTION, limit=9)
    wrong = tokenized(prepared, tokenizer, other)
    assert len(wrong) < len(rows)
    store(tmp_path / "x", key_of(prepared, tokenizer, other), wrong)
    names = sorted(file.name for file in path.iterdir())
    for name in names:
        kept = (path / name).read_bytes()
        shutil.copy(tmp_path / "x" / name, path / name)
        if (path / name).read_bytes() != kept:
            assert look_up(path, key)[0] is None
            (path / name).write_bytes(kept)
    assert look_up(path, key)[0] is not None
    # All of it, with its key file edited into the wanted key.
    for name in names:
        shutil.copy(tmp_path / "x" / name, path / name)
    edit_key(path / CACHE_KEY, **key.parts)
    assert key.changed_from(json.loads((path / CACHE_KEY).read_text())) == ["sha256"]
    shutil.rmtree(tmp_path / "x")
    assert_made_anew(path, key, rows, caplog)


@pytest.mark.parametrize("entries", [{"sha256": "0" * 64}, {"sha256": None}, {"cache format": 3}])
def test_an_edited_key_file_is_a_miss(filled, caplog, entries):
    path, key, rows = filled
    edit_key(path / CACHE_KEY, **entries)
    assert_made_anew(path, key, rows, caplog)


def test_an_empty_folder_in_place_of_the_cache_is_filled(filled, caplog):
    path, key, rows = filled
    shutil.rmtree(path)
    path.mkdir()
    assert_made_anew(path, key, rows, caplog)


def test_a_cache_that_cannot_be_written_is_still_read(filled, monkeypatch, caplog):
    path, key, rows = filled

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("reeltune.training.cache.atomic_folder", refuse)
    monkeypatch.setattr("reeltune.locks._try_lock", lambda lock: -1)
    assert_equal(rows_of(path, key, lambda: pytest.fail("was cached"), "train"), rows)
    (path / CACHE_KEY).unlink()
    assert_equal(rows_of(path, key, lambda: rows, "train"), rows)
    assert [r.levelname for r in caplog.records if r.levelno > logging.INFO] == ["WARNING"]


def test_rows_replaced_at_once_are_not_taken_for_those_stored(filled, monkeypatch):
    """Without locks, another process may store other rows just after this one."""
    path, key, rows = filled
    monkeypatch.setattr("reeltune.training.cache.look_up", lambda path, key: (None, "changed"))
    assert rows_of(path, key, lambda: rows, "train") is rows
