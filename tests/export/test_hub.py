"""Uploads to the hub, against a local server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest

from reeltune.errors import FetchError, RunError
from reeltune.export.hub import HubTarget, check_access, files_to_upload, push
from tests.errors import error_code, raises_error
from tests.export.conftest import Trained
from tests.export.hub_server import TOKEN, Handler, Hub

REPO = "somebody/likes-films"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A running server that huggingface_hub uses as its endpoint, with a valid token."""
    state = Hub()
    handler = type("HubHandler", (Handler,), {"hub": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", state.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def exported(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "merged"
    assert trained.export(folder, "--rows", "3", "--dtype", "float32") == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("private", "revision"), [(False, None), (True, "v1")])
def test_exactly_the_files_of_the_export_are_uploaded(
    hub: Hub, exported: Path, private: bool, revision: str | None
):
    (exported / "ratings.csv").write_text("userId,movieId,rating,timestamp\n")
    lines: list[str] = []
    try:
        push(exported, HubTarget(REPO, private, revision), lines.append)
    finally:
        (exported / "ratings.csv").unlink()
    uploaded = hub.files[REPO, revision or "main"]
    assert uploaded.keys() == {file.name for file in exported.iterdir()}
    for name in uploaded.keys() - {"prompt.json", "export.json"}:
        assert uploaded[name] == (exported / name).read_bytes(), name
    assert hub.repositories == {REPO: private}
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert listed == sorted(uploaded)
    assert REPO in lines[0] and hub.url in lines[-1]


def test_records_are_uploaded_without_paths_of_this_machine(hub: Hub, exported: Path):
    push(exported, HubTarget(REPO), lambda _: None)
    files = hub.files[REPO, "main"]
    for name in files.keys() - {"model.safetensors"}:
        assert str(exported.parents[1]).encode() not in files[name], name
    uploaded, written = (
        json.loads(content)
        for content in (files["export.json"], (exported / "export.json").read_bytes())
    )
    assert uploaded["adapter"]["folder"] == Path(written["adapter"]["folder"]).name
    assert uploaded["files"]["prompt.json"]["bytes"] == len(files["prompt.json"])
    for record in (uploaded, written):
        del record["adapter"]["folder"], record["files"]["prompt.json"], record["base"]
    assert uploaded == written


def test_a_changed_export_is_not_uploaded(trained: Trained, exported: Path, tmp_path: Path):
    record = json.loads((exported / "export.json").read_text())
    for file in ("export.json", "prompt.json"):
        (tmp_path / file).write_bytes((exported / file).read_bytes())
    missing = next(name for name in record["files"] if name != "prompt.json")
    with raises_error(RunError, "export_incomplete", where=missing):
        files_to_upload(tmp_path)


def test_files_of_other_bytes_or_other_folders_are_not_uploaded(exported: Path, tmp_path: Path):
    folder = shutil.copytree(exported, tmp_path / "merged")
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with raises_error(RunError, "export_incomplete", where=weights.name):
        files_to_upload(folder)
    weights.write_bytes(content)
    record = json.loads((folder / "export.json").read_text())
    record["files"]["../secret"] = record["files"]["model.safetensors"]
    (tmp_path / "secret").write_bytes(content)
    (folder / "export.json").write_text(json.dumps(record))
    with raises_error(RunError, "export_incomplete", where="../secret"):
        files_to_upload(folder)


def test_a_public_repository_gets_nothing_private(hub: Hub, exported: Path):
    hub.repositories[REPO] = False
    with raises_error(FetchError, "repository_is_public", where=REPO):
        push(exported, HubTarget(REPO, private=True), lambda _: None)
    assert not hub.files and not hub.objects


@pytest.mark.parametrize("name", ["a b", "a/b/c", "--", "a..b", "x" * 97])
def test_an_invalid_name_is_refused_without_a_request(hub: Hub, name: str):
    with raises_error(FetchError, "invalid_repository_name", where=name):
        check_access(HubTarget(name))
    assert hub.requests == []


def test_without_a_token(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with raises_error(FetchError, "hub_token_missing", figures=["hf auth login", "HF_TOKEN"]):
        check_access(HubTarget(REPO))
    assert hub.requests == []


def test_a_wrong_token(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with raises_error(FetchError, "hub_token_refused", figures=[401]):
        check_access(HubTarget(REPO))


@pytest.mark.parametrize(
    ("end", "status", "code"),
    [
        ("/create", 401, "hub_token_refused"),
        ("/create", 403, "hub_write_refused"),
        ("/preupload/main", 404, "hub_repository_not_found"),
        ("/objects/batch", 403, "hub_write_refused"),
        ("/commit/main", 413, "hub_upload_failed"),
        ("/commit/main", 500, "hub_upload_failed"),
    ],
)
def test_statuses_of_the_hub(hub: Hub, exported: Path, end: str, status: int, code: str):
    hub.refused[end] = status
    with raises_error(FetchError, code, figures=[status]):
        push(exported, HubTarget(REPO), lambda _: None)
    assert not hub.files


def test_another_owner(hub: Hub, exported: Path):
    with raises_error(FetchError, "hub_write_refused", where="other/model", figures=[403]):
        push(exported, HubTarget("other/model"), lambda _: None)


def test_no_connection(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", nowhere)
    with raises_error(FetchError, "hub_unreachable", where=nowhere):
        check_access(HubTarget(REPO))


def test_offline_mode(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with raises_error(FetchError, "hub_offline_mode", where="HF_HUB_OFFLINE"):
        check_access(HubTarget(REPO))


@pytest.mark.slow
def test_the_command_exports_and_uploads_and_later_uploads_the_same_again(
    hub: Hub, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    flags = ("--rows", "3", "--dtype", "float32", "--push-to-hub", REPO, "--private")
    hub.refused["/commit/main"] = 500
    assert trained.export(tmp_path / "merged", *flags) == FetchError.exit_code
    assert error_code(capsys.readouterr().err) == "hub_upload_failed"
    weights = tmp_path / "merged" / "model.safetensors"
    written = weights.stat().st_mtime_ns
    hub.refused.clear()
    assert trained.export(tmp_path / "merged", *flags) == 0
    assert weights.stat().st_mtime_ns == written
    assert hub.files[REPO, "main"]["model.safetensors"] == weights.read_bytes()
    assert hub.repositories == {REPO: True}
    # Another export needs --overwrite as ever.
    other = ("--rows", "3", "--dtype", "bfloat16", "--push-to-hub", REPO)
    assert trained.export(tmp_path / "merged", *other) == RunError.exit_code


@pytest.mark.slow
def test_a_process_uses_the_endpoint_and_the_token_of_the_environment(
    hub: Hub, trained: Trained, exported: Path
):
    flags = ["--adapter", str(trained.adapter), "--merged", str(exported), "--dtype", "float32"]
    changes = [word for override in trained.overrides for word in ("--set", override)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "reeltune", "export", "--config", os.devnull),
            *(*flags, *changes, "--push-to-hub", REPO),
        ],
        env={
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": TOKEN,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert hub.files[REPO, "main"].keys() == {file.name for file in exported.iterdir()}
    assert TOKEN not in done.stdout + done.stderr


def test_flags_without_effect_are_refused(trained: Trained, tmp_path: Path, capsys):
    assert trained.export(tmp_path / "merged", "--private") == FetchError.exit_code
    assert error_code(capsys.readouterr().err) == "option_without_effect"
    assert not (tmp_path / "merged").exists()


def test_a_refused_token_ends_the_command_before_the_merge(
    hub: Hub, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    flags = ("--push-to-hub", REPO)
    assert trained.export(tmp_path / "merged", *flags) == FetchError.exit_code
    assert not (tmp_path / "merged").exists()
