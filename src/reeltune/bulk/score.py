"""Bulk scoring: check the input, plan, score the missing shards, write the record."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reeltune.bulk.identity import digest, make_identity
from reeltune.bulk.lookup import Lookup
from reeltune.bulk.output import Output
from reeltune.bulk.tasks import Task
from reeltune.config import Config
from reeltune.data.folder import PreparedFolder
from reeltune.errors import RunError
from reeltune.models.loaded_model import as_trained, load_model
from reeltune.models.prompt_record import adapter_process
from reeltune.progress import StartTask
from reeltune.runs.log import LOGGER
from reeltune.scoring.predictor import Predictor
from reeltune.signals.folder import open_prepared

if TYPE_CHECKING:
    from reeltune.bulk.cluster import Cluster

MakeTask = Callable[[PreparedFolder, Lookup], Task]
"""Creates the task from the opened data."""


OpenJob = Callable[[], "Job"]


@dataclass(frozen=True)
class Options:
    """Options of scoring.

    Attributes:
        history: Number of events shown; None: as prepared.
        skip_unknown: Keep invalid rows.
        overwrite: Start again.
    """

    history: int | None = None
    skip_unknown: bool = False
    overwrite: bool = False


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
            config = as_trained(config, adapter)
        folder = open_prepared(config, adapter_process=adapter_process(adapter))
        lookup = Lookup(folder)
        task = make_task(folder, lookup)
        return cls(config, adapter, folder, lookup, task, output, options)

    def identity(self) -> dict[str, Any]:
        """Return everything that determines the predictions."""
        history = self.options.history or self.folder.history_len
        settings = {"history": history, "skip_unknown": self.options.skip_unknown}
        return make_identity(self.config, self.folder, self.adapter, self.task, **settings)

    def plan(self, identity: dict[str, Any], resources: ExitStack) -> Plan:
        """Check the input, lock and check the output folder, write the manifest of a new run.

        Raises:
            RequestError: The input has invalid rows.
            RunError: The folder holds other predictions, or another run is writing there.
        """
        table = self.task.table
        if table is not None and table.ignored:
            LOGGER.info("columns that are not read: %s", ", ".join(table.ignored))
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

    @cached_property
    def predictor(self) -> Predictor:
        """The model, loaded at the first use."""
        loaded = load_model(self.config, self.adapter, folder=self.folder)
        return Predictor(loaded, self.options.history)

    def score_shards(self, sha256: str, numbers: Sequence[int], progress: StartTask) -> None:
        """Score some shards and write each with the digest of the identity."""
        predictor = self.predictor
        spans = self.task.shards
        slices = self.task.slices([spans[number] for number in numbers])
        bar = progress("scoring", sum(len(spans[number]) for number in numbers))
        for number in numbers:
            predictor.forget_histories()  # a shard does not depend on what was scored before
            # No names for the slice and its scores, so that they are freed before the next read.
            self.output.write(
                number,
                self.task.score(next(slices), predictor, bar.advance),
                sha256,
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


def score(open_job: OpenJob, progress: StartTask, cluster: Cluster | None = None) -> Outcome:
    """Score all input rows, in this process or on a cluster."""
    with ExitStack() as resources:
        job = open_job()
        plan = job.plan(cluster.identity(open_job) if cluster else job.identity(), resources)
        if plan.done is not None:
            return Outcome(plan.done, already_done=True)
        if cluster and plan.missing:
            shards = {number: job.task.shards[number] for number in plan.missing}
            cluster.score_shards(open_job, plan.identity_sha256, shards, progress)
        elif plan.missing:
            job.score_shards(plan.identity_sha256, plan.missing, progress)
        return Outcome(job.finish(plan), already_done=False)
