"""Runs the command line as its users do: plain, or in several processes under a launcher."""

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
    """How often a command is started, and on what.

    Attributes:
        processes: One runs without a launcher.
        device: The GPU one process sees, counted from behind where it is negative; several see all.
    """

    processes: int
    device: int = 0

    def command(self) -> list[str]:
        """Return what stands before the command's own words."""
        if self.processes == 1:
            return [sys.executable, "-m", "reeltune"]
        count = str(self.processes)
        if torch.cuda.is_available():
            launcher = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", count]
            # Any port that is free, so that two launches do not meet.
            launcher += ["--main_process_port", "0"]
        else:
            # accelerate launch --cpu starts one process, however many it is told.
            launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", count]
        return [sys.executable, "-m", *launcher, "-m", "reeltune"]

    def environment(self) -> dict[str, str]:
        """Return the environment, with one GPU visible to one process."""
        if self.processes > 1:
            return dict(os.environ)
        device = self.device % max(1, torch.cuda.device_count())
        return {**os.environ, "CUDA_VISIBLE_DEVICES": str(device)}

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start a command; its output is the user's to see."""
        print(f"$ reeltune in {self.processes}:", *arguments, flush=True)
        return subprocess.Popen([*self.command(), *map(str, arguments)], env=self.environment())

    def run(self, *arguments: str | Path) -> float:
        """Run a command to its end and return the seconds it took, start and all.

        Raises:
            SystemExit: It failed.
        """
        began = time.perf_counter()
        finish(self.start(*arguments))
        return time.perf_counter() - began


def finish(*started: subprocess.Popen[bytes]) -> None:
    """Wait until commands have ended.

    Raises:
        SystemExit: One failed.
    """
    codes = [process.wait() for process in started]
    if any(codes):
        raise SystemExit(f"a command ended with code {next(filter(None, codes))}")


def settings(values: Mapping[str, object], overrides: list[str]) -> list[str]:
    """Return ``--set`` flags, the overrides last."""
    given = [f"{key}={value}" for key, value in values.items()] + overrides
    return [word for one in given for word in ("--set", one)]
