"""What the benchmarks share: a model of a known shape, and how results are written.

They are run from the root of the repository, as ``python -m benchmarks.NAME``.
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
    """Save a model of a given shape with random weights, in bfloat16, and its tokenizer."""
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    config = Qwen3Config(
        **SHAPES[shape],
        vocab_size=151_936,
        tie_word_embeddings=True,
        max_position_embeddings=40_960,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    torch.set_default_dtype(torch.float32)
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
    return folder


def load_with_adapter(config: Config) -> tuple[PeftModel, PreTrainedTokenizerBase]:
    """Load a model and set an adapter on it that changes every linear layer at random."""
    from reeltune.models.choices import make_choices
    from reeltune.models.load import add_adapter, load_base

    base = load_base(config, make_choices(config))
    model = add_adapter(base, config).eval()
    model.requires_grad_(False)
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # a new adapter has zeros here, and changes nothing
            torch.nn.init.normal_(weight, std=0.02)
    return model, base.tokenizer


def wait_for_gpu() -> None:
    """Return once the GPU, where there is one, has done all it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed(work: Callable[[], Result], calls: int) -> tuple[float, Result]:
    """Return the median of the seconds that some work takes, and what its last call returned."""
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
    """Begin measuring GPU memory anew, where there is a GPU."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_gib() -> float | None:
    """Return the most GPU memory held since :func:`reset_peak`, in GiB; None without a GPU."""
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None


def write_result(
    path: Path | None, command: str, cases: list[dict[str, Any]], **more: object
) -> None:
    """Write the figures of a benchmark beside what they were measured on.

    Args:
        path: Where to; nothing is written without it.
        command: How it was run.
        cases: The figures of each case.
        more: What else is to be known; left out where it is None.
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
    """Return a parser with the options all benchmarks have."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--prepared", type=Path, required=True, help="A prepared folder.")
    parser.add_argument("--result", type=Path, help="Where the JSON goes.")
    parser.add_argument("--note", help="What a reader of the result should know of the machine.")
    return parser


def command_line(name: str, options: argparse.Namespace, *shown: str) -> str:
    """Return how a benchmark was run; of folders, which differ between machines, only the names.

    Args:
        name: The benchmark's module.
        options: As parsed.
        shown: The options to name, unless they are empty.
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
