"""What gathering is worth: many clients of `reeltune serve`, gathered and one at a time.

Two services run the same model on loopback, each in a process of its own. One gathers what waits
into shared passes, the other answers one question in a pass (`serving.max_batch_queries=1`). Every
client asks again as soon as it is answered, over one connection that stays open. Clients have a
history each, and rate one more film before they ask again; or several ask after one history, as a
page does that asks film by film. Both services are asked the same, and their verdicts must be equal
before their rates are compared.

    python -m benchmarks.serve_load --adapter output/demo --prepared data/demo --result FILE
    python -m benchmarks.serve_load --model models/smollm2-135m --prepared data/demo

Where histories differ, a pass computes as many tokens as its requests would alone. Gathering then
saves what a pass costs besides: all of it on a GPU or with a small model, next to nothing where a
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
from reeltune.data.folder import PreparedFolder

_MODES: Final = {"one at a time": ["--set", "serving.max_batch_queries=1"], "gathered": []}
_PATIENCE_S: Final = 3600
_POPULAR: Final = 200
"""How many of the most rated films clients ask about."""


class Served(NamedTuple):
    """A running service: whether it gathers, and where on loopback it listens."""

    mode: str
    port: int


class Requests:
    """What clients ask.

    Args:
        folder: The films and their ratings.
        candidates: How many films one request asks about.
        rounds: How often each client asks.
    """

    def __init__(self, folder: PreparedFolder, candidates: int, rounds: int) -> None:
        self.folder, self.candidates, self.rounds = folder, candidates, rounds
        timelines, self.history = folder.timelines, folder.history_len
        starts = np.flatnonzero(timelines.position == 0)
        events = np.diff(np.append(starts, len(timelines)))
        self.starts = starts[events >= self.history + rounds]
        if not len(self.starts):
            raise SystemExit("no user has rated enough films; ask for fewer --rounds")
        counts = np.bincount(timelines.item_idx, minlength=len(folder.items))
        self.popular = np.argsort(-counts, kind="stable")[: max(_POPULAR, candidates)]

    def body(self, client: int, turn: int, sharing: int) -> bytes:
        """Return one request.

        Args:
            client: Who asks.
            turn: How often it has asked before: so many films it has rated since.
            sharing: How many clients ask after the same history.
        """
        first = int(self.starts[client // sharing % len(self.starts)]) + turn
        timelines, items = self.folder.timelines, self.folder.items
        rated = [
            {"item_id": items[int(row)].item_id, "rating": float(rating)}
            for row, rating in zip(
                timelines.item_idx[first : first + self.history],
                timelines.rating[first : first + self.history],
                strict=True,
            )
        ]
        random = np.random.default_rng([client, turn])
        asked = random.choice(self.popular, self.candidates, replace=False)
        return json.dumps(
            {"rated": rated, "item_ids": [items[int(row)].item_id for row in asked]}
        ).encode()


@contextlib.contextmanager
def served(mode: str, options: argparse.Namespace) -> Iterator[Served]:
    """Run a service in a process of its own inside the block."""
    command = [sys.executable, "-m", "reeltune", "serve", "--port", "0"]
    command += ["--set", f"data.prepared_dir={options.prepared}"]
    command += ["--set", f"serving.timeout_s={_PATIENCE_S}", "--set", "serving.max_requests=1000"]
    command += ["--adapter", str(options.adapter)] if options.adapter else ["--base-only"]
    if options.model:
        command += ["--set", f"model.name_or_path={options.model}"]
        command += ["--set", "quantization.load_in_4bit=false"]
    command += [word for value in options.set for word in ("--set", value)]
    process = subprocess.Popen([*command, *_MODES[mode]], stdout=subprocess.PIPE, text=True)
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


def ask(connection: http.client.HTTPConnection, body: bytes) -> tuple[float, list[float]]:
    """Return the seconds one request took, and the verdicts it was answered with."""
    began = time.perf_counter()
    connection.request("POST", "/verdicts", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    seconds = time.perf_counter() - began
    if answer.status != 200:
        raise SystemExit(f"{answer.status}: {content.decode()}")
    return seconds, [one["p_like"] for one in json.loads(content)["verdicts"]]


def load(
    service: Served, requests: Requests, clients: int, sharing: int
) -> tuple[dict[str, Any], npt.NDArray[np.float64]]:
    """Let clients ask, all at once and each again and again; return the figures and the verdicts.

    Args:
        service: What is asked.
        requests: What is asked of it.
        clients: How many ask.
        sharing: How many of them ask after the same history.
    """
    turns = range(requests.rounds)
    bodies = [[requests.body(client, turn, sharing) for turn in turns] for client in range(clients)]
    together = threading.Barrier(clients + 1)

    def client(own: list[bytes]) -> list[tuple[float, list[float]]]:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=_PATIENCE_S)
        with contextlib.closing(connection):
            connection.connect()
            together.wait()
            return [ask(connection, body) for body in own]

    before = passes(service)
    with ThreadPoolExecutor(clients) as pool:
        asking = [pool.submit(client, own) for own in bodies]
        together.wait()
        began = time.perf_counter()
        answers = [answer for future in asking for answer in future.result()]
        seconds = time.perf_counter() - began
    p_like = np.array([verdicts for _, verdicts in answers])
    milliseconds = 1000 * np.array([taken for taken, _ in answers])
    case = {
        "case": "a history each" if sharing == 1 else f"{sharing} clients to a history",
        "clients": clients,
        "answered": service.mode,
        "requests_per_s": len(answers) / seconds,
        "verdicts_per_s": p_like.size / seconds,
        "p50_ms": float(np.percentile(milliseconds, 50)),
        "p99_ms": float(np.percentile(milliseconds, 99)),
        "requests_per_pass": len(answers) / (passes(service) - before),
    }
    return case, p_like


def passes(service: Served) -> float:
    """Return how many passes a service has computed."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    (count,) = (line for line in lines if line.startswith("reeltune_batch_seconds_count "))
    return float(count.split()[1])


def compared(
    services: list[Served], requests: Requests, clients: int, sharing: int, tolerance: float
) -> Iterator[dict[str, Any]]:
    """Give the figures of all services under one load.

    Raises:
        SystemExit: Their verdicts differ.
    """
    first: tuple[dict[str, Any], npt.NDArray[np.float64]] | None = None
    for service in services:
        case, p_like = load(service, requests, clients, sharing)
        first = first or (case, p_like)
        case["largest_difference"] = float(np.abs(p_like - first[1]).max())
        if not case["largest_difference"] <= tolerance:
            raise SystemExit(f"verdicts differ by {case['largest_difference']:.2g}")
        yield case | {"ratio_to_one_at_a_time": case["verdicts_per_s"] / first[0]["verdicts_per_s"]}


def line(case: dict[str, Any]) -> str:
    """Return a case as one line of the table."""
    return (
        f"{case['case']:24} {case['clients']:3} clients {case['answered']:14}"
        f"{case['verdicts_per_s']:9.1f} /s {case['ratio_to_one_at_a_time']:6.2f} x   "
        f"p50 {case['p50_ms']:8.1f} ms  p99 {case['p99_ms']:8.1f} ms  "
        f"{case['requests_per_pass']:5.1f} requests in a pass"
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure every load and print one table."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--adapter", type=Path, help="A run; its model is served with it.")
    parser.add_argument("--model", type=Path, help="Without an adapter: the base model to serve.")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--clients-per-history", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--candidates", type=int, default=3, help="Films of one request.")
    parser.add_argument("--rounds", type=int, default=4, help="Requests of one client.")
    parser.add_argument("--tolerance", type=float, default=0.05, help="Of P(Yes), for rounding.")
    parser.add_argument("--set", action="append", default=[], help="As reeltune serve takes it.")
    options = parser.parse_args(arguments)
    if (options.adapter is None) == (options.model is None):
        parser.error("give either --adapter or --model")

    shown = ("adapter", "model", "clients", "clients_per_history", "candidates", "rounds", "set")
    command = command_line("serve_load", options, "prepared", *shown)
    requests = Requests(PreparedFolder.open(options.prepared), options.candidates, options.rounds)
    cases: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        services = [stack.enter_context(served(mode, options)) for mode in _MODES]
        for service in services:
            load(service, requests, max(options.clients), 1)  # the first passes are slower
        for sharing in options.clients_per_history:
            for clients in options.clients:
                for case in compared(services, requests, clients, sharing, options.tolerance):
                    cases.append(case)
                    print(line(case), flush=True)
                    write_result(options.result, command, cases, note=options.note)


if __name__ == "__main__":
    main()
