"""On a Ray cluster, processes and nodes are lost, and every row is there once."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest

from reeltune.bulk.cluster import Cluster, _Actor
from reeltune.bulk.identity import digest
from reeltune.bulk.output import Output
from reeltune.errors import RunError
from reeltune.files import is_temporary
from reeltune.progress import no_progress
from reeltune.telemetry import switch_off_telemetry
from tests import forked
from tests.bulk.build import Row, output_rows, parts, write_rows
from tests.bulk.command import arguments, call
from tests.errors import error_code, raises_error

ROWS = [Row(10 * (n % 8) + 1, 3 * (7 * n % 40) + 1) for n in range(240)]
_DEADLINE_S = 400


def test_an_actor_writes_shards_of_the_same_identity_only(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # so that the folder of before comes back
    table = write_rows(tmp_path / "in.parquet", ROWS[:10])
    job = bench.job(table, tmp_path / "out")
    plan = bench.plan(table, tmp_path / "out")
    batch = {"number": np.array([1])}
    with raises_error(RunError, "nodes_differ"):
        _Actor(lambda: job, tmp_path, digest({}))(batch)
    assert parts(tmp_path / "out") == []
    assert _Actor(lambda: job, tmp_path, plan.identity_sha256)(batch) is batch
    assert [path.name for path in parts(tmp_path / "out")] == ["part-00001.parquet"]
    assert bench.plan(table, tmp_path / "out").missing == [0, 2]


def test_a_shard_that_ends_every_process_is_named_and_counted_anew_by_the_next_command(tmp_path):
    output = Output(tmp_path)
    for _ in range(2):
        with output.exclusive():
            for _ in range(4):
                output.count_attempt(7)
            with raises_error(RunError, "shard_crashes", where=str(output.shard_path(7))):
                output.count_attempt(7)
            output.count_attempt(8)
    output.write(7, pa.table({"p_yes": [0.5]}), "", 1)
    output.count_attempt(7)


class Nodes:
    """A cluster of single-processor nodes on this machine, beside one for the command."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as LocalCluster

        self.cluster = LocalCluster()
        self.cluster.add_node(num_cpus=0, include_dashboard=False, object_store_memory=80 << 20)
        self.address = self.cluster.address

    def add(self) -> Any:
        return self.cluster.add_node(num_cpus=1, object_store_memory=80 << 20)

    def kill_an_actor(self) -> None:
        actors = [p for p in psutil.process_iter(["cmdline"]) if "ray::MapWorker" in title(p)]
        assert actors
        actors[0].kill()


def title(process: psutil.Process) -> str:
    return " ".join(process.info["cmdline"] or [])


@pytest.fixture(scope="module")
def nodes():
    pytest.importorskip("ray", reason="Ray is not installed (extra cluster)")
    if os.environ.get("CI"):
        pytest.skip("starts a dozen processes that load torch, for minutes: unset CI to run it")
    if sys.platform == "win32":
        pytest.skip("Ray's test cluster runs on one node only")
    switch_off_telemetry()
    started = Nodes()
    yield started
    started.cluster.shutdown()


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return write_rows(tmp_path_factory.mktemp("ray") / "in.parquet", ROWS)


@pytest.fixture(scope="module")
def expected(table, tiny_qwen3, prepared) -> dict[str, bytes]:
    """The shards of one process."""
    out = table.with_name("one")
    assert call(command(tiny_qwen3, prepared, table, out)) == 0
    return contents(out)


def command(model: Path, prepared: Any, table: Path, out: Path, *more: str) -> list[str]:
    return arguments(model, prepared.path, table, out, "--rows-per-shard", "1", *more)


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in parts(out)}


def wait_for(out: Path, shards: int) -> int:
    """Wait for some shards, and return how many there are."""
    deadline = time.monotonic() + _DEADLINE_S
    while len(parts(out)) < shards:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return len(parts(out))


def assert_all_there(out: Path, expected: dict[str, bytes]) -> None:
    assert contents(out) == expected
    assert len(output_rows(out)) == len(ROWS)
    assert not [path for path in out.iterdir() if is_temporary(path.name)]


@pytest.mark.slow
def test_a_killed_process_and_a_killed_node(nodes, tiny_qwen3, prepared, table, expected):
    out, counts = table.with_name("killed"), []
    nodes.add()
    lost = nodes.add()

    def kill() -> None:
        counts.append(wait_for(out, 1))
        nodes.kill_an_actor()
        counts.append(wait_for(out, counts[0] + 20))
        nodes.cluster.remove_node(lost, allow_graceful=False)
        counts.append(len(parts(out)))

    killer = threading.Thread(target=kill)
    killer.start()
    assert call(command(tiny_qwen3, prepared, table, out, "--ray", nodes.address)) == 0
    killer.join()
    assert len(counts) == 3
    assert counts[-1] < len(ROWS)
    assert_all_there(out, expected)


@pytest.mark.slow
def test_a_killed_command_is_resumed(nodes, tiny_qwen3, prepared, table, expected, capsys):
    out = table.with_name("resumed")
    nodes.add()
    args = command(tiny_qwen3, prepared, table, out, "--ray", nodes.address)
    process = forked.Popen([sys.executable, "-m", "reeltune", *args])
    wait_for(out, 1)
    process.kill()
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in parts(out)}
    assert 0 < len(before) < len(ROWS)
    assert call(args) == 0
    assert f"{len(before)}" in capsys.readouterr().out
    assert before.items() <= {path: path.stat().st_mtime_ns for path in parts(out)}.items()
    assert_all_there(out, expected)
    assert call(args) == 0
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.slow
def test_errors_of_actors_and_of_the_cluster(nodes, tiny_qwen3, prepared, table, tmp_path, capsys):
    import ray

    output = Output(tmp_path)

    def fails() -> Any:
        raise RunError("no", code="broken", where="here", hint="Mend it")

    def dies() -> Any:
        return SimpleNamespace(output=output, identity=lambda: os._exit(1))

    nodes.add()
    ray.init(nodes.address)
    cluster = Cluster({"num_cpus": 1}, 1)
    try:
        for work in (
            lambda: cluster.identity(fails),
            lambda: cluster.score_shards(fails, "", {0: range(2)}, no_progress),
        ):
            with raises_error(RunError, "broken", where="here"):
                work()
        with raises_error(RunError, "shard_crashes", where=str(output.shard_path(7))):
            cluster.score_shards(dies, "", {7: range(2)}, no_progress)
    finally:
        ray.shutdown()
    args = command(tiny_qwen3, prepared, table, table.with_name("x"), "--ray", "127.0.0.1:9")
    assert call(args) == 3
    assert error_code(capsys.readouterr().err) == "no_cluster"
