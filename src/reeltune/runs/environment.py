"""Package versions, hardware and memory, as recorded with a run."""

from __future__ import annotations

import contextlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import psutil
import torch

from reeltune import __version__

_LINUX_STATUS: Final = Path("/proc/self/status")

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
    """Return the versions of Python and of the installed packages that results depend on."""
    versions = {"python": platform.python_version(), "reeltune": __version__}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):  # trl and datasets are in the extra train
            versions[name] = version(name)
    return versions


def hardware() -> dict[str, Any]:
    """Return processor, memory and GPUs of the machine."""
    gpus = range(torch.cuda.device_count())
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": [torch.cuda.get_device_name(index) for index in gpus],
    }


def free_memory(device: torch.device) -> float:
    """Return the free memory of a GPU, or else of the machine, in GiB."""
    if device.type != "cuda":
        return psutil.virtual_memory().available / 2**30
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return (free + unused) / 2**30


def peak_memory() -> dict[str, float]:
    """Return the largest memory this process has held, in GiB: resident, and on the GPU if any."""
    peak = {"resident_gib": _peak_resident_bytes() / 2**30}
    if torch.cuda.is_available():
        peak["gpu_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return {name: round(value, 3) for name, value in peak.items()}


def _peak_resident_bytes() -> int:
    """Return the peak resident memory; on macOS, where psutil 7.2 has no peak, that of now."""
    if _LINUX_STATUS.is_file():
        for line in _LINUX_STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    memory = psutil.Process().memory_info()
    return getattr(memory, "peak_wset", memory.rss)
