"""Progress is a bar on a terminal and plain lines elsewhere, and never goes to standard output."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable, Iterator

import pytest

from reeltune import progress
from reeltune.progress import (
    Task,
    format_seconds,
    no_progress,
    periodic,
    scoring_progress,
    show_progress,
)
from tests.helpers import until


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic time; a test changes its only entry."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("done", "elapsed", "status"),
    [
        (0, 5.0, "0/9,000 rows, 0:05 elapsed"),
        (50, 40.0, "50/9,000 rows, 1.2/s, 1:59:20 left"),
        (8000, 4.0, "8,000/9,000 rows, 2,000/s, 0:00 left"),
        (9000, 90.0, "9,000/9,000 rows, 100/s, 1:30 elapsed"),
    ],
)
def test_a_status_has_count_rate_and_time(clock, done: int, elapsed: float, status: str):
    task = Task("a", "rows", 9000)
    clock[0] += elapsed
    task.update(done)
    assert task.status() == status


def test_bytes_are_shown_in_megabytes_and_those_before_the_start_have_no_rate(clock):
    task = Task("a", progress.BYTES, 30_000_000, done=10_000_000)
    clock[0] += 5
    task.advance(10_000_000)
    assert task.status() == "20.0/30.0 MB, 2.0 MB/s, 0:05 left"


def test_without_a_total_there_is_no_time_left(clock):
    task = Task("a", "users")
    clock[0] += 2
    assert task.status() == "0:02 elapsed"
    task.advance(7)
    assert task.status() == "7 users, 3.5/s"
    assert not task.finished


def test_lines_come_at_intervals_even_if_nothing_moves(clock, monkeypatch):
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(sys, "stderr", err := io.StringIO())
    with show_progress("rows") as start:
        start("slow", 5).advance(2)
        for lines in (1, 2, 3):
            clock[0] += 31
            until(lambda: err.getvalue().count("\n") == lines)  # noqa: B023
    # The last one comes when the block ends.
    assert [line.split(",")[0] for line in err.getvalue().splitlines()] == ["slow: 2/5 rows"] * 4


def test_the_interval_is_at_most_half_a_minute():
    assert progress.INTERVAL_SECONDS <= 30


def test_a_task_has_one_last_line(capsys):
    with show_progress("users") as start:
        first, second = start("first", 3), start("second", 4)
        first.advance(1)
        first.update(3)
        first.update(3)
        assert [line.split(",")[0] for line in capsys.readouterr().err.splitlines()] == [
            "first: 3/3 users",
        ]
        second.advance(1)
    shown = capsys.readouterr()
    assert (shown.out, len(shown.err.splitlines())) == ("", 1)
    assert shown.err.startswith("second: 1/4 users, ")


def test_lines_end_with_the_work_that_fails(capsys):
    with pytest.raises(KeyboardInterrupt), show_progress("rows") as start:
        start("broken", 2).advance(1)
        raise KeyboardInterrupt
    assert "broken: 1/2 rows" in capsys.readouterr().err


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with show_progress("rows") as start:
        start("first", 3).update(3)
        start("second").advance(2)
    shown = capsys.readouterr()
    assert shown.out == ""
    text = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", shown.err)
    assert re.search(r"first +━+ 3/3 rows", text)
    assert re.search(r"second .* 2 rows", text)


def test_nothing_is_shown_if_not_wanted(capsys):
    with show_progress("rows", shown=False) as start:
        start("a", 2).update(2)
    no_progress("a", 2).advance(2)
    assert capsys.readouterr() == ("", "")


def test_the_scorer_reports_to_a_task_per_name(capsys):
    with scoring_progress() as progress_for:
        progress_for("candidates")(7, 7)
        progress_for("base")(1, 2)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "scoring candidates: 7/7 rows",
        "scoring base: 1/2 rows",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3725.4, "1:02:05")]
)
def test_durations(seconds: float, text: str):
    assert format_seconds(seconds) == text


def test_the_first_line_has_the_expected_time(clock, capsys):
    with show_progress("rows") as start:
        task = start("slow", 1000)
        clock[0] += progress.ESTIMATE_SECONDS - 1
        task.advance(10)
        assert capsys.readouterr().err == ""
        clock[0] += 1
        task.advance(10)
        task.advance(10)
        assert capsys.readouterr().err == "slow: 20/1,000 rows, 4.0/s, 4:05 left\n"


def test_lines_are_due_once_none_was_written_for_an_interval(clock, capsys, monkeypatch):
    check: list[Callable[[], None]] = []

    @contextlib.contextmanager
    def repeat(function: Callable[[], None], seconds: float) -> Iterator[None]:
        assert seconds <= progress.POLL_SECONDS
        check.append(function)
        yield

    def written(seconds: float) -> str:
        clock[0] += seconds
        check[0]()
        return capsys.readouterr().err

    monkeypatch.setattr(progress, "repeat", repeat)
    with show_progress("rows") as start:
        # The line before was perhaps written nearly an interval ago.
        task = start("slow", 1000)
        assert written(progress.ESTIMATE_SECONDS - 1) == ""
        assert written(1) == "slow: 0/1,000 rows, 0:05 elapsed\n"
        task.advance(10)
        assert capsys.readouterr().err == "slow: 10/1,000 rows, 2.0/s, 8:15 left\n"
        assert written(progress.INTERVAL_SECONDS - 1) == ""
        assert written(1) == "slow: 10/1,000 rows, 0.3/s, 49:30 left\n"


def test_periodic_lines_come_30_seconds_apart(clock):
    lines: list[str] = []
    report = periodic("bootstrap", "samples", lines.append)
    for done in range(100, 1100, 100):
        clock[0] += 16
        report(done, 1000)
    counts = [line.removeprefix("bootstrap: ").split("/")[0] for line in lines]
    assert counts == ["200", "400", "600", "800", "1,000"]
    assert lines[0] == "bootstrap: 200/1,000 samples, 6.2/s, 2:08 left"
