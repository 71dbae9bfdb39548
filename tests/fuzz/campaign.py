"""Cases, their outcomes, and workers that run them within limits of time and memory."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import shutil
import threading
import time
import traceback
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import psutil

from reeltune.boundary import translated_errors
from reeltune.errors import FileError, ReeltuneError
from tests.fuzz.workplace import Workplace

PRELOADED = ("reeltune.api.recommender", "reeltune.bulk.score", "reeltune.data.prepare")
"""Slow imports, made once in the process that workers are forked from."""

MAX_MESSAGE = 4_000
"""Characters of an error; longer ones are no clear error."""


class Outcome(StrEnum):
    """What became of an input. The last two must not occur."""

    CLEAN_ERROR = "clean error"
    RIGHT = "right answer"
    TRACEBACK = "traceback"
    WRONG = "silently wrong"


class CleanError(Exception):
    """An error response of a service, which carries no exception of its own."""


@dataclass(frozen=True)
class Case:
    """One damaged input.

    Attributes:
        damage: What was changed, in words.
        run: Uses the input; given the list of warnings so far, returns what is silently wrong with
            the answer, or None. Raises what the program raises.
        neutral: Whether the input can be read right, so that an error is a false one.
    """

    damage: str
    run: Callable[[list[str]], str | None]
    neutral: bool = False


class Kind(ABC):
    """A kind of input: makes cases from random numbers, always the same for the same numbers."""

    name: ClassVar[str]

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace

    @abstractmethod
    def make(self, random: Random, folder: Path) -> Case:
        """Write a damaged input into an empty folder."""

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Release what the kind holds."""


@dataclass(frozen=True)
class Result:
    """The outcome of one input, with its damage and what happened."""

    kind: str
    index: int
    outcome: Outcome
    damage: str = ""
    detail: str = ""
    false_error: bool = False

    @property
    def failed(self) -> bool:
        """Whether this must not occur."""
        return self.outcome in (Outcome.TRACEBACK, Outcome.WRONG)

    def __str__(self) -> str:
        return f"{self.kind}:{self.index} {self.outcome}: {self.damage} -> {self.detail}"


@dataclass(frozen=True)
class Limits:
    """What one input may use.

    Attributes:
        seconds: Time; far more than any input needs, since the machine may be busy.
        megabytes: Memory beyond that of the worker before.
    """

    seconds: float = 60.0
    megabytes: int = 1024


def attempt(kind: Kind, seed: int, index: int, folder: Path) -> Result:
    """Make an input in ``folder``, use it, and return the outcome."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    case = kind.make(Random(f"{seed}:{kind.name}:{index}"), folder)

    def result(outcome: Outcome, detail: str) -> Result:
        false_error = case.neutral and outcome == Outcome.CLEAN_ERROR
        return Result(kind.name, index, outcome, case.damage, detail, false_error)

    with warnings_of_reeltune() as warned:
        try:
            wrong = _run(case, warned)
        except CleanError as error:
            return result(Outcome.CLEAN_ERROR, str(error))
        except ReeltuneError as error:
            fault = _fault(error)
            outcome = Outcome.TRACEBACK if fault else Outcome.CLEAN_ERROR
            return result(outcome, f"{fault}error[{error.code}]: {str(error)[:300]!r}")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - polars' panics are no Exception
            frames = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in frames if "/reeltune/" in frame.filename]
            where = "".join(
                f" at {f.filename.rpartition('/reeltune/')[2]}:{f.lineno}" for f in ours
            )
            return result(Outcome.TRACEBACK, f"{type(error).__name__}: {str(error)[:200]!r}{where}")
    return result(Outcome.WRONG, wrong) if wrong else result(Outcome.RIGHT, "")


def _run(case: Case, warned: list[str]) -> str | None:
    """Use an input as commands and the API do; here, where no local variable names a file."""
    with translated_errors():
        return case.run(warned)


def _fault(error: ReeltuneError) -> str:
    """Return why an error is not one clear line (or one line per key), or nothing."""
    text = str(error)
    lines = text.split("\n  - ")  # its items
    if len(text) > MAX_MESSAGE:
        return f"(a message of {len(text)} characters) "
    if not all(line.isprintable() for line in lines):
        return "(line breaks or control characters in the message) "
    if isinstance(error, FileError) and not error.where:
        return "(no file is named) "
    return ""


@contextlib.contextmanager
def warnings_of_reeltune() -> Iterator[list[str]]:
    """Collect the warnings that are logged or issued inside the block."""
    collected: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            collected.append(record.getMessage())

    handler, logger = Collector(logging.WARNING), logging.getLogger("reeltune")
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as issued:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            yield collected
            collected.extend(str(warning.message) for warning in issued)
    finally:
        logger.removeHandler(handler)


@dataclass
class Supervisor:
    """Runs inputs in worker processes, and replaces one that hangs, swells or dies.

    Attributes:
        work: Holds the workplace, and a folder for every input that failed.
    """

    work: Path
    seed: int
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        methods = multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context(
            "forkserver" if "forkserver" in methods else "spawn"
        )
        if "forkserver" in methods:
            self._context.set_forkserver_preload(["tests.fuzz.kinds", *PRELOADED])

    def build_workplace(self) -> None:
        """Build what the inputs are made from, in a process of its own."""
        self.work.mkdir(parents=True, exist_ok=True)
        process = self._context.Process(target=_build, args=(self.work,))
        process.start()
        process.join()
        if process.exitcode:
            raise RuntimeError(f"the workplace cannot be built: see {self.work / 'output.log'}")

    def run(self, kind: str, indices: Sequence[int]) -> Iterator[Result]:
        """Yield the results of some inputs of a kind."""
        left = list(indices)
        while left:
            receiver, sender = self._context.Pipe(duplex=False)
            process = self._context.Process(
                target=_work, args=(kind, self.work, self.seed, left, sender)
            )
            process.start()
            sender.close()
            for result in self._results(process, receiver, kind, left):
                left.remove(result.index)
                yield result

    def _results(
        self, process: Any, receiver: Connection, kind: str, indices: Sequence[int]
    ) -> Iterator[Result]:
        """Yield what a worker sends; its last result is ours if it had to be stopped."""
        if not receiver.poll(600) or receiver.recv() != "ready":
            raise RuntimeError(f"a worker of the kind {kind} does not start")
        for index in indices:
            fault = self._wait(process, receiver)
            if fault is None:
                try:
                    yield receiver.recv()
                    continue
                except EOFError:
                    process.join(10)
                    fault = f"the process died (exit code {process.exitcode})"
            process.kill()
            process.join()
            yield Result(kind, index, Outcome.TRACEBACK, "see its folder", fault)
            return
        process.join()

    def _wait(self, process: Any, receiver: Connection) -> str | None:
        """Wait for the next message; return which limit was exceeded, if one was."""
        deadline, before = time.monotonic() + self.limits.seconds, _memory(process.pid)
        while not receiver.poll(0.1):
            if time.monotonic() > deadline:
                return f"no answer within {self.limits.seconds:g} s"
            if _memory(process.pid) - before > self.limits.megabytes << 20:
                return f"more than {self.limits.megabytes} MB of memory"
        return None


def _build(work: Path) -> None:
    _redirect_output(work)
    Workplace.build(work / "workplace")


def _redirect_output(work: Path) -> None:
    """Append what this process prints to a file."""
    with (work / "output.log").open("ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)


def _memory(pid: int) -> int:
    """Return the memory of a process in bytes; 0 if it has ended."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).memory_info().rss
    return 0


def _work(
    kind_name: str, work: Path, seed: int, indices: Sequence[int], sender: Connection
) -> None:
    """Send the results of inputs; folders of those that failed are kept."""
    from tests.fuzz.kinds import KINDS

    _redirect_output(work)
    logging.getLogger("reeltune").propagate = False
    threading.current_thread().name = kind_name
    kind = KINDS[kind_name](Workplace(work / "workplace"))
    sender.send("ready")
    for index in indices:
        folder = work / f"{kind_name}-{index}"
        result = attempt(kind, seed, index, folder)
        if not result.failed:
            shutil.rmtree(folder)
        sender.send(result)
    kind.close()
