"""Bulk scoring: check the input, plan, score the missing shards, write the record."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from accelerate.utils import broadcast_object_list

from reeltune.bulk.identity import digest, make_identity
from reeltune.bulk.lookup import Lookup
from reeltune.bulk.output import Output
from reeltune.bulk.tasks import Task
from reeltune.config import Config
from reeltune.data.folder import PreparedFolder
from reeltune.errors import ReeltuneError, RunError
from reeltune.models.choices import process_state
from reeltune.models.loaded_model import as_trained, load_model
from reeltune.models.prompt_record import adapter_process
from reeltune.progress import StartTask
from reeltune.runs.log import LOGGER
from reeltune.scoring.predictor import Predictor
from reeltune.signals.folder import open_prepared

T = TypeVar("T")

MakeTask = Callable[[PreparedFolder, Lookup], Task]
"""Creates the task from the opened data."""


@dataclass(frozen=True)
class Options:
    """Options of scoring.

    Attributes:
        history: Number of events shown; None: as prepared.
        skip_unknown: Keep invalid rows.
        overwrite: Start again.
        other_base: Load the base model from where the configuration says, not the run.
    """

    history: int | None = None
    skip_unknown: bool = False
    overwrite: bool = False
    other_base: bool = False


@dataclass(frozen=True)
class Plan:
    """The numbers of the missing shards, or the record of a finished run."""

    identity_sha256: str
    missing: list[int]
    done: dict[str, Any] | None


@dataclass(frozen=True)
class Outcome:
    """The content of ``done.json``, and whether nothing was left to do."""

    record: dict[str, Any]
    already_done: bool


@dataclass(frozen=True)
class Job:
    """A task with everything but the model; without an ``adapter`` it is the base model."""

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
        """Open data and input, without reading any row."""
        if adapter is not None:
            config = as_trained(config, adapter, other_base=options.other_base)
        folder = open_prepared(config, adapter_process=adapter_process(adapter))
        lookup = Lookup(folder)
        task = make_task(folder, lookup)
        return cls(config, adapter, folder, lookup, task, output, options)

    def plan(self, resources: ExitStack) -> Plan:
        """Check the input, lock and check the output folder, write the manifest of a new run.

        Raises:
            RequestError: The input has invalid rows.
            RunError: The folder holds other predictions, or another run is writing there.
        """
        table = self.task.table
        if table is not None and table.ignored:
            LOGGER.info("columns that are not read: %s", ", ".join(table.ignored))
        history = self.options.history or self.folder.history_len
        settings = {"history": history, "skip_unknown": self.options.skip_unknown}
        identity = make_identity(self.config, self.folder, self.adapter, self.task, **settings)
        facts = self._facts() if self._is_new() else {}
        resources.enter_context(self.output.exclusive())
        manifest = self.output.manifest()
        if manifest is None or self._is_new():
            self.output.start(identity, facts)
        else:
            self.output.check_identity(manifest, identity)
        return self._remaining(digest(identity))

    def _is_new(self) -> bool:
        # A manifest without shards is of a call that failed early: nothing is lost.
        manifest, shards = self.output.manifest(), self.output.shard_files()
        return self.options.overwrite or manifest is None or not shards

    def _facts(self) -> dict[str, Any]:
        """Check the input and return further entries of the manifest."""
        table = self.task.table
        facts: dict[str, Any] = {"shards": len(self.task.shards)}
        if table is None:
            return facts
        LOGGER.info("checking %s rows of %s", f"{table.rows:,}", table.path)
        invalid = table.invalid_rows(self.lookup)
        if invalid.counts and not self.options.skip_unknown:
            raise invalid.error(str(table.path))
        counts = {"rows": invalid.counts.total(), "why": invalid.counts}
        return {**facts, "file": table.path.name, "ignored": table.ignored, "unknown": counts}

    def _remaining(self, sha256: str) -> Plan:
        complete = self.output.complete_shards(self.task.shards, sha256)
        missing = self._missing(complete)
        if complete and missing:
            total = len(complete) + len(missing)
            LOGGER.info("%d of %d shards are complete already", len(complete), total)
        done = self.output.done(complete.values(), sha256)
        if done is None:
            self.output.remove_record()
        return Plan(sha256, missing, done)

    def _missing(self, complete: Collection[int]) -> list[int]:
        return [number for number in range(len(self.task.shards)) if number not in complete]

    def score_shards(
        self, plan: Plan, numbers: Sequence[int], progress: StartTask, name: str = "scoring"
    ) -> None:
        """Score some of the missing shards and write each."""
        loaded = load_model(
            self.config, self.adapter, folder=self.folder, other_base=self.options.other_base
        )
        predictor = Predictor(loaded, self.options.history)
        spans = self.task.shards
        slices = self.task.slices([spans[number] for number in numbers])
        bar = progress(name, sum(len(spans[number]) for number in numbers))
        for number in numbers:
            # No names for the slice and its scores, so that they are freed before the next read.
            self.output.write(
                number,
                self.task.score(next(slices), predictor, bar.advance),
                plan.identity_sha256,
                len(spans[number]),
                predictor.count_short_histories(),
            )

    def finish(self, plan: Plan) -> dict[str, Any]:
        """Write ``done.json``.

        Raises:
            RunError: A shard is missing.
        """
        complete = self.output.complete_shards(self.task.shards, plan.identity_sha256)
        if missing := self._missing(complete):
            raise RunError(
                f"shard {missing[0]} is missing (the first of {len(missing)} missing ones)",
                code="missing_shard",
                where=str(self.output.path),
                hint="Call it again to resume",
            )
        return self.output.finish(complete.values(), plan.identity_sha256)


class Processes:
    """The processes started by ``accelerate launch`` or ``torchrun``, or this one alone."""

    def __init__(self) -> None:
        self._state = process_state()
        self.is_main = self._state.is_main_process
        self.count = self._state.num_processes

    def share(self, items: Sequence[T]) -> list[T]:
        """Return this process's share: every ``count``-th item, starting at its rank."""
        return list(items[self._state.process_index :: self.count])

    def on_main(self, decide: Callable[[], T]) -> T:
        """Run a function in the main process and return its result in every process.

        Raises:
            ReeltuneError: In the main process; the others exit silently with its exit code.
        """
        message: list[Any] = [None, None]  # result, exit code
        if self.is_main:
            try:
                message[0] = decide()
            except ReeltuneError as error:
                broadcast_object_list([None, error.exit_code])
                raise
        broadcast_object_list(message)
        if message[1] is not None:
            raise SystemExit(message[1])
        return message[0]

    def main_first(self, work: Callable[[], T]) -> T:
        """Run a function in every process, in the main process first; raises as above."""
        result: list[T] = []
        self.on_main(lambda: result.append(work()))
        return result[0] if self.is_main else work()

    def wait(self) -> None:
        """Wait for every process."""
        self._state.wait_for_everyone()

    def close(self) -> None:
        """Leave the process group."""
        self._state.destroy_process_group()


def score(open_job: Callable[[], Job], processes: Processes, progress: StartTask) -> Outcome:
    """Score all input rows with the processes of this launch, and return the outcome in each."""
    with ExitStack() as resources:
        job = processes.main_first(open_job)
        plan = processes.on_main(lambda: job.plan(resources))
        if plan.done is not None:
            return Outcome(plan.done, already_done=True)
        if numbers := processes.share(plan.missing):
            share = f" (process 1 of {processes.count})" if processes.count > 1 else ""
            job.score_shards(plan, numbers, progress, f"scoring{share}")
        processes.wait()
        record = processes.on_main(lambda: job.finish(plan))
        return Outcome(record, already_done=False)
