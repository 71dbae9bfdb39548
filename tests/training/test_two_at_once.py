"""A run folder has one training at a time, and none while it is read."""

from __future__ import annotations

import time
from typing import Any

import pytest

from reeltune.errors import RunError
from reeltune.locks import exclusive, shared
from reeltune.models.loaded_model import load_model
from reeltune.runs.folder import ADAPTER_CONFIG, RUN_FILE
from reeltune.training.train import train
from tests.errors import raises_error
from tests.locked import elsewhere, is_locked_by
from tests.runs import tiny_config, tiny_overrides
from tests.training.test_resume import start

FLAGS: list[dict[str, Any]] = [{}, {"resume": True}, {"overwrite": True}]
MANY = {"train__max_steps": 5000, "train__save_total_limit": 2}


@pytest.mark.slow
def test_a_live_run_is_left_alone_until_it_is_killed(tiny_qwen3, prepared, tmp_path):
    run = tmp_path / "run"
    process = start(tiny_overrides(tiny_qwen3, prepared.path, tmp_path, **MANY))
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path, **MANY)
    lock = tmp_path / ".run.lock"
    try:
        while not is_locked_by(lock, process.pid):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.01)
        for flags in FLAGS:
            holder = f"process {process.pid} "
            with raises_error(RunError, "folder_in_use", where=str(run), figures=[holder]):
                train(config, **flags)
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    assert lock.exists()
    with exclusive(run):
        pass
    assert not lock.exists()


@pytest.mark.slow
@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("lock", [exclusive, shared])
def test_a_run_that_is_in_use_is_not_touched(tiny_qwen3, prepared, tmp_path, lock, flags):
    run = tmp_path / "run"
    run.mkdir()
    for name in (RUN_FILE, ADAPTER_CONFIG):
        (run / name).write_text('{"status": "finished"}')
    config = tiny_config(tiny_qwen3, prepared.path, tmp_path)
    with elsewhere(lock, run):
        with raises_error(RunError, "folder_in_use", where=str(run)):
            train(config, **flags)
        if lock is exclusive:
            with raises_error(RunError, "folder_in_use", where=str(run)):
                load_model(config, run)
    assert {path.read_text() for path in run.iterdir()} == {'{"status": "finished"}'}
