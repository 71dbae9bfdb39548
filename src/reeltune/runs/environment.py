"""What a run was made with: package versions, machine, memory."""

from __future__ import annotations

import platform
import resource
from importlib.metadata import version
from typing import Any, Final

import psutil
import torch

from reeltune import __version__

_PACKAGES: Final = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "bitsandbytes",
    "datasets",
    "tokenizers",
    "numpy",
)


def package_versions() -> dict[str, str]:
    """Return the versions of all that a run's numbers depend on."""
    return {
        "python": platform.python_version(),
        "reeltune": __version__,
        **{name: version(name) for name in _PACKAGES},
    }


def hardware() -> dict[str, Any]:
    """Describe the machine: processor, memory, GPUs."""
    gpus = range(torch.cuda.device_count())
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": [torch.cuda.get_device_name(index) for index in gpus],
    }


def free_memory(device: torch.device) -> float:
    """Return what is free on a device, in GiB: on a GPU, or of the machine's memory."""
    if device.type != "cuda":
        return psutil.virtual_memory().available / 2**30
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return (free + kept) / 2**30


def peak_memory() -> dict[str, float]:
    """Return the largest memory this process has held, in GiB: resident, and on the GPU if any."""
    # Linux reports the largest resident size in KiB.
    peak = {"resident_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}
    if torch.cuda.is_available():
        peak["gpu_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return {name: round(value, 3) for name, value in peak.items()}
