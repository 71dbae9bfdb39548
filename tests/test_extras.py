"""The core works without the extras, and a command names the extra it misses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest

from reeltune.data.folder import PreparedFolder
from reeltune.errors import MissingExtraError
from reeltune.extras import EXTRAS, Extra, Tracker, require
from reeltune.offline.synthetic import make_synthetic
from tests.errors import error_code, raises_error
from tests.runs import tiny_overrides

ROOT = Path(__file__).parents[1]

BLOCKED = """
import json, sys

blocked, commands = map(json.loads, sys.argv[1:])
for name in blocked:
    sys.modules[name] = None
from reeltune.cli import main

for command in commands:
    try:
        main(command)
    except SystemExit as left:
        if left.code:
            raise
"""


def reeltune(
    folder: Path, blocked: Sequence[str], *commands: list[str]
) -> subprocess.CompletedProcess[str]:
    """Run commands in an interpreter that cannot import some modules, until one fails."""
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, json.dumps(blocked), json.dumps(commands)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_extras_are_those_of_the_package_with_the_modules_of_their_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    trackers = set(get_args(Tracker)) - {"tensorboard"}
    others = trackers | {"all", "dev", "docs"}
    of_all = [extra for extra in EXTRAS if extra != "cluster"]
    assert set(EXTRAS) == set(get_args(Extra)) == optional.keys() - others
    assert trackers <= optional.keys()
    assert optional["all"] == [f"reeltune[{','.join(of_all)}]"]
    for extra, modules in EXTRAS.items():
        names = sorted(re.split(r">=|\[", line)[0].replace("-", "_") for line in optional[extra])
        assert names == sorted(modules)


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_missing_module_is_named_with_the_extra(extra: Extra, monkeypatch: pytest.MonkeyPatch):
    if extra != "cluster":  # the others are all installed where the tests run
        require(extra)
    monkeypatch.setitem(sys.modules, EXTRAS[extra][-1], None)
    figures = [f'pip install "reeltune[{extra}]"']
    with raises_error(MissingExtraError, "missing_extra", where=EXTRAS[extra][-1], figures=figures):
        require(extra)


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["train"], "train"),
        (["train", "--dry-run"], "train"),
        (["serve"], "serve"),
        (["evaluate"], "report"),
        (["tune"], "tune"),
        (["score", "out", "--top", "1", "--base-only", "--ray", "local"], "cluster"),
    ],
)
def test_a_command_without_its_extra_ends_with_an_error(
    tmp_path: Path, command: list[str], extra: Extra
):
    done = reeltune(tmp_path, EXTRAS[extra], command)
    assert done.returncode == MissingExtraError.exit_code
    assert error_code(done.stderr) == "missing_extra"
    assert f'pip install "reeltune[{extra}]"' in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_the_core_prepares_measures_scores_and_recommends(tmp_path: Path, tiny_qwen3: Path):
    make_synthetic(tmp_path / "ratings", users=12, items=40, ratings_per_user=30)
    overrides = tiny_overrides(tiny_qwen3, Path("prepared"), Path("work"))
    settings = [word for value in overrides for word in ("--set", value)]
    every = [module for modules in EXTRAS.values() for module in modules]
    shares = ["--val-fraction", "0.2", "--test-fraction", "0.2"]
    done = reeltune(
        tmp_path,
        every,
        ["prepare", "--ratings-dir", "ratings", "--output-dir", "prepared", *shares],
        ["lengths", *settings],
        ["recommend", *settings, "--base-only", "--user", "1", "--top", "3"],
        ["score", *settings, "--base-only", "--top", "3", "scores"],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert PreparedFolder.open(tmp_path / "prepared").meta["files"]["train.json"]["rows"] > 0
    assert list((tmp_path / "scores").glob("*.parquet"))


@pytest.mark.slow
def test_training_needs_no_other_extra(tmp_path: Path, tiny_qwen3: Path, prepared: PreparedFolder):
    overrides = tiny_overrides(tiny_qwen3, prepared.path, tmp_path / "work", train__max_steps=1)
    settings = [word for value in overrides for word in ("--set", value)]
    others = [m for extra, modules in EXTRAS.items() if extra != "train" for m in modules]
    done = reeltune(tmp_path, others, ["train", *settings])
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "work/run/adapter_model.safetensors").is_file()
