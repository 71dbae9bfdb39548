"""Usage reports of libraries are off for every command and the Python API, unless switched on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from huggingface_hub import constants

import reeltune
from reeltune.cli import main

VARIABLES = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "RAY_USAGE_STATS_ENABLED": "0",
    "USE_HUB_KERNELS": "0",
    "DISABLE_SAFETENSORS_CONVERSION": "1",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)


def use_command_line() -> None:
    with pytest.raises(SystemExit):
        main(["--version"])


def use_python() -> None:
    assert reeltune.Config


@pytest.mark.parametrize("use", [use_command_line, use_python])
def test_reports_are_off(use):
    use()
    assert {name: os.environ.get(name) for name in VARIABLES} == VARIABLES
    assert constants.HF_HUB_DISABLE_TELEMETRY


@pytest.mark.parametrize("use", [use_command_line, use_python])
def test_what_somebody_has_set_stays(use, monkeypatch):
    for name in VARIABLES:
        monkeypatch.setenv(name, "0")
    use()
    assert {os.environ[name] for name in VARIABLES} == {"0"}
    assert not constants.HF_HUB_DISABLE_TELEMETRY


def test_nothing_heavy_is_imported_for_it():
    code = (
        "import reeltune.telemetry as t, sys; t.switch_off_telemetry();"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'huggingface_hub', 'torch'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
