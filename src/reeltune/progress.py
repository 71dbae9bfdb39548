"""Progress on standard error: a bar on a terminal, elsewhere a plain line at least every 30 s.

Tasks print lines of their own; ``cli/heartbeat.py`` covers everything that is not a task.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from rich.console import Console

INTERVAL_SECONDS: Final = 25.0
"""Less than 30, since a busy machine may delay a line by some seconds."""

ESTIMATE_SECONDS: Final = 5.0
"""A task's expected time comes with the first progress after this."""

POLL_SECONDS: Final = 1.0
"""How often a line may become due."""

BYTES: Final = "bytes"

running_tasks: Final[list[Task]] = []
"""The unfinished tasks that print lines."""


class Task:
    """Work in progress; bytes are shown in megabytes.

    Args:
        name: The task, such as ``scoring base``.
        unit: The unit of the counts.
        total: None if unknown.
        done: The count at the start, which has no part in the rate.
        redraw: Called after every change.
    """

    def __init__(
        self,
        name: str,
        unit: str = "rows",
        total: int | None = None,
        done: int = 0,
        redraw: Callable[[Task], None] = lambda _: None,
    ) -> None:
        self.name, self.unit, self.total, self.done = name, unit, total, done
        self._redraw = redraw
        self._began, self._done_before = time.monotonic(), done

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    @property
    def advanced(self) -> int:
        """The count since the start."""
        return self.done - self._done_before

    @property
    def finished(self) -> bool:
        """Whether the total is reached."""
        return self.total is not None and self.done >= self.total

    def update(self, done: int, total: int | None = None) -> None:
        """Set the count and, if given, the total."""
        self.done = done
        self.total = self.total if total is None else total
        self._redraw(self)

    def advance(self, count: int) -> None:
        """Add to the count."""
        self.update(self.done + count)

    def status(self) -> str:
        """Return count, rate since the start, and the time left or, without a rate, elapsed."""
        elapsed = self.elapsed
        total = "" if self.total is None else f"/{self._amount(self.total)}"
        known = self.done or self.total is not None
        parts = [f"{self._amount(self.done)}{total} {self._unit_shown}"] if known else []
        new = self.advanced
        if new and elapsed:
            rate = new / elapsed
            parts.append(
                f"{rate / 1e6:,.1f} MB/s" if self.unit == BYTES else f"{rate:,.{int(rate < 10)}f}/s"
            )
            if self.total is not None and not self.finished:
                parts.append(f"{format_seconds((self.total - self.done) / rate)} left")
        if self.finished or not new:
            parts.append(f"{format_seconds(elapsed)} elapsed")
        return ", ".join(parts)

    @property
    def _unit_shown(self) -> str:
        return "MB" if self.unit == BYTES else self.unit

    def _amount(self, count: int) -> str:
        return f"{count / 1e6:,.1f}" if self.unit == BYTES else f"{count:,}"


class StartTask(Protocol):
    """Starts a task."""

    def __call__(self, name: str, total: int | None = None, done: int = 0) -> Task:
        """Return the task."""
        ...


def no_progress(name: str, total: int | None = None, done: int = 0) -> Task:
    """Start a task that is not shown."""
    return Task(name, total=total, done=done)


@contextlib.contextmanager
def show_progress(unit: str = "rows", *, shown: bool = True) -> Iterator[StartTask]:
    """Yield a function that starts tasks counting ``unit``, which are shown if ``shown``."""
    from rich.console import Console

    if not shown:
        yield no_progress
        return
    console = Console(stderr=True)
    with _bars(unit, console) if console.is_terminal else _lines(unit) as start:
        yield start


@contextlib.contextmanager
def scoring_progress() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Yield a function from a scorer's name to its progress callback."""
    with show_progress() as start:
        yield lambda name: start(f"scoring {name}").update


@contextlib.contextmanager
def _bars(unit: str, console: Console) -> Iterator[StartTask]:
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[status]}"),
    )
    with Progress(*columns, console=console) as bars:

        def start(name: str, total: int | None = None, done: int = 0) -> Task:
            bar = bars.add_task(name, total=total, completed=done, status="")

            def redraw(task: Task) -> None:
                bars.update(bar, completed=task.done, total=task.total, status=task.status())

            return Task(name, unit, total, done, redraw)

        yield start


@contextlib.contextmanager
def _lines(unit: str) -> Iterator[StartTask]:
    """Print unfinished tasks from a thread, since one step may take longer than the interval.

    A task's first line, with its expected time, comes with the first progress after a few seconds;
    the last one when the task is finished or the block ends. In between, lines come where none was
    written for an interval.
    """
    mine: list[Task] = []
    estimated: set[Task] = set()
    written = 0.0

    def show(task: Task) -> None:
        nonlocal written
        written = time.monotonic()
        print(f"{task.name}: {task.status()}", file=sys.stderr, flush=True)

    def redraw(task: Task) -> None:
        if task.finished and task in mine:
            mine.remove(task)
            running_tasks.remove(task)
            show(task)
        elif task.advanced and task not in estimated and task.elapsed >= ESTIMATE_SECONDS:
            estimated.add(task)
            show(task)

    def start(name: str, total: int | None = None, done: int = 0) -> Task:
        nonlocal written
        if not mine:
            # What others wrote last may be nearly an interval ago.
            written = max(written, time.monotonic() - INTERVAL_SECONDS + ESTIMATE_SECONDS)
        task = Task(name, unit, total, done, redraw)
        mine.append(task)
        running_tasks.append(task)
        return task

    def show_all() -> None:
        for task in list(mine):
            show(task)

    def show_if_due() -> None:
        if time.monotonic() - written >= INTERVAL_SECONDS:
            show_all()

    try:
        with repeat(show_if_due, min(POLL_SECONDS, INTERVAL_SECONDS)):
            yield start
    finally:
        show_all()
        for task in mine:
            running_tasks.remove(task)


@contextlib.contextmanager
def repeat(function: Callable[[], None], seconds: float) -> Iterator[None]:
    """Call a function from a thread at intervals during the block."""
    stopped = threading.Event()

    def run() -> None:
        while not stopped.wait(seconds):
            function()

    thread = threading.Thread(target=run, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def periodic(name: str, unit: str, show: Callable[[str], None]) -> Callable[[int, int], None]:
    """Return a progress callback that shows a line whenever 30 s have passed without one."""
    task = Task(name, unit)
    shown = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal shown
        task.update(done, total)
        if time.monotonic() - shown >= INTERVAL_SECONDS:
            shown = time.monotonic()
            show(f"{name}: {task.status()}")

    return report


def format_seconds(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds.

    >>> format_seconds(3725.4)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
