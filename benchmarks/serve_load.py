"""Throughput and latency of `reeltune serve` under load, with and without batching.

Two services run the same model on loopback, each in its own process: one batches the queries that
wait, the other runs one query per batch (`serving.max_batch_queries=1`). A client sends its next
request after the response, over one connection. Each client has its own history and rates one more
item before its next request; or several clients share a history, like a page that requests item by
item. Both services get the same requests, and their predictions must be equal.

    python -m benchmarks.serve_load --adapter output/demo --prepared data/demo --result FILE
    python -m benchmarks.serve_load --model models/smollm2-135m --prepared data/demo

With `--growing`, histories are shorter than prompts may show and grow by a rating per request.
`--modes` chooses other services: one that keeps no histories, and one that runs the sources of an
earlier version, in a folder given by `--before`:

    python -m benchmarks.serve_load --adapter output/demo --prepared data/demo --growing \\
        --clients 1 --clients-per-history 1 --candidates 50 --before ../earlier \\
        --modes before "no histories kept" batched

With different histories a batch has as many tokens as its requests alone. Batching then saves the
fixed cost of a batch: most of the time on a GPU or with a small model, next to nothing where a
single prompt keeps all cores busy.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.common import command_line, common_options, write_result
from benchmarks.launching import environment_of
from reeltune.data.folder import PreparedFolder

_MODES: Final = {
    "one at a time": ["--set", "serving.max_batch_queries=1"],
    "batched": [],
    "no histories kept": ["--set", "scoring.prefix_cache_mib=0"],
    "adapter not merged": ["--set", "scoring.merge_adapter=false"],
    "before": [],
}
_TIMEOUT_S: Final = 3600
_POPULAR: Final = 200
"""Clients request predictions for this many of the most rated items."""


class Served(NamedTuple):
    """A running service: its mode and its port on loopback."""

    mode: str
    port: int


class Requests:
    """The requests of all clients.

    Args:
        folder: The items and their ratings.
        candidates: Items per request.
        rounds: Requests per client.
        growing: Whether histories grow, to as many ratings as prompts show, instead of moving on.
    """

    def __init__(
        self, folder: PreparedFolder, candidates: int, rounds: int, growing: bool = False
    ) -> None:
        self.folder, self.candidates, self.rounds = folder, candidates, rounds
        timelines, self.history, self.growing = folder.timelines, folder.history_len, growing
        starts = np.flatnonzero(timelines.position == 0)
        events = np.diff(np.append(starts, len(timelines)))
        self.starts = starts[events >= self.history + rounds]
        if not len(self.starts):
            raise SystemExit("no user has rated enough films; ask for fewer --rounds")
        counts = np.bincount(timelines.item_idx, minlength=len(folder.items))
        self.popular = np.argsort(-counts, kind="stable")[: max(_POPULAR, 2 * candidates)]

    def body(self, client: int, number: int, sharing: int) -> bytes:
        """Return one request.

        Args:
            client: Index of the client.
            number: Index of the request; the client has rated as many items more.
            sharing: Number of clients per history.
        """
        first = int(self.starts[client // sharing % len(self.starts)])
        last = first + number + self.history
        if self.growing:
            last -= self.rounds - 1
        else:
            first += number
        timelines, items = self.folder.timelines, self.folder.items
        history = [
            {"item_id": items[int(index)].item_id, "rating": float(rating)}
            for index, rating in zip(
                timelines.item_idx[first:last],
                timelines.rating[first:last],
                strict=True,
            )
        ]
        random = np.random.default_rng([client, number])
        unrated = self.popular[~np.isin(self.popular, timelines.item_idx[first:last])]
        candidates = random.choice(unrated, self.candidates, replace=False)
        return json.dumps(
            {"history": history, "item_ids": [items[int(index)].item_id for index in candidates]}
        ).encode()


@contextlib.contextmanager
def served(mode: str, options: argparse.Namespace) -> Iterator[Served]:
    """Run a service in another process inside the block."""
    command = [sys.executable, "-m", "reeltune", "serve", "--port", "0"]
    command += ["--set", f"data.prepared_dir={options.prepared}"]
    command += ["--set", f"serving.timeout_s={_TIMEOUT_S}", "--set", "serving.max_requests=1000"]
    command += ["--adapter", str(options.adapter)] if options.adapter else ["--base-only"]
    if options.model:
        command += ["--set", f"model.name_or_path={options.model}"]
        command += ["--set", "quantization.load_in_4bit=false"]
    command += [word for value in options.set for word in ("--set", value)]
    environment = environment_of(options.before if mode == "before" else None)
    process = subprocess.Popen(
        [*command, *_MODES[mode]], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("serving at "):
                yield Served(mode, int(line.split()[2].rpartition(":")[2]))
                return
        raise SystemExit(f"the service ended with code {process.wait()}")
    finally:
        process.terminate()
        process.wait()


def predict(connection: http.client.HTTPConnection, body: bytes) -> tuple[float, list[float]]:
    """Return the seconds that one request took, and its predictions."""
    began = time.perf_counter()
    connection.request("POST", "/predictions", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    seconds = time.perf_counter() - began
    if response.status != 200:
        raise SystemExit(f"{response.status}: {content.decode()}")
    return seconds, [prediction["p_like"] for prediction in json.loads(content)["predictions"]]


def load(
    service: Served, requests: Requests, clients: int, sharing: int, first: int = 0
) -> tuple[dict[str, Any], npt.NDArray[np.float64]]:
    """Run all clients at once; return the figures and the predictions.

    Args:
        service: The service.
        requests: The requests of the clients.
        clients: Number of clients.
        sharing: Number of clients per history.
        first: Index of the first client.
    """
    bodies = [
        [requests.body(client, number, sharing) for number in range(requests.rounds)]
        for client in range(first, first + clients)
    ]
    together = threading.Barrier(clients + 1)

    def run_client(bodies: list[bytes]) -> list[tuple[float, list[float]]]:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=_TIMEOUT_S)
        with contextlib.closing(connection):
            connection.connect()
            together.wait()
            return [predict(connection, body) for body in bodies]

    before = batches(service)
    with ThreadPoolExecutor(clients) as pool:
        futures = [pool.submit(run_client, each) for each in bodies]
        together.wait()
        began = time.perf_counter()
        responses = [response for future in futures for response in future.result()]
        seconds = time.perf_counter() - began
    p_like = np.array([predictions for _, predictions in responses])
    milliseconds = 1000 * np.array([taken for taken, _ in responses])
    case = {
        "case": "own history" if sharing == 1 else f"{sharing} clients per history",
        "history": "growing" if requests.growing else "moving",
        "clients": clients,
        "mode": service.mode,
        "requests_per_s": len(responses) / seconds,
        "predictions_per_s": p_like.size / seconds,
        "p50_ms_of_last_requests": float(
            np.median(milliseconds.reshape(clients, requests.rounds)[:, -1])
        ),
        "p50_ms": float(np.percentile(milliseconds, 50)),
        "p99_ms": float(np.percentile(milliseconds, 99)),
        "requests_per_batch": len(responses) / (batches(service) - before),
    }
    return case, p_like


def batches(service: Served) -> float:
    """Return the number of batches a service has computed."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    (count,) = (line for line in lines if line.startswith("reeltune_batch_seconds_count "))
    return float(count.split()[1])


def compared(
    services: list[Served], requests: Requests, clients: int, sharing: int, tolerance: float
) -> Iterator[dict[str, Any]]:
    """Yield the figures of each service under the same load.

    Raises:
        SystemExit: Their predictions differ.
    """
    first: tuple[dict[str, Any], npt.NDArray[np.float64]] | None = None
    for service in services:
        case, p_like = load(service, requests, clients, sharing)
        first = first or (case, p_like)
        case["largest_difference"] = float(np.abs(p_like - first[1]).max())
        if not case["largest_difference"] <= tolerance:
            raise SystemExit(f"predictions differ by {case['largest_difference']:.2g}")
        yield case | {
            ratio_name(services[0].mode): case["predictions_per_s"] / first[0]["predictions_per_s"]
        }


def ratio_name(mode: str) -> str:
    """Return the field for the ratio of predictions per second to those of another mode."""
    return f"ratio_to_{mode.replace(' ', '_')}"


def line(case: dict[str, Any], first: str) -> str:
    """Return a case as one line of the table, whose ratios are to the first mode."""
    return (
        f"{case['case']:24} {case['clients']:3} clients {case['mode']:18}"
        f"{case['predictions_per_s']:9.1f} /s {case[ratio_name(first)]:6.2f} x   "
        f"p50 {case['p50_ms']:8.1f} ms  p99 {case['p99_ms']:8.1f} ms  "
        f"{case['requests_per_batch']:5.1f} requests per batch"
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure every load and print one table."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--adapter", type=Path, help="Run folder of the adapter to serve.")
    parser.add_argument("--model", type=Path, help="Without an adapter: the base model to serve.")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--clients-per-history", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--candidates", type=int, default=3, help="Items per request.")
    parser.add_argument("--rounds", type=int, default=4, help="Requests per client.")
    parser.add_argument(
        "--tolerance", type=float, default=0.05, help="Largest difference in P(Yes) allowed."
    )
    parser.add_argument(
        "--set", action="append", default=[], help="Overrides of the configuration."
    )
    parser.add_argument(
        "--growing", action="store_true", help="Histories grow instead of moving on."
    )
    parser.add_argument(
        "--modes", nargs="+", choices=_MODES, default=[*_MODES][:2], help="Services to compare."
    )
    parser.add_argument("--before", type=Path, help="Checkout of the version for the mode before.")
    options = parser.parse_args(arguments)
    if (options.adapter is None) == (options.model is None):
        parser.error("give either --adapter or --model")
    if ("before" in options.modes) != (options.before is not None):
        parser.error("give --before with the mode of that name")

    shown = ("adapter", "model", "clients", "clients_per_history", "candidates", "rounds", "set")
    if options.growing:
        shown += ("growing", "modes")
    command = command_line("serve_load", options, "prepared", *shown)
    folder = PreparedFolder.open(options.prepared)
    requests = Requests(folder, options.candidates, options.rounds, options.growing)
    cases: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        services = [stack.enter_context(served(mode, options)) for mode in options.modes]
        for service in services:
            # The first batches are slower. Histories of other users: a service may keep them.
            load(service, requests, max(options.clients), 1, max(options.clients))
        for sharing in options.clients_per_history:
            for clients in options.clients:
                for case in compared(services, requests, clients, sharing, options.tolerance):
                    cases.append(case)
                    print(line(case, options.modes[0]), flush=True)
                    write_result(options.result, command, cases, note=options.note)


if __name__ == "__main__":
    main()
