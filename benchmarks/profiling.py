"""GPU time of one training step by kind of kernel, with PyTorch's profiler."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import torch
from torch.profiler import ProfilerActivity, profile
from transformers import TrainerCallback

from benchmarks.common import wait_for_gpu

BASE: Final = "matrix products with the model's weights"
THIN: Final = "LoRA's thin matrix products"
FORWARD: Final = "attention, forward"
BACKWARD: Final = "attention, backward"
FUSED: Final = "fused kernels: activation, norms, rotary positions, residuals, casts"
COPIES: Final = "copies"
OTHER: Final = "other kernels"
PARTS: Final = (BASE, THIN, FORWARD, BACKWARD, FUSED, COPIES, OTHER)

_PRODUCTS: Final = ("aten::mm", "aten::addmm", "aten::bmm")
_ATTENTION: Final = ("flex_attention", "flash", "fmha", "cudnn_generated_fort_native_sdpa")


class StepProfile(TrainerCallback):
    """Profiles one step of a trainer.

    Args:
        step: Index of the step.
        rank: The adapter's rank, which identifies its matrix products.

    Attributes:
        figures: Milliseconds of the step and of its parts; empty before it.
    """

    def __init__(self, step: int, rank: int) -> None:
        self.step = step
        self.rank = rank
        self.figures: dict[str, Any] = {}
        self._profile: profile | None = None
        self._began = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the profiler."""
        del args, control, kwargs
        if state.global_step == self.step and not self.figures:
            activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
            self._profile = profile(activities=activities, record_shapes=True)
            self._profile.start()
            wait_for_gpu()
            self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop the profiler when the GPU is idle, and sum the kernels by kind."""
        del args, state, control, kwargs
        if self._profile is None:
            return
        wait_for_gpu()
        seconds = time.perf_counter() - self._began
        self._profile.stop()
        parts = gpu_time_by_part(self._profile.events() or [], self.rank)
        self._profile = None
        self.figures = {
            "step_ms": 1e3 * seconds,
            "gpu_ms": sum(parts.values()),
            "parts_ms": parts,
        }


def gpu_time_by_part(events: Iterable[Any], rank: int) -> dict[str, float]:
    """Return the GPU milliseconds of each of :data:`PARTS`.

    Args:
        events: The profiler's events, with shapes.
        rank: The adapter's rank.
    """
    milliseconds: dict[str, float] = defaultdict(float)
    products = 0.0
    for event in events:
        if event.is_user_annotation:
            continue  # encloses other events
        if event.device_type == torch.autograd.DeviceType.CUDA:
            milliseconds[_part_of(event.name)] += event.device_time / 1e3
        elif event.name in _PRODUCTS:
            spent = sum(kernel.duration for kernel in event.kernels) / 1e3
            sizes = {size for shape in event.input_shapes or [] for size in shape}
            milliseconds[THIN if rank in sizes else BASE] += spent
            products += spent
    # Kernels of matrix products have no common name, so they were added to OTHER as well.
    milliseconds[OTHER] -= products
    return {part: milliseconds[part] for part in PARTS}


def step_table(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per part, with a column for each profiled case."""
    profiles = {case["case"]: case["profile"] for case in cases if "profile" in case}
    if not profiles:
        return []
    rows = [
        {"part": part, **{name: times["parts_ms"][part] for name, times in profiles.items()}}
        for part in PARTS
    ]
    for part, key in (("all of the GPU's time", "gpu_ms"), ("the step, profiled", "step_ms")):
        rows.append({"part": part, **{name: times[key] for name, times in profiles.items()}})
    return rows


def _part_of(kernel: str) -> str:
    name = kernel.lower()
    if any(word in name for word in _ATTENTION):
        return BACKWARD if "backward" in name or "bwd" in name or "bprop" in name else FORWARD
    if name.startswith("triton_"):
        return FUSED
    if name.startswith(("memcpy", "memset")):
        return COPIES
    return OTHER
