"""A run in another folder finds its base model beside it, checks it, and asks no network."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from reeltune.cli import main
from reeltune.config.model_sections import ModelSection
from reeltune.errors import ModelError
from reeltune.models.base_identity import base_record, is_path, weights_digest
from reeltune.models.loaded_model import as_trained
from reeltune.models.pretrained import load_tokenizer
from reeltune.runs.folder import RUN_FILE, RunFolder
from reeltune.training.train import train
from tests.errors import error_code, raises_error
from tests.runs import of_a_file, tiny_config, tiny_overrides

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def home(tiny_qwen3, prepared, tmp_path_factory) -> Path:
    """A folder with ``models/tiny`` and a finished run on it, ``output/run``."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(tiny_qwen3, home / "models" / "tiny")
    changes: dict[str, Any] = {"train__output_dir": home / "output" / "run", "train__max_steps": 2}
    train(tiny_config(home / "models" / "tiny", prepared.path, home, **changes))
    return home


@pytest.fixture
def moved(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the folder, while the original is not accessible by its path."""
    shutil.copytree(home, tmp_path / "moved")
    aside = home.with_name(f"{home.name}-aside")
    home.rename(aside)
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "moved"
    aside.rename(home)


def settings_of(prepared: Any, work: Path) -> list[str]:
    """The overrides of a short run that do not name its base model."""
    overrides = tiny_overrides(Path("unused"), prepared.path, work, evaluation__max_examples=20)
    kept = [text for text in overrides if not text.startswith(("model.", "train.output_dir"))]
    return [part for text in kept for part in ("--set", text)]


def change_weights(base: Path) -> None:
    """Change one weight of a model."""
    weights = load_file(base / WEIGHTS)
    name = next(iter(weights))
    save_file(weights | {name: weights[name] + 1}, base / WEIGHTS, {"format": "pt"})


def change_record(run: Path, **values: Any) -> None:
    """Change entries of ``run.json``; None removes one."""
    record = json.loads((run / RUN_FILE).read_text()) | values
    kept = {name: value for name, value in record.items() if value is not None}
    (run / RUN_FILE).write_text(json.dumps(kept))


@pytest.mark.slow
def test_the_record_names_the_base_relative_to_the_run_with_the_digest_of_its_weights(home):
    base = json.loads((home / "output" / "run" / RUN_FILE).read_text())["base"]
    file = hashlib.sha256((home / "models" / "tiny" / WEIGHTS).read_bytes()).hexdigest()
    listing = f"{file}  {WEIGHTS}\n"
    assert base == {
        "path": "../../models/tiny",
        "sha256": hashlib.sha256(listing.encode()).hexdigest(),
    }


def test_the_digest_depends_on_names_and_content_of_safetensors_files_only(tmp_path):
    (tmp_path / "b.safetensors").write_bytes(b"two")
    (tmp_path / "a.safetensors").write_bytes(b"one")
    before = weights_digest(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert weights_digest(tmp_path) == before
    (tmp_path / "a.safetensors").rename(tmp_path / "c.safetensors")
    assert weights_digest(tmp_path) != before
    assert weights_digest(tmp_path / "empty") is None


def test_other_weights_of_the_same_size_and_time_have_another_digest(tmp_path):
    weights, other = tmp_path / "a.safetensors", tmp_path / "other"
    for file, content in ((weights, b"one"), (other, b"two")):
        file.write_bytes(content)
        os.utime(file, ns=(0, 0))
    before = weights_digest(tmp_path)
    other.replace(weights)
    assert weights_digest(tmp_path) != before


def test_a_model_on_the_hub_is_recorded_with_its_commit(tmp_path, monkeypatch):
    repository, commit = tmp_path / "models--owner--name", "0" * 40
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    (snapshot / "config.json").write_text("{}")
    (snapshot / WEIGHTS).write_bytes(b"weights")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    record = base_record(ModelSection(name_or_path="owner/name"), tmp_path)
    expected = {"name": "owner/name", "revision": commit, "sha256": weights_digest(snapshot)}
    assert record == expected
    other = base_record(ModelSection(name_or_path="owner/other"), tmp_path)
    assert other == {"name": "owner/other", "revision": None, "sha256": None}


def test_a_run_on_a_hub_model_loads_the_recorded_commit(home, prepared, tmp_path):
    run = shutil.copytree(home / "output" / "run", tmp_path / "run")
    change_record(run, base={"name": "owner/name", "revision": "abc", "sha256": None})
    section = as_trained(of_a_file(tiny_config(tmp_path, prepared.path, tmp_path)), run).model
    assert (section.name_or_path, section.revision) == ("owner/name", "abc")


def test_a_missing_base_is_an_error_with_its_expected_folder(moved, prepared):
    shutil.rmtree(moved / "models")
    config = of_a_file(tiny_config(moved, prepared.path, moved))
    with raises_error(ModelError, "base_not_found", where=str(moved / "models" / "tiny")):
        as_trained(config, moved / "output" / "run")


def test_a_base_given_explicitly_is_loaded_if_its_weights_are_the_same(moved, prepared):
    (moved / "models" / "tiny").rename(moved / "elsewhere")
    config = tiny_config(moved / "elsewhere", prepared.path, moved)
    section = as_trained(config, moved / "output" / "run").model
    assert section.name_or_path == str(moved / "elsewhere")
    change_weights(moved / "elsewhere")
    with raises_error(ModelError, "base_differs", where=str(moved / "elsewhere")):
        as_trained(config, moved / "output" / "run")


def test_changed_weights_at_the_recorded_place_are_refused(moved, prepared):
    change_weights(moved / "models" / "tiny")
    with raises_error(ModelError, "base_differs"):
        as_trained(of_a_file(tiny_config(moved, prepared.path, moved)), moved / "output" / "run")


@pytest.mark.parametrize(
    "command", ["recommend", "score", "serve", "evaluate", "compare", "export"]
)
@pytest.mark.parametrize("flag", ["--base", "--set"])
def test_every_command_obeys_the_given_base(command, flag, home, prepared, tmp_path, capsys):
    other = shutil.copytree(home / "models" / "tiny", tmp_path / "other")
    change_weights(other)
    value = str(other) if flag == "--base" else f"model.name_or_path={other}"
    arguments = {
        "recommend": ["--user", str(prepared.ratings.user_id[0])],
        "score": ["--top", "3", str(tmp_path / "scores")],
        "serve": ["--port", "0"],
        "export": ["--merged", str(tmp_path / "merged")],
    }.get(command, [])
    run = home / "output" / "run"
    common = ["--config", os.devnull, "--adapter", str(run), *settings_of(prepared, tmp_path)]
    with pytest.raises(SystemExit) as ended:
        main([command, *arguments, *common, flag, value])
    assert ended.value.code
    stderr = capsys.readouterr().err
    assert error_code(stderr) == "base_differs"
    assert str(other) in stderr


@pytest.mark.slow
def test_base_and_columns_are_named_once(home, prepared, tmp_path, capsys):
    known = prepared.ratings
    (tmp_path / "in.csv").write_text(f"who,item_id\n{known.user_id[0]},{prepared.item_keys[0]}\n")
    paths = [str(tmp_path / name) for name in ("in.csv", "out")]
    flags = ["--columns", "user=who", "--adapter", str(home / "output" / "run")]
    common = ["--config", os.devnull, *settings_of(prepared, tmp_path)]
    with pytest.raises(SystemExit) as ended:
        main(["score", *paths, *flags, *common])
    assert not ended.value.code
    lines = capsys.readouterr().out.splitlines()
    assert sum("weights as in training" in line for line in lines) == 1
    assert [line.split(": ", 1)[1] for line in lines if "columns: " in line] == [
        "user=who, item=item_id"
    ]


def test_a_base_that_is_no_folder_is_refused_at_once(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["compare", "--config", os.devnull, "--base", str(tmp_path / "absent")])
    assert error_code(capsys.readouterr().err) == "model_folder_missing"


def test_a_record_without_base_is_read_as_before(home, prepared, tmp_path):
    run = shutil.copytree(home / "output" / "run", tmp_path / "run")
    change_record(run, base=None)
    config = of_a_file(tiny_config(tmp_path, prepared.path, tmp_path))
    assert as_trained(config, run).model == RunFolder(run).config().model
    other = shutil.copytree(home / "models" / "tiny", tmp_path / "other")
    change_weights(other)
    given = tiny_config(other, prepared.path, tmp_path)
    assert as_trained(given, run).model.name_or_path == str(other)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("Qwen/Qwen3-0.6B", False),
        ("gpt2", False),
        ("models/smollm2-135m", True),
        ("./gpt2", True),
        ("~/gpt2", True),
        ("/models/gpt2", True),
        ("output/run/merged", True),
        ("gpt2/", True),
        ("present/absent", True),
    ],
)
def test_paths_are_distinguished_from_names_on_the_hub(name, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "present").mkdir()
    assert is_path(name) == path
    assert not is_path("present/absent", revision="main")


def test_the_hub_is_not_asked_for_a_path_that_does_not_exist(tmp_path):
    with raises_error(ModelError, "model_folder_missing", where=str(tmp_path / "absent")):
        load_tokenizer(str(tmp_path / "absent"))


@pytest.mark.parametrize("command", ["compare", "evaluate", "export"])
def test_a_folder_without_run_is_refused_before_the_data_are_opened(command, tmp_path, capsys):
    flags = ["--merged", str(tmp_path / "merged")] if command == "export" else []
    absent = f"data.prepared_dir={tmp_path / 'absent'}"
    adapter = ["--adapter", str(tmp_path / "run"), "--set", absent]
    with pytest.raises(SystemExit):
        main([command, "--config", os.devnull, *flags, *adapter])
    stderr = capsys.readouterr().err
    assert error_code(stderr) == "adapter_not_found"
    assert "reeltune train" in stderr
