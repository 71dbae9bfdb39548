"""Presets are packaged, named on the command line, and written into a new project."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from reeltune.cli import app
from reeltune.config import load_config
from reeltune.config.presets import (
    CONFIGS_FOLDER,
    DEFAULT_PRESET,
    PRESETS,
    find_config,
    write_project,
)
from reeltune.errors import ConfigError
from tests.errors import raises_error

ROOT = Path(__file__).parents[2]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_folder_configs_holds_exactly_the_presets():
    """After a change of one of them, copy it: cp configs/*.yaml src/reeltune/config/presets/."""
    assert contents(ROOT / CONFIGS_FOLDER) == {
        file.name: file.read_bytes() for file in PRESETS.values()
    }


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_valid_and_found_by_name(empty: Path, name: str):
    assert find_config(Path(name)) == PRESETS[name]
    load_config(find_config(Path(name)))


def test_the_default_is_the_preset_until_there_is_a_folder_configs(empty: Path):
    assert find_config(None) == PRESETS[DEFAULT_PRESET]
    CONFIGS_FOLDER.mkdir()
    file = CONFIGS_FOLDER / f"{DEFAULT_PRESET}.yaml"
    assert find_config(None) == file
    with raises_error(ConfigError, "config_not_readable", where=str(file)):
        load_config(find_config(None))


def test_a_file_comes_before_a_preset_of_its_name(empty: Path):
    Path("demo_cpu").write_text("train: {seed: 7}")
    assert load_config(find_config(Path("demo_cpu"))).train.seed == 7


def test_an_unknown_name_is_an_error_with_the_presets(empty: Path):
    with raises_error(ConfigError, "config_not_readable", where="absent", figures=sorted(PRESETS)):
        load_config(find_config(Path("absent")))


def test_init_writes_the_presets_and_ignored_folders(empty: Path):
    done = CliRunner().invoke(app, ["init", "films"])
    assert done.exit_code == 0, done.output
    written = contents(Path("films"))
    presets = {f"configs/{file.name}": file.read_bytes() for file in PRESETS.values()}
    ignored = {f"{name}/.gitignore" for name in ("data", "models", "output")}
    assert written.keys() == presets.keys() | ignored
    assert written | presets == written
    assert all(name in done.output for name in written)


def test_init_again_changes_nothing(empty: Path):
    written = write_project(empty, overwrite=False)
    before = contents(empty)
    assert len(written) == len(before)
    assert write_project(empty, overwrite=False) == []
    assert contents(empty) == before


def test_init_replaces_a_changed_file_only_with_the_flag(empty: Path):
    preset = CONFIGS_FOLDER / "demo_cpu.yaml"
    preset.parent.mkdir()
    preset.write_text("train: {seed: 7}")
    with raises_error(ConfigError, "file_exists", where=str(preset), figures=["--overwrite"]):
        write_project(Path(), overwrite=False)
    assert contents(empty) == {str(preset): b"train: {seed: 7}"}
    assert preset in write_project(Path(), overwrite=True)
    assert preset.read_bytes() == PRESETS["demo_cpu"].read_bytes()


def test_init_keeps_other_files(empty: Path):
    (empty / "data").mkdir()
    (empty / "data" / "mine.csv").write_text("1")
    write_project(empty, overwrite=True)
    assert (empty / "data" / "mine.csv").read_text() == "1"
