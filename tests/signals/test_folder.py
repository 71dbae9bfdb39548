"""Signals of all events are computed once, and again when anything they depend on has changed."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reeltune.data.folder import CacheKey, PreparedFolder
from reeltune.domain import GP_HYPERPARAMETERS, SignalKind
from reeltune.errors import DataError
from reeltune.signals.folder import SIGNALS_FILE, SignalCache, with_signals
from reeltune.signals.source import SignalSource
from tests.errors import raises_error
from tests.prepared_data import set_process

KEY = CacheKey({"prepared data": {"a": "1"}, "signals": ["recent"]})
CODES = np.array([[1, 20], [3, 0]], dtype=np.int16)


def context_of(folder: PreparedFolder, cache: Path, *kinds: SignalKind) -> np.ndarray:
    codes = with_signals(folder, kinds, cache).timelines.context
    assert codes is not None
    return codes


def test_cached_codes_come_back_equal(tmp_path: Path):
    cache = SignalCache(tmp_path / "cache" / SIGNALS_FILE, KEY)
    assert cache.look_up()[0] is None
    cache.store(CODES)
    codes, _ = cache.look_up()
    assert codes is not None
    assert codes.dtype == CODES.dtype
    assert np.array_equal(codes, CODES)


@pytest.mark.parametrize("part", list(KEY.parts))
def test_another_key_is_a_miss_that_names_what_changed(tmp_path: Path, part: str):
    path = tmp_path / SIGNALS_FILE
    SignalCache(path, KEY).store(CODES)
    codes, reason = SignalCache(path, CacheKey({**KEY.parts, part: "another"})).look_up()
    assert codes is None
    assert reason.endswith(f": {part}")


def test_damage_of_a_byte_is_a_miss_or_changes_nothing(tmp_path: Path):
    cache = SignalCache(tmp_path / SIGNALS_FILE, KEY)
    cache.store(CODES)
    content = cache.path.read_bytes()
    indices = range(0, len(content), 3)
    misses = 0
    for index in indices:
        damaged = bytearray(content)
        damaged[index] ^= 0xFF
        cache.path.write_bytes(damaged)
        codes, reason = cache.look_up()
        misses += codes is None
        assert codes is None or np.array_equal(codes, CODES), index
        assert "\n" not in reason
    assert misses > len(indices) / 2


def test_a_folder_in_place_of_the_cache_or_a_foreign_key_is_a_miss(tmp_path: Path, caplog):
    cache = SignalCache(tmp_path / SIGNALS_FILE, KEY)
    np.savez(cache.path, codes=CODES, key=np.array("[]"))
    assert cache.look_up()[0] is None
    cache.path.unlink()
    cache.path.mkdir()
    assert np.array_equal(cache.codes(lambda: CODES), CODES)
    assert [r.levelname for r in caplog.records if r.levelno > logging.INFO] == ["WARNING"]


@pytest.mark.parametrize("size", [0, 10, 200])
def test_a_truncated_file_is_a_miss(tmp_path: Path, size: int):
    cache = SignalCache(tmp_path / SIGNALS_FILE, KEY)
    cache.store(CODES)
    cache.path.write_bytes(cache.path.read_bytes()[:size])
    assert cache.look_up()[0] is None
    assert np.array_equal(cache.codes(lambda: CODES + 1), CODES + 1)
    codes, _ = cache.look_up()
    assert np.array_equal(codes, CODES + 1)  # type: ignore[arg-type]


def test_a_second_folder_makes_nothing_anew(
    prepared: PreparedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = context_of(prepared, tmp_path, "recent", "expected")
    assert (tmp_path / SIGNALS_FILE).is_file()
    monkeypatch.delattr(SignalSource, "_codes")
    assert np.array_equal(context_of(prepared, tmp_path, "recent", "expected"), made)


def test_other_signals_replace_the_cached_ones(prepared: PreparedFolder, tmp_path: Path):
    both = context_of(prepared, tmp_path, "item", "user")
    assert np.array_equal(context_of(prepared, tmp_path, "user")[:, 0], both[:, 1])
    assert np.array_equal(context_of(prepared, tmp_path, "item")[:, 0], both[:, 0])


def test_other_ratings_are_computed_again(prepared: PreparedFolder, tmp_path: Path):
    folder = with_signals(prepared, ("recent",), tmp_path)
    before = folder.timelines.context
    with np.load(tmp_path / SIGNALS_FILE) as kept:
        key, codes = json.loads(str(kept["key"])), kept["codes"]
    assert np.array_equal(codes, before)
    key["prepared data"] = dict.fromkeys(key["prepared data"], "0")
    SignalCache(tmp_path / SIGNALS_FILE, CacheKey(key)).store(codes + 1)
    assert np.array_equal(context_of(prepared, tmp_path, "recent"), codes)


def test_examples_and_ratings_need_no_signals(
    prepared: PreparedFolder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delattr(SignalSource, "_codes")
    folder = with_signals(prepared, ("expected",))
    assert len(folder.examples("test")) == len(prepared.examples("test"))
    assert folder.ratings.context is None
    assert with_signals(prepared, ()) is prepared


def test_signals_that_cannot_be_cached_are_used_all_the_same(
    prepared: PreparedFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    taken = tmp_path / "cache"
    taken.write_text("a file where the folder of the cache would be")
    caplog.set_level("WARNING")
    codes = context_of(prepared, taken, "recent")
    assert np.array_equal(codes, context_of(prepared, tmp_path / "free", "recent"))
    (record,) = caplog.records
    assert str(taken) in record.getMessage()


def test_other_hyperparameters_are_computed_again(prepared: PreparedFolder, tmp_path: Path):
    path, cache = tmp_path / "data", tmp_path / "cache"
    shutil.copytree(prepared.path, path)
    shipped = context_of(PreparedFolder.open(path), cache, "recent", "expected")
    set_process(path, replace(GP_HYPERPARAMETERS, noise=9.0))
    fitted = context_of(PreparedFolder.open(path), cache, "recent", "expected")
    assert np.array_equal(fitted[:, 0], shipped[:, 0])
    assert not np.array_equal(fitted[:, 1], shipped[:, 1])
    # Those of an adapter override the data's.
    folder = with_signals(PreparedFolder.open(path), ("expected",), cache, GP_HYPERPARAMETERS)
    assert np.array_equal(folder.timelines.context, shipped[:, 1:])  # type: ignore[arg-type]


def test_only_expected_depends_on_hyperparameters(
    prepared: PreparedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "data"
    shutil.copytree(prepared.path, path)
    made = context_of(PreparedFolder.open(path), tmp_path, "recent")
    set_process(path, replace(GP_HYPERPARAMETERS, noise=9.0))
    monkeypatch.delattr(SignalSource, "_codes")
    assert np.array_equal(context_of(PreparedFolder.open(path), tmp_path, "recent"), made)


@pytest.mark.parametrize("value", [0, -1.0, "much", True, None])
def test_hyperparameters_that_are_none_are_refused(
    prepared: PreparedFolder, tmp_path: Path, value: object
):
    shutil.copytree(prepared.path, tmp_path / "data")
    set_process(tmp_path / "data", replace(GP_HYPERPARAMETERS, noise=value))  # type: ignore
    with raises_error(DataError, "bad_prepared_meta", figures=["signals"]):
        PreparedFolder.open(tmp_path / "data")


def test_a_wider_scale_is_computed_again(prepared: PreparedFolder, tmp_path: Path):
    def of_scale(highest: float) -> PreparedFolder:
        prompt = {**prepared.meta["prompt"], "scale_max": highest}
        return PreparedFolder(prepared.path, {**prepared.meta, "prompt": prompt})

    first = context_of(of_scale(10.0), tmp_path / "cache", "expected")
    second = context_of(of_scale(20.0), tmp_path / "cache", "expected")
    assert np.array_equal(second, context_of(of_scale(20.0), tmp_path / "other", "expected"))
    assert not np.array_equal(first, second)
