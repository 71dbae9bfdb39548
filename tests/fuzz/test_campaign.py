"""The campaign itself: outcomes are distinguished, inputs repeat, a few of each kind are clean."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from random import Random

import pytest

from reeltune.errors import DataError
from tests.fuzz.campaign import Case, CleanError, Kind, Limits, Outcome, Supervisor, attempt
from tests.fuzz.kinds import KINDS
from tests.fuzz.workplace import Workplace


def _raise(error: BaseException) -> str | None:
    raise error


WAYS = {
    "right": lambda _: None,
    "wrong": lambda _: "other ratings",
    "clean": lambda _: _raise(DataError("is empty", code="empty_file")),
    "response": lambda _: _raise(CleanError("422")),
    "endless": lambda _: _raise(DataError("x" * 5000, code="empty_file")),
    "type": lambda _: _raise(TypeError("x")),
    "file": lambda _: _raise(OSError(2, "no such file", "x.csv")),
    "no file": lambda _: _raise(OSError("thrift")),
    "exit": lambda _: _raise(SystemExit(1)),
}


class Scripted(Kind):
    """Behaves in the way its name says."""

    def __init__(self, way: str) -> None:
        self.name = way  # pyright: ignore[reportAttributeAccessIssue]

    def make(self, random: Random, folder: Path) -> Case:
        return Case(f"{random.random()}", WAYS[self.name], neutral=True)


@pytest.mark.parametrize(
    ("way", "outcome"),
    [
        ("right", Outcome.RIGHT),
        ("wrong", Outcome.WRONG),
        ("clean", Outcome.CLEAN_ERROR),
        ("response", Outcome.CLEAN_ERROR),
        ("endless", Outcome.TRACEBACK),
        ("type", Outcome.TRACEBACK),
        ("file", Outcome.CLEAN_ERROR),
        ("no file", Outcome.TRACEBACK),
        ("exit", Outcome.TRACEBACK),
    ],
)
def test_outcomes(way: str, outcome: Outcome, tmp_path: Path):
    result = attempt(Scripted(way), 0, 1, tmp_path / "input")
    assert result.outcome == outcome
    assert result.failed == (outcome in (Outcome.TRACEBACK, Outcome.WRONG))
    assert result.false_error == (outcome == Outcome.CLEAN_ERROR)
    assert attempt(Scripted(way), 0, 1, tmp_path / "input") == result
    assert attempt(Scripted(way), 0, 2, tmp_path / "input").damage != result.damage


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace.build(tmp_path_factory.mktemp("fuzz") / "workplace")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")
@pytest.mark.parametrize("name", KINDS)
def test_a_few_inputs_of_each_kind(name: str, workplace: Workplace, tmp_path: Path):
    kind = KINDS[name](workplace)
    results = [attempt(kind, 0, index, tmp_path / "input") for index in (1, 4, 5, 8)]
    kind.close()
    assert [str(result) for result in results if result.failed] == []
    assert {result.outcome for result in results} & {Outcome.CLEAN_ERROR, Outcome.RIGHT}


@pytest.mark.parametrize(
    ("limits", "fault"), [(Limits(seconds=0), "within"), (Limits(megabytes=-1), "memory")]
)
def test_a_worker_is_stopped_at_its_limits(limits: Limits, fault: str, tmp_path: Path):
    receiver, sender = multiprocessing.Pipe(duplex=False)
    supervisor, worker = Supervisor(tmp_path, 0, limits), multiprocessing.current_process()
    assert fault in str(supervisor._wait(worker, receiver))
    sender.send("an outcome")
    assert supervisor._wait(worker, receiver) is None
