"""The command with a tiny model, called in this process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from reeltune.cli import main


def arguments(model: Path, prepared: Path, *rest: str | Path) -> list[str]:
    """Arguments of ``reeltune`` that score with a base model in float32."""
    values = {
        "model.name_or_path": model,
        "model.dtype": "float32",
        "prompt.form": "window",
        "prompt.signals": "[]",
        "data.prepared_dir": prepared,
    }
    sets = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    return ["score", *map(str, rest), "--config", os.devnull, "--base-only", *sets]


def call(args: Sequence[str]) -> int:
    """Call the command in this process, and return its exit code."""
    with pytest.raises(SystemExit) as left:
        main(args)
    return int(left.value.code or 0)
