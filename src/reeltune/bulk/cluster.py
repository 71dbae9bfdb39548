"""Scoring on a Ray cluster: Ray Data gives each shard to an actor that holds the model."""

from __future__ import annotations

import logging
import os
import platform
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from reeltune.bulk.identity import digest
from reeltune.bulk.score import Job, OpenJob
from reeltune.errors import ConfigError, RunError, first_line
from reeltune.progress import StartTask, no_progress
from reeltune.runs.log import logging_to


@dataclass(frozen=True)
class Cluster:
    """A connected cluster, with the resources that an actor takes and the number of actors.

    All nodes have this package, and the same files under the same paths.
    """

    resources: dict[str, Any]
    actors: int

    def identity(self, open_job: OpenJob) -> dict[str, Any]:
        """Return a job's identity as an actor computes it, whose device may choose the dtype."""
        import ray  # pyright: ignore[reportMissingImports]

        remote = ray.remote(max_calls=1, **self.resources)(_identity)
        with _errors_of_actors():
            return ray.get(remote.remote(_Actor(open_job, Path.cwd())))

    def score_shards(
        self, open_job: OpenJob, sha256: str, shards: Mapping[int, range], progress: StartTask
    ) -> None:
        """Score shards, given by number, and write each; errors are those of the actors."""
        import ray.data as rd  # pyright: ignore[reportMissingImports]

        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # it would log tracebacks
        context = rd.DataContext.get_current()
        context.enable_progress_bars, context.raise_original_map_exception = False, True
        rows = [{"number": number, "rows": len(span)} for number, span in shards.items()]
        size = min(self.actors, len(rows))
        scored = rd.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Actor,
            fn_constructor_args=(open_job, Path.cwd(), sha256),
            batch_size=1,
            compute=rd.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=1),
            **self.resources,
        )
        bar = progress(f"scoring ({size} actors)", sum(map(len, shards.values())))
        with _errors_of_actors():
            for row in scored.iter_rows():
                bar.advance(row["rows"])


@contextmanager
def connect(address: str) -> Iterator[Cluster]:
    """Connect to the Ray cluster at an address; ``local`` starts one on this machine.

    Raises:
        ConfigError: There is none.
    """
    import ray  # pyright: ignore[reportMissingImports]

    host, colon, port = address.rpartition(":")
    try:
        if colon and "/" not in host:  # Ray would try for minutes
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        ray.init(address, include_dashboard=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        message = f"no Ray cluster at {address} ({first_line(error)})"
        hint = "Start one with: ray start --head, or give --ray local"
        raise ConfigError(message, code="no_cluster", where="--ray", hint=hint) from error
    try:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        gpus = sum(int(node.get("GPU", 0)) for node in nodes)
        cpus = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
        each = {"num_cpus": 1, "num_gpus": 1} if gpus else {"num_cpus": min(cpus, default=1)}
        yield Cluster(each, gpus or len(cpus) or 1)
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class _Actor:
    """Holds data and model, and writes the shards it is given."""

    open_job: OpenJob
    folder: Path
    sha256: str = ""

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        self.job.output.count_attempt(batch["number"].item())  # Ray would retry for ever
        if "predictor" not in vars(self.job) and digest(self.job.identity()) != self.sha256:
            raise RunError(
                "model, adapter, data or input table are not those of the first node",
                code="nodes_differ",
                where=platform.node(),
                hint="Give every node the same files under the same paths",
            )
        with logging_to(None):  # Ray prints it where the command runs
            self.job.score_shards(self.sha256, batch["number"].tolist(), no_progress)
        return batch

    @cached_property
    def job(self) -> Job:
        os.chdir(self.folder)  # that of the command, for relative paths
        return self.open_job()


def _identity(actor: _Actor) -> dict[str, Any]:
    return actor.job.identity()


@contextmanager
def _errors_of_actors() -> Iterator[None]:
    from ray.exceptions import RayError, RayTaskError  # pyright: ignore[reportMissingImports]

    try:
        yield
    except RayTaskError as error:
        raise error.cause from error
    except RayError as error:
        message, hint = f"the cluster failed ({first_line(error)})", "Call it again to resume"
        raise RunError(message, code="cluster_failed", where="--ray", hint=hint) from error
