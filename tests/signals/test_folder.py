"""Signals on all events of prepared data: kept once made, and made anew when anything changed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from reeltune.data.cache_key import CacheKey
from reeltune.data.folder import PreparedFolder
from reeltune.domain import SignalKind
from reeltune.signals.cache import look_up, store
from reeltune.signals.folder import SIGNALS_FILE, FolderWithSignals, with_signals
from reeltune.signals.source import SignalSource

KEY = CacheKey({"prepared data": {"a": "1"}, "signals": ["recent"]})
CODES = np.array([[1, 20], [3, 0]], dtype=np.int16)


def signals_of(folder: PreparedFolder, cache: Path, *kinds: SignalKind) -> np.ndarray:
    codes = with_signals(folder, kinds, cache).timelines.signals
    assert codes is not None
    return codes


def test_what_is_kept_comes_back_equal(tmp_path: Path):
    path = tmp_path / "cache" / "signals.npz"
    assert look_up(path, KEY).codes is None
    assert look_up(path, KEY).reason == "nothing cached yet"
    store(path, KEY, CODES)
    found = look_up(path, KEY).codes
    assert found is not None
    assert found.dtype == CODES.dtype
    assert np.array_equal(found, CODES)


@pytest.mark.parametrize("part", list(KEY.parts))
def test_another_key_is_a_miss_that_says_what_changed(tmp_path: Path, part: str):
    path = tmp_path / "signals.npz"
    store(path, KEY, CODES)
    found = look_up(path, CacheKey({**KEY.parts, part: "another"}))
    assert found.codes is None
    assert found.reason == f"changed since: {part}"


@pytest.mark.parametrize("kept", [0, 10, 200])
def test_a_file_cut_off_is_a_miss(tmp_path: Path, kept: int):
    path = tmp_path / "signals.npz"
    store(path, KEY, CODES)
    path.write_bytes(path.read_bytes()[:kept])
    found = look_up(path, KEY)
    assert found.codes is None
    assert "cannot be read" in found.reason


def test_a_second_folder_makes_nothing_anew(
    prepared: PreparedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = signals_of(prepared, tmp_path, "recent", "expected")
    assert (tmp_path / SIGNALS_FILE).is_file()
    monkeypatch.delattr(SignalSource, "of_events")
    assert np.array_equal(signals_of(prepared, tmp_path, "recent", "expected"), made)


def test_other_evidence_takes_the_place_of_what_was_kept(prepared: PreparedFolder, tmp_path: Path):
    both = signals_of(prepared, tmp_path, "film", "user")
    assert np.array_equal(signals_of(prepared, tmp_path, "user")[:, 0], both[:, 1])
    assert np.array_equal(signals_of(prepared, tmp_path, "film")[:, 0], both[:, 0])


def test_other_ratings_are_told_anew(prepared: PreparedFolder, tmp_path: Path):
    folder = with_signals(prepared, ("recent",), tmp_path)
    assert isinstance(folder, FolderWithSignals)
    before = folder.timelines.signals
    with np.load(tmp_path / SIGNALS_FILE) as kept:
        key, codes = json.loads(str(kept["key"])), kept["codes"]
    assert np.array_equal(codes, before)
    key["prepared data"] = dict.fromkeys(key["prepared data"], "0")
    store(tmp_path / SIGNALS_FILE, CacheKey(key), codes + 1)
    assert np.array_equal(signals_of(prepared, tmp_path, "recent"), codes)


def test_examples_and_ratings_need_no_evidence(
    prepared: PreparedFolder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delattr(SignalSource, "of_events")
    folder = with_signals(prepared, ("expected",))
    assert len(folder.examples("test")) == len(prepared.examples("test"))
    assert folder.ratings.signals is None
    assert with_signals(prepared, ()) is prepared


def test_evidence_that_cannot_be_kept_is_told_all_the_same(
    prepared: PreparedFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    taken = tmp_path / "cache"
    taken.write_text("a file where the folder of the cache would be")
    caplog.set_level("WARNING")
    told = signals_of(prepared, taken, "recent")
    assert np.array_equal(told, signals_of(prepared, tmp_path / "free", "recent"))
    assert "signals: not kept in" in caplog.text
