"""A command that prints nothing reports that it is running, at least every 30 seconds."""

from __future__ import annotations

import io
import sys
import time

import numpy as np
import pytest

from reeltune import progress
from reeltune.cli.heartbeat import POLL_SECONDS, Heartbeat, heartbeat
from reeltune.progress import repeat, show_progress
from tests.helpers import until


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic time; a test changes its only entry."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_heartbeat_is_due_once_nothing_was_printed_for_the_interval(clock):
    beat = Heartbeat("reeltune train")
    clock[0] += 23.9
    assert beat.due() is None
    clock[0] += 0.1
    assert beat.due() == "still running after 0:24: reeltune train"
    assert beat.due() is None
    clock[0] += 31
    assert beat.due() == "still running after 0:55: reeltune train"
    beat.printed("step 1\nstep 2 of 9: loss 2.4219, grad_norm 4.827, learning_rate 0.00\n")
    beat.printed("\n")
    clock[0] += 23
    assert beat.due() is None
    clock[0] += 1
    assert beat.due() == "still running after 0:24: step 2 of 9: loss 2.4219, grad_norm ..."


def test_over_hours_no_silence_is_longer_than_the_interval(clock):
    beat, random = Heartbeat("work"), np.random.default_rng(0)
    last, longest = clock[0], 0.0
    for _ in range(20_000):
        clock[0] += POLL_SECONDS
        if random.random() < 0.01:
            beat.printed("something")
        elif beat.due() is None:
            continue
        longest, last = max(longest, clock[0] - last), clock[0]
    assert progress.INTERVAL_SECONDS - 1 <= longest <= progress.INTERVAL_SECONDS


def test_a_running_task_prints_instead_of_the_heartbeat(clock):
    beat = Heartbeat("work")
    with show_progress("rows") as start:
        task = start("scoring", 2)
        clock[0] += 31
        assert beat.due() is None
        task.update(2)
        assert beat.due() is not None
        start("abandoned", 2)
    clock[0] += 31
    assert beat.due() is not None


def test_a_silent_command_prints_lines_to_standard_error(clock, monkeypatch):
    monkeypatch.setattr(progress, "repeat", lambda show, _: repeat(show, 0.001))
    monkeypatch.setattr(sys, "stderr", err := io.StringIO())
    with heartbeat("reeltune prepare"):
        print("Sorting 9 ratings")
        for lines in (1, 2):
            clock[0] += 31
            until(lambda: err.getvalue().count("\n") == lines)  # noqa: B023
    assert err.getvalue() == "".join(
        f"still running after {after}: Sorting 9 ratings\n" for after in ("0:31", "1:02")
    )
    streams = sys.stdout, sys.stderr
    with heartbeat("again"):
        assert (sys.stdout, sys.stderr) != streams
    assert (sys.stdout, sys.stderr) == streams


@pytest.mark.parametrize(("rank", "terminal"), [("1", False), ("0", True)])
def test_no_heartbeat_on_a_terminal_or_in_another_process(rank, terminal, monkeypatch):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    streams = sys.stdout, sys.stderr
    with heartbeat("work"):
        assert (sys.stdout, sys.stderr) == streams


def test_a_long_line_is_repeated_in_part_even_without_spaces(clock):
    beat = Heartbeat("reeltune demo")
    beat.printed("x" * 100)
    clock[0] += 24
    assert beat.due() == f"still running after 0:24: {'x' * 36} ..."
