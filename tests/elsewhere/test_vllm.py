"""The example asks a server in vLLM's format, and reads reeltune's predictions.

The small server here answers as vLLM 0.32 does: it concatenates query and item, drops what is too
long in silence, and returns the probability of the first label.
"""

from __future__ import annotations

import json
import runpy
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import reeltune
from reeltune.api.recommender import Recommender
from reeltune.data.folder import PreparedFolder
from reeltune.training.train import train
from tests.elsewhere.conftest import outspoken
from tests.elsewhere.snippets import EXAMPLES
from tests.runs import tiny_config

SCRIPT = EXAMPLES / "vllm_scoring.py"
TOLERANCE = 1e-5
"""What the page states for float32: only the order of sums differs."""


@dataclass(frozen=True)
class Case:
    run: Path
    prepared: Path
    recommender: Recommender
    pairs: pl.DataFrame

    def ask(self, url: str, model: str, file: Path) -> pl.DataFrame:
        """Run the script and return what it prints."""
        self.pairs.write_csv(file)
        args = [url, model, str(self.run), str(self.prepared), str(file)]
        printed = StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [SCRIPT.name, *args])
            patch.setattr(sys, "stdout", printed)
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return pl.read_csv(StringIO(printed.getvalue()))


@pytest.fixture(
    scope="module",
    params=[("window", []), ("interview", ["recent"])],
    ids=["window", "interview with signals"],
)
def case(request, prepared, tiny_llama, tmp_path_factory) -> Case:
    form, signals = request.param
    work = tmp_path_factory.mktemp("vllm")
    base = outspoken(tiny_llama, work / "base", "llama")
    changes = {"prompt__form": form, "prompt__signals": signals, "train__max_steps": 2}
    run = train(tiny_config(base, prepared.path, work, **changes))
    return Case(run, prepared.path, reeltune.load(run), some_pairs(prepared))


def some_pairs(folder: PreparedFolder) -> pl.DataFrame:
    """Of each of a few users, two items they rated, and two others, which share a history."""
    timelines, pairs = folder.timelines, []
    for user in np.unique(timelines.user_id)[:3]:
        rated = timelines.item_idx[timelines.user_id == user]
        others = np.setdiff1d(np.arange(len(folder.item_keys)), rated)
        chosen = folder.item_keys[np.concatenate([rated[-2:], others[:2]])]
        pairs += [(int(user), int(item)) for item in chosen]
    return pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row")


class Server(ThreadingHTTPServer):
    """Serves a model under the name ``films`` beside its base."""

    def __init__(self, model: Any, max_model_len: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.model, self.max_model_len = model, max_model_len
        self.bodies: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def score(self, prompt: list[int], labels: list[int]) -> float:
        with torch.no_grad():
            logits = self.model(input_ids=torch.tensor([prompt])).logits[0, -1, labels]
        return logits.double().softmax(0)[0].item()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        assert self.path == "/v1/models"
        base = {"id": "base", "parent": None, "max_model_len": self.server.max_model_len}
        adapter = {"id": "films", "parent": "base", "max_model_len": None}
        self.answer(200, {"object": "list", "data": [base, adapter]})

    def do_POST(self) -> None:
        assert self.path == "/generative_scoring"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        room = self.server.max_model_len - 1
        prompts = [(body["query"] + item)[:room] for item in body["items"]]
        data = [
            {"index": i, "object": "score", "score": self.server.score(p, body["label_token_ids"])}
            for i, p in enumerate(prompts)
        ]
        read = sum(map(len, prompts))
        usage = {"prompt_tokens": read, "total_tokens": read + len(data)}
        self.answer(200, {"model": body["model"], "data": data[::-1], "usage": usage})

    def answer(self, status: int, content: dict[str, Any]) -> None:
        encoded = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serving(case: Case, max_model_len: int) -> Iterator[Server]:
    with Server(case.recommender.predictor.loaded.model, max_model_len) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_the_example_reads_the_adapters_predictions(case: Case, tmp_path):
    longest = case.recommender.predictor.longest_prompt
    with serving(case, longest) as server:
        told = case.ask(server.url, "films", tmp_path / "pairs.csv")
    expected = case.recommender.predict(case.pairs)
    assert told.drop("p_yes").equals(case.pairs)
    np.testing.assert_allclose(told["p_yes"], expected["p_yes"], rtol=0, atol=TOLERANCE)
    assert np.ptp(expected["p_yes"].to_numpy()) > 100 * TOLERANCE
    # Candidates share the history, which is sent once.
    assert max(len(body["items"]) for body in server.bodies) > 1
    assert all(len(body["query"]) > max(map(len, body["items"])) for body in server.bodies)


@pytest.mark.slow
def test_a_prompt_that_the_server_would_cut_is_refused(case: Case, tmp_path):
    with serving(case, 40) as server:
        with pytest.raises(SystemExit, match="tokens"):
            case.ask(server.url, "films", tmp_path / "pairs.csv")
        assert not server.bodies
        with pytest.raises(SystemExit, match="serves base, films"):
            case.ask(server.url, "books", tmp_path / "pairs.csv")
