"""The workflow of the hosted checks names things that exist and covers what is supported."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PYTHONS = ["3.11", "3.12", "3.13"]
SYSTEMS = ["ubuntu-latest", "macos-latest", "windows-latest"]


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    # YAML 1.1 reads the key `on` as true.
    assert {"name", True, "permissions", "jobs"} <= workflow.keys()
    return workflow["jobs"]


def test_tests_and_wheel_run_on_every_system_and_python(jobs):
    assert set(jobs) == {"lint", "test", "wheel"}
    for name in ("test", "wheel"):
        assert jobs[name]["strategy"]["matrix"] == {"os": SYSTEMS, "python": PYTHONS}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={PYTHONS[0]}"


def test_every_step_is_one_action_or_one_command(jobs):
    for job in jobs.values():
        assert job["timeout-minutes"]
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/checkout@v4"))


def test_commands_name_extras_files_and_targets_that_exist(jobs):
    commands = "\n".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extras in re.findall(r"\.\[([\w,]+)\]", commands):
        assert set(extras.split(",")) <= set(project["optional-dependencies"])
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake (\w+)", commands):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for file in re.findall(r"\btests/\S+", commands):
        assert (ROOT / file).is_file()
    assert (ROOT / "constraints.txt").is_file()
