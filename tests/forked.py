"""Stands in for ``subprocess``: ``python -m reeltune``, forked from a process with all imported.

A new interpreter imports torch, transformers and PEFT for six seconds. A forked one begins at once,
and is as much a process of its own: it can be killed, holds locks and has its own output. Tests of
what an interpreter imports, and of launchers, start real ones.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import PIPE, STDOUT, CalledProcessError, TimeoutExpired
from typing import Any

from tqdm import tqdm

from reeltune.cli import main

__all__ = ["PIPE", "STDOUT", "Popen", "run", "several"]

_COMMAND = [sys.executable, "-m", "reeltune"]


class _Forked:
    """What benchmarks and tests use of ``subprocess.Popen``; ``before`` is called in the child."""

    def __init__(
        self,
        args: Sequence[str],
        *,
        stdout: int | None = None,
        stderr: int | None = None,
        env: Mapping[str, str] | None = None,
        text: bool = True,
        creationflags: int = 0,
        before: Callable[[], object] = int,
    ) -> None:
        assert list(args[:3]) == _COMMAND and text and not creationflags
        context: Any = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.forked_imports"])
        with contextlib.chdir(Path(__file__).parents[1]):  # its path holds the working directory
            forkserver.ensure_running()
        reader, writer = context.Pipe(duplex=False)
        out = writer if stdout == PIPE else Connection(os.dup(1 if stdout is None else stdout))
        err = out if stderr == STDOUT else Connection(os.dup(2))
        environ = dict(os.environ if env is None else env)
        self._process = context.Process(target=_main, args=(args[3:], out, err, environ, before))
        self._process.start()
        self.pid: int = self._process.pid
        self.stdout: Any = None
        if stdout == PIPE:
            self.stdout = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        for end in {reader, writer, out, err}:
            end.close()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise TimeoutExpired(_COMMAND, timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        watch = threading.Timer(timeout or threading.TIMEOUT_MAX, self.kill)
        watch.start()
        with self.stdout:
            shown = self.stdout.read()
        watch.cancel()
        self.wait(timeout)
        return shown, None

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self._process.kill()

    def __enter__(self) -> _Forked:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.wait()


def _main(
    args: Sequence[str],
    out: Connection,
    err: Connection,
    environ: dict[str, str],
    before: Callable[[], object],
) -> None:
    """Call the command line as the target of a process."""
    os.environ.clear()
    os.environ.update(environ)
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    sys.stdout, sys.stderr = (os.fdopen(fd, "w", encoding="utf-8", closefd=False) for fd in (1, 2))
    sys.argv = ["reeltune", *args]
    # The lock tqdm would make by itself outlives a process that is killed.
    tqdm.set_lock(threading.RLock())
    before()
    main(args)


Popen: Any = subprocess.Popen if sys.platform == "win32" else _Forked


def run(args: Sequence[str], *, check: bool) -> None:
    """Run a command, whose output is this process's."""
    code = Popen(args).wait()
    if check and code:
        raise CalledProcessError(code, args)


def several(
    count: int,
    args: Sequence[str],
    more: Mapping[str, str] | None = None,
    before: Callable[[], object] = int,
) -> list[Any]:
    """Start a command in several processes that find each other, as a launcher does.

    ``more`` are further variables of their environment, and ``before`` is called in each.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
    group |= more or {}
    change = {"before": before} if before is not int else {}
    return [Popen(args, env={**os.environ, **group, **rank}, **change) for rank in ranks]
