"""Commands on local files make no request, even where a hub answers every one of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from reeltune.runs.folder import ADAPTER_WEIGHTS
from tests.errors import error_codes
from tests.models.test_moved_run import WEIGHTS, home, moved, settings_of

__all__ = ["home", "moved"]  # fixtures

# Runs commands, then loads a tokenizer by its name on the hub; no address but loopback is reached.
_COMMANDS = """
import json, sys
used = []
def hook(event, arguments):
    if event in ("socket.getaddrinfo", "socket.connect", "socket.gethostbyname"):
        address = arguments[1] if event == "socket.connect" else arguments
        if not isinstance(address, tuple) or address[0] not in ("127.0.0.1", "localhost"):
            used.append(f"{event} {arguments}")
            raise OSError("no network")
sys.addaudithook(hook)
from reeltune.cli import main
import reeltune.serve.server

def run(app, listener, serving):
    from starlette.testclient import TestClient
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.get("/").status_code == 200

reeltune.serve.server.run = run
for command, expected in json.loads(sys.argv[1]):
    try:
        main(command)
    except SystemExit as left:
        assert (left.code or 0) == expected, (command, left.code)
from reeltune.models.pretrained import load_tokenizer
assert load_tokenizer("another/control").name_or_path == "another/control"
assert not used, used
"""


class Hub(ThreadingHTTPServer):
    """A hub that has every file of every name: those of a model, and an adapter's weights."""

    def __init__(self, files: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.requests: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""

    def do_GET(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        file = self.server.files.get(self.path.rpartition("/")[2])
        body = b"{}" if file is None else file.read_bytes()
        unknown = file is None and "/resolve/" in self.path
        self.send_response(404 if unknown else 200)
        self.send_header("X-Repo-Commit", "1" * 40)
        self.send_header("ETag", f'"{len(body)}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_GET  # noqa: N815


@pytest.fixture
def hub(moved: Path) -> Iterator[Hub]:
    model = {file.name: file for file in (moved / "models" / "tiny").iterdir()}
    adapter = {file.name: file for file in (moved / "output" / "run").glob("adapter_*")}
    with Hub(adapter | model) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.slow
def test_commands_on_local_files_make_no_request(hub, moved, prepared, tmp_path):
    run, user = moved / "output" / "run", str(prepared.ratings.user_id[0])
    settings = ["--config", os.devnull, *settings_of(prepared, moved)]
    common = [*settings, "--adapter", str(run)]
    base = [*settings, "--set", f"model.name_or_path={moved / 'models' / 'tiny'}"]
    again = ["--set", "train.output_dir=again", "--set", "train.max_steps=1"]
    # What follows are folders here, and names that the hub has as well.
    without_weights = shutil.copytree(run, tmp_path / "somebody" / "adapter")
    (without_weights / ADAPTER_WEIGHTS).unlink()
    incomplete = shutil.copytree(moved / "models" / "tiny", tmp_path / "somebody" / "model")
    (incomplete / WEIGHTS).unlink()
    foreign = [*settings, "--adapter", "somebody/adapter"]
    parts = ["--set", "train.output_dir=parts", "--set", "model.name_or_path=somebody/model"]
    commands = [
        (["recommend", *common, "--user", user, "--candidates", "5"], 0),
        (["evaluate", *common, "--no-baselines", "--ablations", "0"], 0),
        (["compare", *common, "--samples", "0"], 0),
        (["score", *common, "--top", "3", str(moved / "scores")], 0),
        (["serve", *common, "--port", "0"], 0),
        (["export", *common, "--merged", str(moved / "merged"), "--rows", "5", "--allow-drift"], 0),
        (["lengths", *base], 0),
        (["train", *base, *again], 0),
        (["recommend", *foreign, "--user", user, "--base", str(moved / "models" / "tiny")], 6),
        (["train", *settings, *parts], 6),
        (["lengths", *settings, "--set", "model.name_or_path=somebody/absent"], 6),
    ]
    # The tests' setting against the hub is left out, and CI, where TRL reports nothing.
    kept = {name: value for name, value in os.environ.items() if "OFFLINE" not in name}
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    kept |= {"HF_HOME": str(moved / "cache"), "HF_ENDPOINT": endpoint, "CI": ""}
    done = subprocess.run(
        [sys.executable, "-c", _COMMANDS, json.dumps(commands)],
        env=kept,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert error_codes(done.stderr) == [
        "adapter_not_found",
        "model_folder_incomplete",
        "model_folder_missing",
    ]
    assert (run / "evaluation" / "report.html").is_file()
    assert (moved / "merged" / WEIGHTS).is_file()
    assert hub.requests  # for the tokenizer
    assert [line for line in hub.requests if "another/control" not in line] == []
