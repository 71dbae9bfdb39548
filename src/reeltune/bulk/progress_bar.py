"""How many rows are judged, how fast, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.text import Text

from reeltune.bulk.turns import Advance
from reeltune.runs.log import format_seconds


class PaceColumn(ProgressColumn):
    """So many a second since the beginning, and how long the rest takes at that.

    A pass may take a minute on a CPU, and what rich tells by itself forgets passes so far apart.
    """

    def render(self, task: Task) -> Text:
        """Return both; nothing before something is done."""
        if not task.completed or not task.elapsed:
            return Text("")
        pace = task.completed / task.elapsed
        left = format_seconds((task.remaining or 0) / pace)
        return Text(f"{pace:,.{0 if pace >= 10 else 1}f}/s, {left} left")


@contextmanager
def progress_bar(rows: int, unit: str, processes: int = 1) -> Iterator[Advance]:
    """Show a bar on standard error, and give what moves it.

    Args:
        rows: How many rows there are to judge.
        unit: What a row is: ``rows`` or ``users``.
        processes: How many processes share the work; the bar is of the first one's share.
    """
    share = f" (process 1 of {processes})" if processes > 1 else ""
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        PaceColumn(),
        console=Console(stderr=True),
    )
    with bars:
        task = bars.add_task(f"scoring{share}", total=rows)
        yield lambda count: bars.update(task, advance=count)


@contextmanager
def no_bar(rows: int) -> Iterator[Advance]:
    """Show nothing: another process shows its own."""
    yield lambda _: None
