"""Trained runs to export."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from reeltune.cli import main
from reeltune.config import Config
from reeltune.runs.folder import RUN_FILE
from reeltune.training.train import train
from tests.runs import tiny_config, tiny_overrides

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
        adapter: The run folder.
        overrides: The overrides of its training.
    """

    adapter: Path
    overrides: list[str]

    def export(self, target: Path, *flags: str, adapter: Path | None = None) -> int:
        """Call the command, and return its exit code."""
        sets = [part for override in self.overrides for part in ("--set", override)]
        args = ["--config", os.devnull, *sets, "--adapter", str(adapter or self.adapter)]
        with pytest.raises(SystemExit) as ended:
            main(["export", *args, "--merged", str(target), *flags])
        return int(ended.value.code or 0)

    def copy(self, folder: Path) -> Path:
        """Copy the run folder, to be changed."""
        ignored = shutil.ignore_patterns("checkpoint-*", "logs")
        return Path(shutil.copytree(self.adapter, folder, ignore=ignored))


def record(target: Path) -> dict[str, Any]:
    """The content of ``export.json``."""
    return json.loads((target / "export.json").read_text(encoding="utf-8"))


def change_record(adapter: Path, /, **values: Any) -> None:
    """Change values in the record of a copied run."""
    file = adapter / RUN_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def _trained(model: Path, prepared: Any, work: Path, **changes: Any) -> Trained:
    config: Config = tiny_config(model, prepared.path, work, **changes)
    return Trained(train(config), tiny_overrides(model, prepared.path, work, **changes))


@pytest.fixture(scope="session")
def speaker(tiny_qwen3, tmp_path_factory) -> Path:
    """The tiny model with larger weights, so that its predictions differ between films."""
    folder = Path(shutil.copytree(tiny_qwen3, tmp_path_factory.mktemp("models") / "speaker"))
    weights = load_file(folder / WEIGHTS)
    larger = {
        name: weight * 5 if name.endswith(("_proj.weight", "model.norm.weight")) else weight
        for name, weight in weights.items()
    }
    save_file(larger, folder / WEIGHTS, {"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def trained(speaker, prepared, tmp_path_factory) -> Trained:
    """A run in the interview form, in float32, long enough to answer Yes or No and stop."""
    return _trained(
        speaker,
        prepared,
        tmp_path_factory.mktemp("exported"),
        prompt__form="interview",
        train__max_steps=60,
        train__eval_steps=60,
        train__save_steps=60,
        train__batch_size=2,
    )


@pytest.fixture(scope="session")
def trained_in_4_bits(tiny_llama, prepared, tmp_path_factory) -> Trained:
    """A run in the window form, on a base in 4 bits."""
    return _trained(
        tiny_llama,
        prepared,
        tmp_path_factory.mktemp("exported4"),
        quantization__load_in_4bit=True,
        quantization__allow_cpu=True,
    )
