"""Run the command line in one process, or in several under a launcher."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch


class Launch(NamedTuple):
    """Number of processes and, for a single one, its GPU.

    Attributes:
        processes: A single process runs without a launcher.
        device: Index of the only GPU a single process sees, as an index of a list.
        config: A configuration file of ``accelerate launch``.
        checkout: The version to run; None for the one here.
    """

    processes: int
    device: int = 0
    config: Path | None = None
    checkout: Path | None = None

    def command(self) -> list[str]:
        """Return the command line before the arguments."""
        if self.processes == 1:
            return [sys.executable, "-m", "reeltune"]
        count = str(self.processes)
        if torch.cuda.is_available():
            how = ["--multi_gpu"] if self.config is None else ["--config_file", str(self.config)]
            launcher = ["accelerate.commands.launch", *how, "--num_processes", count]
            # Any free port, so that two launches do not collide.
            launcher += ["--main_process_port", "0"]
        else:
            # accelerate launch --cpu always starts one process.
            launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", count]
        return [sys.executable, "-m", *launcher, "-m", "reeltune"]

    def environment(self) -> dict[str, str]:
        """Return the environment; a single process sees one GPU, of those visible here."""
        environment = environment_of(self.checkout)
        if self.processes > 1:
            return environment
        index = self.device % max(1, torch.cuda.device_count())
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        device = visible.split(",")[index] if visible else str(index)
        return {**environment, "CUDA_VISIBLE_DEVICES": device}

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start a command, with its output on the terminal."""
        print(f"$ reeltune in {self.processes}:", *arguments, flush=True)
        return subprocess.Popen([*self.command(), *map(str, arguments)], env=self.environment())

    def run(self, *arguments: str | Path) -> float:
        """Run a command and return the seconds it took, start included.

        Raises:
            SystemExit: It failed.
        """
        began = time.perf_counter()
        finish(self.start(*arguments))
        return time.perf_counter() - began


def environment_of(checkout: Path | None) -> dict[str, str]:
    """Return the environment of commands that run the sources of a checkout, or those here."""
    if checkout is None:
        return dict(os.environ)
    sources, path = str(checkout.resolve() / "src"), os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{sources}{os.pathsep}{path}" if path else sources}


def finish(*started: subprocess.Popen[bytes]) -> None:
    """Wait for commands.

    Raises:
        SystemExit: A command failed.
    """
    codes = [process.wait() for process in started]
    if any(codes):
        raise SystemExit(f"a command ended with code {next(filter(None, codes))}")


def settings(values: Mapping[str, object], overrides: list[str]) -> list[str]:
    """Return ``--set`` flags, the overrides last."""
    pairs = [f"{key}={value}" for key, value in values.items()] + overrides
    return [word for pair in pairs for word in ("--set", pair)]
