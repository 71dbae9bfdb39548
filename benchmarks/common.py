"""Shared by the benchmarks: models of a given shape, timing, and result files.

Run from the root of the repository, as ``python -m benchmarks.NAME``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from reeltune.config import Config
from reeltune.runs.environment import hardware, package_versions

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

Result = TypeVar("Result")

SHAPES: dict[str, dict[str, Any]] = {
    # https://huggingface.co/Qwen/Qwen3-0.6B/blob/main/config.json
    "qwen3-0.6b": {
        "hidden_size": 1024,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 3072,
    },
    # https://huggingface.co/Qwen/Qwen3-1.7B/blob/main/config.json
    "qwen3-1.7b": {
        "hidden_size": 2048,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 6144,
    },
    # https://huggingface.co/Qwen/Qwen3-4B/blob/main/config.json
    "qwen3-4b": {
        "hidden_size": 2560,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 9728,
    },
    "tiny": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 128,
    },
}


def make_model(folder: Path, tokenizer: Path, shape: str) -> Path:
    """Save a model of a given shape with random weights, in bfloat16, and its tokenizer.

    The vocabulary is that of Qwen3, or, of the tiny shape, the tokenizer's.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(tokenizer, trust_remote_code=False)
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "qwen3",
        **SHAPES[shape],
        vocab_size=len(words) if shape == "tiny" else 151_936,
        tie_word_embeddings=True,
        max_position_embeddings=40_960,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
    )
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def load_with_adapter(config: Config) -> tuple[PeftModel, PreTrainedTokenizerBase]:
    """Load a model with a random adapter on every linear layer."""
    from reeltune.models.choices import make_choices
    from reeltune.models.load import add_adapter, load_base

    base = load_base(config, make_choices(config))
    model = add_adapter(base, config).eval()
    model.requires_grad_(False)
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # zeros in a new adapter, which changes nothing
            torch.nn.init.normal_(weight, std=0.02)
    return model, base.tokenizer


def wait_for_gpu() -> None:
    """Wait until the GPU, if any, is idle."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed(work: Callable[[], Result], calls: int) -> tuple[float, Result]:
    """Return the median of the seconds per call, and the last result."""
    seconds = []
    while True:
        wait_for_gpu()
        began = time.perf_counter()
        result = work()
        wait_for_gpu()
        seconds.append(time.perf_counter() - began)
        if len(seconds) >= calls:
            return median(seconds), result


def reset_peak() -> None:
    """Reset the peak of GPU memory, if there is a GPU."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_gib() -> float | None:
    """Return the peak of GPU memory since :func:`reset_peak` in GiB; None without a GPU."""
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None


def write_result(
    path: Path | None, command: str, cases: list[dict[str, Any]], **more: object
) -> None:
    """Write the figures with hardware and versions; nothing if ``path`` is None.

    Args:
        path: The JSON file.
        command: The command line of the benchmark.
        cases: The figures of each case.
        more: Further fields; None is omitted.
    """
    result = {
        "hardware": hardware(),
        "versions": package_versions(),
        "command": command,
        **{name: value for name, value in more.items() if value is not None},
        "cases": cases,
    }
    if path is not None:
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def common_options(about: str) -> argparse.ArgumentParser:
    """Return a parser with the options of all benchmarks."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--prepared", type=Path, required=True, help="A prepared folder.")
    parser.add_argument("--result", type=Path, help="The JSON file to write.")
    parser.add_argument("--note", help="A note on the machine, shown above the table.")
    return parser


def command_line(name: str, options: argparse.Namespace, *shown: str) -> str:
    """Return the command line of a benchmark, with the names of folders instead of their paths.

    Args:
        name: The benchmark's module.
        options: The parsed options.
        shown: The options to list; empty ones are omitted.
    """
    words = ["python", "-m", f"benchmarks.{name}"]
    for option in shown:
        value = getattr(options, option)
        listed = value if isinstance(value, list) else [value]
        if value in (None, False, []):
            continue
        names = [part.name if isinstance(part, Path) else str(part) for part in listed]
        words += [f"--{option.replace('_', '-')}", *(names if value is not True else [])]
    return shlex.join(words)
