"""The example queries a server in vLLM's format, and reads reeltune's predictions.

The small server here answers as vLLM 0.32 does: it concatenates query and item, drops what is too
long in silence, and returns the probability of the first label.
"""

from __future__ import annotations

import json
import os
import runpy
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import requests
import torch

import reeltune
from reeltune.api.recommender import Recommender
from reeltune.cli import main
from reeltune.config import load_config
from reeltune.data.folder import PreparedFolder
from reeltune.training.train import train
from tests.elsewhere.conftest import outspoken
from tests.elsewhere.snippets import EXAMPLES
from tests.helpers import Kind, tiny_model
from tests.runs import tiny_config, tiny_overrides

SCRIPT = EXAMPLES / "vllm_scoring.py"
TOLERANCE, VLLM_TOLERANCE = 1e-5, 5e-5
"""What the page states for float32: only the order of sums differs."""

VLLM = os.environ.get("REELTUNE_TEST_VLLM", "")
"""A folder with a CPU build of vLLM: ``pip install --target``."""


@dataclass(frozen=True)
class Case:
    run: Path
    prepared: Path
    recommender: Recommender
    pairs: pl.DataFrame

    def query(self, url: str, model: str, file: Path) -> pl.DataFrame:
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
        found = case.query(server.url, "films", tmp_path / "pairs.csv")
    expected = case.recommender.predict(case.pairs)
    assert found.drop("p_yes").equals(case.pairs)
    np.testing.assert_allclose(found["p_yes"], expected["p_yes"], rtol=0, atol=TOLERANCE)
    assert np.ptp(expected["p_yes"].to_numpy()) > 100 * TOLERANCE
    # Candidates share the history, which is sent once.
    assert max(len(body["items"]) for body in server.bodies) > 1
    assert all(len(body["query"]) > max(map(len, body["items"])) for body in server.bodies)


@pytest.mark.slow
def test_a_prompt_that_the_server_would_cut_is_refused(case: Case, tmp_path):
    with serving(case, 40) as server:
        with pytest.raises(SystemExit, match="tokens"):
            case.query(server.url, "films", tmp_path / "pairs.csv")
        assert not server.bodies
        with pytest.raises(SystemExit, match="serves base, films"):
            case.query(server.url, "books", tmp_path / "pairs.csv")


@contextmanager
def vllm(*args: str) -> Iterator[str]:
    """Start vLLM on a CPU and yield its address once it serves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    cpu = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--dtype", "float32"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--enforce-eager"]
    command += ["--max-model-len", "1024", *args]
    environment = os.environ | quiet | cpu | {"PYTHONPATH": VLLM}
    with subprocess.Popen(command, env=environment) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(300):
                assert process.poll() is None, "the server has ended"
                try:
                    if requests.get(f"{url}/health", timeout=5).ok:
                        break
                except requests.RequestException:
                    time.sleep(1)
            yield url
        finally:
            process.terminate()


@pytest.mark.slow
@pytest.mark.skipif(not VLLM, reason="REELTUNE_TEST_VLLM names no folder with vLLM")
@pytest.mark.parametrize(("kind", "served"), [("llama", "adapter"), ("qwen3", "merged")])
def test_vllm_predicts_as_reeltune(kind: Kind, served: str, prepared, tmp_path):
    tiny = tiny_model(tmp_path / "tiny", kind, head_dim=32)  # the smallest head that vLLM has
    base = outspoken(tiny, tmp_path / "base", kind)
    overrides = tiny_overrides(base, prepared.path, tmp_path, prompt__form="interview")
    run = train(load_config(None, overrides))
    case = Case(run, prepared.path, reeltune.load(run), some_pairs(prepared))
    args = ["--model", str(base), "--enable-lora", "--lora-modules", f"films={run}"]
    if served == "merged":
        case = replace(case, run=tmp_path / "merged")
        sets = [part for override in overrides for part in ("--set", override)]
        flags = ["--adapter", str(run), "--merged", str(case.run), "--dtype", "float32"]
        with pytest.raises(SystemExit):
            main(["export", "--config", os.devnull, *sets, *flags, "--rows", "4", "--allow-drift"])
        args = ["--model", str(case.run), "--served-model-name", "films"]
    with vllm(*args) as url:
        found = case.query(url, "films", tmp_path / "pairs.csv")["p_yes"].to_numpy()
        if served == "merged":
            request = json.loads((case.run / "generative_scoring.json").read_text())
            answer = requests.post(f"{url}/generative_scoring", json=request, timeout=60).json()
            expected = json.loads((case.run / "export.json").read_text())["example_p_yes"]
            assert answer["data"][0]["score"] == pytest.approx(expected, abs=VLLM_TOLERANCE)
    predicted = case.recommender.predict(case.pairs)["p_yes"].to_numpy()
    print("largest difference:", np.abs(found - predicted).max())
    np.testing.assert_allclose(found, predicted, rtol=0, atol=VLLM_TOLERANCE)
    with case.recommender.predictor.loaded.without_adapter():
        untuned = case.recommender.predict(case.pairs)["p_yes"].to_numpy()
    assert np.abs(untuned - predicted).max() > 100 * VLLM_TOLERANCE
