"""Commands of benchmarks without the imports of new interpreters."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.launching import Launch
from tests import forked


class _Forked(NamedTuple):
    """Processes that were started as one command."""

    processes: list[Any]

    def wait(self) -> int:
        return max(process.wait() for process in self.processes)


def _start(launch: Launch, *words: str | Path) -> _Forked:
    return _Forked(forked.several(launch.processes, [*Launch(1).command(), *map(str, words)]))


@pytest.fixture
def forked_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork what :class:`Launch` starts; tests of training and bulk use real launchers."""
    monkeypatch.setattr(Launch, "start", _start)
