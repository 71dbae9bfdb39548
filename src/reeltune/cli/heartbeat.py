"""Lines of a command that prints nothing else, where there is no terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from reeltune import progress
from reeltune.progress import POLL_SECONDS

_MAX_ACTIVITY: Final = 40
"""Characters: a repeated line says which one it is, not all of it again."""


class Heartbeat:
    """Knows when a line is due because nothing was printed for a while.

    Args:
        activity: What is reported as running until the first line is printed.
    """

    def __init__(self, activity: str) -> None:
        self._activity = activity
        self._began = self._printed = time.monotonic()

    def printed(self, text: str) -> None:
        """Note printed text; the start of its last line is the activity."""
        self._printed = time.monotonic()
        if text.strip():
            line = text.strip().splitlines()[-1]
            short = len(line) <= _MAX_ACTIVITY
            self._activity = line if short else line[: _MAX_ACTIVITY - 4].rstrip() + " ..."
            self._began = self._printed

    def due(self) -> str | None:
        """Return the line to print now, if any."""
        now = time.monotonic()
        if progress.running_tasks or now - self._printed < progress.INTERVAL_SECONDS - POLL_SECONDS:
            return None
        self._printed = now
        return f"still running after {progress.format_seconds(now - self._began)}: {self._activity}"


class _Watched:
    """A stream that reports what is written to it."""

    def __init__(self, stream: Any, printed: Callable[[str], None]) -> None:
        self._stream, self._report = stream, printed

    def write(self, text: str) -> int:
        self._report(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def heartbeat(activity: str) -> Iterator[None]:
    """Print a line to standard error whenever nothing else was printed for 30 s.

    Not on a terminal, and not in the other processes of a launch.
    """
    stdout, stderr = sys.stdout, sys.stderr
    if stderr.isatty() or os.environ.get("RANK", "0") != "0":
        yield
        return
    beat = Heartbeat(activity)

    def show() -> None:
        if line := beat.due():
            print(line, file=stderr, flush=True)

    sys.stdout, sys.stderr = (
        cast("Any", _Watched(stream, beat.printed)) for stream in (stdout, stderr)
    )
    try:
        with progress.repeat(show, min(POLL_SECONDS, progress.INTERVAL_SECONDS)):
            yield
    finally:
        sys.stdout, sys.stderr = stdout, stderr
