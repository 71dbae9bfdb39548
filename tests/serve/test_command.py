"""``reeltune serve`` as a process: it prints its address and ends on a signal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from reeltune.cli import main
from reeltune.config import config_tree, load_config
from reeltune.errors import ConfigError
from tests import forked
from tests.errors import error_code
from tests.helpers import write_prepared
from tests.runs import tiny_overrides

ITEMS = 1500
STOP = signal.SIGTERM if sys.platform != "win32" else signal.CTRL_BREAK_EVENT
NEW_GROUP = 0 if sys.platform != "win32" else subprocess.CREATE_NEW_PROCESS_GROUP


class Command(NamedTuple):
    """The command, running."""

    process: Any
    address: str


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_qwen3: Path) -> Path:
    """A configuration with many items, whose batches hold hardly more than one history."""
    work = tmp_path_factory.mktemp("served")
    prepared = write_prepared(work / "prepared", users=2, items=ITEMS)
    overrides = tiny_overrides(tiny_qwen3, prepared, work, serving__target_batch_seconds=1e-9)
    file = work / "config.yaml"
    file.write_text(json.dumps(config_tree(load_config(None, overrides))), encoding="utf-8")
    return file


@pytest.fixture
def command(config: Path) -> Iterator[Command]:
    """The command, serving a base model."""
    options = ["--config", str(config), "--base-only", "--port", "0", "--history", "3"]
    process = forked.Popen(
        [sys.executable, "-m", "reeltune", "serve", *options],
        stdout=forked.PIPE,
        text=True,
        creationflags=NEW_GROUP,
    )
    with process:
        for line in process.stdout:
            if line.startswith("serving at "):
                yield Command(process, line.split()[2])
                break
        process.kill()


@pytest.mark.slow
def test_accepted_requests_are_finished_after_a_signal(command: Command):
    with (
        httpx.Client(base_url=command.address, timeout=60) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        health = client.get("/health").json()
        assert (health["tuned"], health["items"], health["history_len"]) == (False, ITEMS, 3)
        body = {"history": [], "candidates": ITEMS, "top_k": 3}
        accepted = pool.submit(
            httpx.post, f"{command.address}/recommendations", json=body, timeout=60
        )
        while "reeltune_batch_seconds_count 0.0" in client.get("/metrics").text:
            time.sleep(0.01)
        command.process.send_signal(STOP)
        answer = accepted.result()
        assert answer.status_code == 200
        assert answer.json()["scored"] == ITEMS
        assert command.process.wait(300) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{command.address}/health")


def test_other_hosts_need_a_token(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("REELTUNE_TOKEN", raising=False)
    with pytest.raises(SystemExit) as left:
        main(["serve", "--config", str(config), "--base-only", "--host", "0.0.0.0"])
    assert left.value.code == ConfigError.exit_code
    assert error_code(capsys.readouterr().err) == "token_required"
