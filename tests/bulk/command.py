"""The command as a process of its own: called, launched several times, killed."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

from reeltune.cli import main

PRELOADED = ["reeltune.bulk.score", "reeltune.bulk.tasks", "transformers"]
"""Slow imports, made once in the fork server."""


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


def run_silently(args: Sequence[str], log: Path) -> None:
    """Call the command as the target of a process."""
    # The lock tqdm would make by itself outlives a process that is killed.
    tqdm.set_lock(threading.RLock())
    with log.open("a") as stream:
        sys.stdout = sys.stderr = stream
        main(args)


def fork_server() -> Any:
    """A context whose processes begin with everything imported, on systems that can fork."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context
