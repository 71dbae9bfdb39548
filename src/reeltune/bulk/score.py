"""Bulk scoring from beginning to end: look, plan, judge shard after shard, record the end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reeltune.asking.judge import Judge
from reeltune.asking.subject import as_trained, load_subject
from reeltune.bulk.identity import digest, identity
from reeltune.bulk.lookup import Lookup
from reeltune.bulk.output import Output
from reeltune.bulk.processes import Processes
from reeltune.bulk.task import Task, faulty_rows, shard_rows
from reeltune.config import Config
from reeltune.data.folder import PreparedFolder
from reeltune.errors import RunError
from reeltune.progress import StartTask
from reeltune.runs.log import LOGGER
from reeltune.signals.folder import open_prepared

MakeTask = Callable[[PreparedFolder, Lookup], Task]
"""Says what is asked, once the prepared data are open."""


@dataclass(frozen=True)
class Options:
    """How a task is carried out.

    Attributes:
        history: How many events to show; None shows as many as the data were prepared with.
        skip_unknown: Keep rows that cannot be judged, without a P(Yes).
        overwrite: Remove earlier answers in the folder.
    """

    history: int | None = None
    skip_unknown: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Plan:
    """What is left to do.

    Attributes:
        answers: The digest of what determines the answers.
        missing: Shards that are not there yet, ascending.
        done: The record of a run that has ended; None where there is work.
    """

    answers: str
    missing: list[int]
    done: dict[str, Any] | None


@dataclass(frozen=True)
class Outcome:
    """How it went.

    Attributes:
        record: The content of ``done.json``.
        already: Whether there was nothing left to do.
    """

    record: dict[str, Any]
    already: bool


@dataclass(frozen=True)
class Job:
    """A task with all it needs but the model.

    Attributes:
        config: As used: model, quantization and prompt are those of the adapter's run.
        adapter: The folder of the adapter; None for the base model alone.
        folder: The prepared data.
        lookup: Knows users and films.
        task: What is asked.
        output: Where the answers go.
        options: How it is carried out.
    """

    config: Config
    adapter: Path | None
    folder: PreparedFolder
    lookup: Lookup
    task: Task
    output: Output
    options: Options

    @classmethod
    def open(
        cls,
        config: Config,
        adapter: Path | None,
        make_task: MakeTask,
        output: Output,
        options: Options,
    ) -> Job:
        """Open data and input, without looking at any row.

        Raises:
            ReeltuneError: One of them cannot be read, or is not what it should be.
        """
        config = config if adapter is None else as_trained(config, adapter)
        folder = open_prepared(config)
        lookup = Lookup(folder)
        task = make_task(folder, lookup)
        return cls(config, adapter, folder, lookup, task, output, options)

    def plan(self, held: ExitStack) -> Plan:
        """Look at what is asked and at what is there, and write the manifest if nothing is.

        Args:
            held: Keeps other runs out of the folder until it ends.

        Raises:
            RequestError: Rows cannot be judged.
            RunError: The folder holds other answers, or another run is writing there.
        """
        table = self.task.table
        if table is not None and table.ignored:
            LOGGER.info("columns that are not read: %s", ", ".join(table.ignored))
        history = self.options.history or self.folder.history_len
        settings = {"history": history, "skip_unknown": self.options.skip_unknown}
        now = identity(self.config, self.folder, self.adapter, self.task, **settings)
        # A manifest without answers is of a call that failed before its first: nothing is lost.
        anew = self.options.overwrite or self.output.manifest() is None or self.output.unanswered
        facts = self._facts() if anew else {}
        held.enter_context(self.output.writing())
        told = self.output.manifest()
        if told is None or self.options.overwrite or self.output.unanswered:
            self.output.begin(now, facts)
        else:
            self.output.refuse_other(told, now)
        return self._left(digest(now))

    def _facts(self) -> dict[str, Any]:
        """Return what the manifest says beside what determines the answers.

        Raises:
            RequestError: Rows cannot be judged.
        """
        table = self.task.table
        facts: dict[str, Any] = {"shards": len(shard_rows(self.task))}
        if table is None:
            return facts
        LOGGER.info("looking through %s rows of %s", f"{table.rows:,}", table.path)
        faulty = faulty_rows(table, self.lookup)
        if faulty.total and not self.options.skip_unknown:
            raise faulty.error(str(table.path))
        counts = {"rows": faulty.total, "why": faulty.counts}
        return {**facts, "file": table.path.name, "ignored": table.ignored, "unknown": counts}

    def _left(self, answers: str) -> Plan:
        there = self.output.present(shard_rows(self.task), answers)
        missing = self._missing(there)
        if there and missing:
            LOGGER.info("%d of %d shards are there already", len(there), len(there) + len(missing))
        done = self.output.done(there.values(), answers)
        if done is None:
            self.output.reopen()
        return Plan(answers, missing, done)

    def _missing(self, there: Collection[int]) -> list[int]:
        return [number for number in range(len(shard_rows(self.task))) if number not in there]

    def carry_out(
        self, plan: Plan, mine: Sequence[int], progress: StartTask, name: str = "scoring"
    ) -> None:
        """Judge some of the missing shards and write each.

        Raises:
            ReeltuneError: The model cannot be loaded, or does not fit the task.
        """
        subject = load_subject(self.config, self.adapter)
        # The same data: one copy of all events is enough.
        judge = Judge(replace(subject, folder=self.folder), self.options.history)
        spans = shard_rows(self.task)
        stretches = self.task.stretches([spans[number] for number in mine])
        task = progress(name, sum(len(spans[number]) for number in mine))
        for number in mine:
            # Without names, so that nothing of a shard is held while the next one is read.
            self.output.write(
                number,
                self.task.scored(next(stretches), judge, task.advance),
                plan.answers,
                len(spans[number]),
            )

    def finish(self, plan: Plan) -> dict[str, Any]:
        """Record that every shard is there.

        Raises:
            RunError: One is not.
        """
        there = self.output.present(shard_rows(self.task), plan.answers)
        if missing := self._missing(there):
            raise RunError(
                f"shard {missing[0]} is missing (the first of {len(missing)} missing ones)",
                code="missing_shard",
                where=str(self.output.path),
                hint="Call it again to go on",
            )
        return self.output.finish(there.values(), plan.answers)


def score(open_job: Callable[[], Job], processes: Processes, progress: StartTask) -> Outcome:
    """Answer all that is asked, together with the other processes of this launch.

    Args:
        open_job: Says what is to be done.
        processes: Those that share the work.
        progress: Starts a progress bar.

    Returns:
        How it went, in every process.

    Raises:
        ReeltuneError: Of the kind that says which of request, data, model or folder is wrong.
    """
    with ExitStack() as held:
        job = processes.main_first(open_job)
        plan = processes.decided_by_main(lambda: job.plan(held))
        if plan.done is not None:
            return Outcome(plan.done, already=True)
        if mine := processes.share(plan.missing):
            share = f" (process 1 of {processes.count})" if processes.count > 1 else ""
            job.carry_out(plan, mine, progress, f"scoring{share}")
        processes.wait()
        record = processes.decided_by_main(lambda: job.finish(plan))
        return Outcome(record, already=False)
