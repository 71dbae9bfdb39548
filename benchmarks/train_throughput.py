"""Training throughput: TRL with default and faster settings, and reeltune's layouts and forms.

The same rows, LoRA and machine, one run after another. The model has the shape of Qwen3-0.6B and
random weights, or is a folder with real ones; tokenizer and ratings are real.

    python -m benchmarks.train_throughput --tokenizer QWEN3 --prepared data/movielens_qwen3
    python -m benchmarks.train_throughput --model models/smollm2-135m --steps 4 --batch 1 ...

Every case reads training rows with a history of 15. TRL's cases and `single` have one prompt per
row; `blocks` and `interview` read the same rows in blocks, with growing histories and fewer tokens
per row. Compare examples per second.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

from benchmarks.common import (
    SHAPES,
    command_line,
    common_options,
    make_model,
    peak_gib,
    reset_peak,
    wait_for_gpu,
    write_result,
)
from benchmarks.profiling import StepProfile, step_table
from reeltune.config import Config, load_config
from reeltune.data.columns import TRAIN
from reeltune.domain import Renderer
from reeltune.models.load import adapter_config
from reeltune.models.loaded_model import load_model
from reeltune.prompts.rows import (
    Selection,
    choose_blocks,
    prompt_settings,
    train_rows,
    validation_rows,
)
from reeltune.runs.folder import RunFolder
from reeltune.signals.folder import open_prepared
from reeltune.training.callbacks import KeepBest, StepClock
from reeltune.training.inputs import trainer_inputs
from reeltune.training.trainer import build_trainer

WARM_UP = 6 if torch.cuda.is_available() else 1
"""Steps not timed: they compile and fill caches."""


@dataclass(frozen=True)
class TrlCase:
    """TRL's trainer; ``settings`` override the defaults of SFTConfig."""

    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def alters_classes(self) -> bool:
        """Whether it patches the model's classes, which would change later cases."""
        return bool(self.settings.get("use_liger_kernel"))


KEPT = {"gradient_checkpointing": False}
TRL: dict[str, TrlCase] = {
    # SFTConfig's default: batch 8, gradient checkpointing, bfloat16.
    "trl_default": TrlCase(),
    "trl batch 32, activations kept": TrlCase({"per_device_train_batch_size": 32, **KEPT}),
    "trl packed": TrlCase(
        {"packing": True, "max_length": 4096, "per_device_train_batch_size": 2, **KEPT}
    ),
    "trl batch 32, Liger kernels": TrlCase(
        {"per_device_train_batch_size": 32, "use_liger_kernel": True, **KEPT}
    ),
    # Lengths are rounded up, so that few shapes are compiled.
    "trl batch 32, compiled": TrlCase(
        {
            "per_device_train_batch_size": 32,
            "torch_compile": True,
            "pad_to_multiple_of": 64,
            **KEPT,
        }
    ),
}
FASTEST = "trl_fastest"
TOP_HALF = ", adapter in the top half"
"""Ends the names of cases with an adapter in the upper half of the layers alone."""
TRL |= {f"{name}{TOP_HALF}": TRL[name] for name in ("trl batch 32, Liger kernels",)}

_KEPT = ["train.gradient_checkpointing=false"]
_WINDOW = ["prompt.form=window", "train.block_size=30"]
REELTUNE: dict[str, list[str]] = {
    "single": [*_KEPT, *_WINDOW, "train.share_history=false"],
    "blocks": [*_KEPT, *_WINDOW],
    "blocks, not compiled": [*_KEPT, *_WINDOW, "train.compile=false"],
    "blocks, activations recomputed": [*_WINDOW, "train.gradient_checkpointing=true"],
    "blocks_qlora": [*_KEPT, *_WINDOW, "quantization.load_in_4bit=true"],
    "interview": [*_KEPT, "prompt.form=interview", "train.block_size=60"],
}
REELTUNE[f"interview{TOP_HALF}"] = REELTUNE["interview"]


class Timer(TrainerCallback):
    """Times the steps of a trainer after the warm-up, with the GPU idle at both ends."""

    def __init__(self) -> None:
        self.began = 0.0
        self.seconds = 0.0
        self.steps = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start after the warm-up, stop after the last step."""
        del args, control, kwargs
        if state.global_step == WARM_UP:
            wait_for_gpu()
            self.began = time.perf_counter()
        if state.global_step == state.max_steps:
            wait_for_gpu()
            self.seconds = time.perf_counter() - self.began
            self.steps = state.max_steps - WARM_UP


class Counted:
    """A collator that counts the examples and tokens of each batch.

    Args:
        collate: The trainer's collator.
        count: Returns examples and tokens of a batch.
    """

    def __init__(
        self, collate: Callable[[Any], Any], count: Callable[[Any], tuple[int, int]]
    ) -> None:
        self.collate = collate
        self.count = count
        self.counts: list[tuple[int, int]] = []

    def __call__(self, rows: Any) -> Any:
        """Collate and count."""
        batch = self.collate(rows)
        self.counts.append(self.count(batch))
        return batch

    def __len__(self) -> int:
        return len(self.collate)  # pyright: ignore[reportArgumentType]

    def mean(self) -> tuple[float, float]:
        """Return the mean examples and tokens per batch after the warm-up."""
        counts = np.array(self.counts[WARM_UP:], dtype=np.float64)
        return float(counts[:, 0].mean()), float(counts[:, 1].mean())


def chats(config: Config, rows: int) -> Dataset:
    """Return training rows in TRL's prompt-completion format, thinking off."""
    folder = open_prepared(config)
    renderer, items = Renderer(prompt_settings(folder, config.prompt)), folder.items
    blocks = choose_blocks(folder, Selection(TRAIN, rows, config.train.seed, False, 30))
    timelines = folder.timelines
    listed = []
    for start, target in zip(blocks.examples.start, blocks.examples.target, strict=True):
        events = range(int(start), int(target))
        shown = [(float(timelines.rating[e]), items[timelines.item_idx[e]]) for e in events]
        turn = renderer.turns(shown, items[timelines.item_idx[target]])[0]
        answer = renderer.answer(bool(timelines.liked[target]))
        listed.append(
            {
                "prompt": [{"role": "user", "content": turn}],
                "completion": [{"role": "assistant", "content": answer}],
                "chat_template_kwargs": {"enable_thinking": False},
            }
        )
    return Dataset.from_list(listed)


def run_trl(case: TrlCase, config: Config, options: Any) -> dict[str, Any]:
    """Train with TRL and return the figures."""
    dtype = torch.bfloat16 if options.dtype == "bfloat16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(
        config.model.name_or_path, dtype=dtype, trust_remote_code=False
    )
    timer = Timer()
    settings: dict[str, Any] = {
        "output_dir": str(options.work / "trl"),
        "max_steps": options.steps + WARM_UP,
        "max_length": 1024,
        "bf16": options.dtype == "bfloat16",
        "use_cpu": not torch.cuda.is_available(),
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1000,
        "disable_tqdm": True,
        "dataset_num_proc": options.processes,
        "learning_rate": config.train.learning_rate,
        **case.settings,
    }
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**settings),
        train_dataset=chats(config, options.rows),
        processing_class=AutoTokenizer.from_pretrained(
            config.model.name_or_path, trust_remote_code=False
        ),
        peft_config=adapter_config(config, model),
        callbacks=[timer],
    )
    trainer.data_collator = Counted(trainer.data_collator, _count_trl)  # pyright: ignore
    trainer.train()
    return _figures(timer, trainer)


def _count_trl(batch: dict[str, torch.Tensor]) -> tuple[int, int]:
    if "position_ids" in batch:
        position = batch["position_ids"]
        return int((position == 0).sum()), position.numel()
    mask = batch["attention_mask"]
    return len(mask), int(mask.sum())


def run_reeltune(config: Config, options: Any) -> dict[str, Any]:
    """Train with reeltune's trainer and return the figures."""
    loaded = load_model(config, trainable=True)
    inputs = trainer_inputs(
        loaded, *(loaded.select(of(config)).rows for of in (train_rows, validation_rows))
    )
    run = RunFolder(options.work / "reeltune")
    trainer = build_trainer(inputs, run, StepClock())
    # No evaluation and no saving between the steps.
    trainer.remove_callback(KeepBest)
    trainer.args.load_best_model_at_end = False
    trainer.args.eval_strategy = trainer.args.save_strategy = "no"
    trainer.args.eval_on_start = False
    timer = Timer()
    step_profile = StepProfile(WARM_UP - 1, config.lora.r)
    if options.profile:
        trainer.add_callback(step_profile)  # first, so that its work after a step is not timed
    trainer.add_callback(timer)
    trainer.data_collator = Counted(  # pyright: ignore[reportAttributeAccessIssue]
        trainer.data_collator, lambda batch: (len(batch["answer_position"]), batch["tokens"])
    )
    trainer.train()
    figures = _figures(timer, trainer)
    if step_profile.figures:
        figures["profile"] = step_profile.figures
    return figures


def _figures(timer: Timer, trainer: Any) -> dict[str, Any]:
    examples, tokens = trainer.data_collator.mean()
    per_second = timer.steps / timer.seconds
    causal = trainer.accelerator.unwrap_model(trainer.model).get_base_model()
    products = 0  # with each weight, for one token
    for layer in causal.base_model.layers:
        adapted = [m for m in layer.modules() if hasattr(m, "base_layer")]
        linear = adapted or [m for m in layer.modules() if isinstance(m, torch.nn.Linear)]
        # A frozen weight is in two products: forward, and the gradient of the input.
        products += (2 if adapted else 1) * sum(m.in_features * m.out_features for m in linear)
    return {
        "examples_per_s": examples * per_second,
        "tokens_per_s": tokens * per_second,
        "steps_per_s": per_second,
        "examples_per_step": examples,
        "tokens_per_step": tokens,
        "matrix_tflop_per_s": 2e-12 * products * tokens * per_second,
        "peak_gib": peak_gib(),
    }


def matrix_peak() -> float:
    """Return the bfloat16 rate of one large matrix product in TFLOP/s, the best of ten."""
    size = 8192 if torch.cuda.is_available() else 1024
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        wait_for_gpu()
        began = time.perf_counter()
        torch.mm(a, b)
        wait_for_gpu()
        best = min(best, time.perf_counter() - began)
    return 2e-12 * size**3 / best


def run_isolated(name: str, options: Any, model: Path) -> dict[str, Any]:
    """Run one case, in a separate process if it would change later cases."""
    if name not in TRL or not TRL[name].alters_classes:
        return run_case(name, options, model)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(run_case, name, options, model).result()


def run_case(name: str, options: Any, model: Path) -> dict[str, Any]:
    """Run one case in a clean state."""
    gc.collect()
    torch._dynamo.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    reset_peak()
    steps = options.steps + WARM_UP
    config = load_config(
        None,
        [
            f"model.name_or_path={model}",
            f"model.dtype={options.dtype}",
            "prompt.signals=[]",
            "train.pairwise_weight=0",
            f"data.prepared_dir={options.prepared}",
            f"data.max_train_examples={options.rows}",
            f"train.output_dir={options.work / 'reeltune'}",
            f"train.max_steps={steps}",
            f"train.batch_size={options.single_batch if name == 'single' else options.batch}",
            f"train.pack_length={options.pack_length}",
            "train.optimizer=adamw_torch_fused",
            "train.logging_steps=1000",
            "lora.dropout=0",
            "prompt.form=window",
            "train.early_stopping_patience=null",
            f"lora.top_layers={0.5 if name.endswith(TOP_HALF) else 1}",
            *REELTUNE.get(name, []),
            *options.set,
        ],
    )
    if name in TRL:
        return run_trl(TRL[name], config, options)
    return run_reeltune(config, options)


def main(arguments: list[str] | None = None) -> None:
    """Run the cases and print one table."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--tokenizer", type=Path, help="The tokenizer of the --shape.")
    parser.add_argument("--shape", choices=SHAPES, default="qwen3-0.6b")
    parser.add_argument("--model", type=Path, help="Real weights instead of a shape.")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--steps", type=int, default=20, help="Steps timed, after the warm-up.")
    parser.add_argument("--rows", type=int, default=40_000, help="Training rows to read.")
    parser.add_argument("--batch", type=int, default=4, help="Packed rows per step.")
    parser.add_argument(
        "--single-batch", type=int, default=32, help="Prompts per step of `single`."
    )
    parser.add_argument("--pack-length", type=int, default=8192)
    parser.add_argument("--processes", type=int, default=2, help="Processes of TRL's tokenizing.")
    parser.add_argument("--cases", nargs="*", choices=[*TRL, *REELTUNE], default=[*TRL, *REELTUNE])
    parser.add_argument("--profile", action="store_true", help="Profile one step.")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--work", type=Path, default=Path("output/train_throughput"))
    options = parser.parse_args(arguments)
    if options.profile and not torch.cuda.is_available():
        parser.error("--profile shows the GPU's time: it needs a CUDA device")

    model = options.model or make_model(options.work / "model", options.tokenizer, options.shape)
    peak = matrix_peak()
    cases: list[dict[str, Any]] = []
    for name in options.cases:
        try:
            figures = run_isolated(name, options, model)
            figures["share_of_matrix_peak"] = figures["matrix_tflop_per_s"] / peak
            cases.append({"case": name, **figures})
        except torch.OutOfMemoryError:
            cases.append({"case": name, "failed": "out of memory"})
        except ImportError as error:  # a library of a single case
            cases.append({"case": name, "failed": str(error)})
        print(cases[-1], flush=True)
        _compare(cases)
        write_result(
            options.result,
            command_line(
                "train_throughput",
                options,
                "shape" if options.model is None else "model",
                "dtype",
                "steps",
                "rows",
                "batch",
                "single_batch",
                "pack_length",
                "cases",
                "set",
                "profile",
            ),
            cases,
            matrix_peak_tflop_per_s=peak,
            milliseconds_of_one_step=step_table(cases) or None,
            note=options.note,
        )
    print(f"matrix products reach {peak:.1f} TFLOP/s")
    for case in cases:
        print(_line(case))


def _compare(cases: list[dict[str, Any]]) -> None:
    """Add each case's ratio to TRL's default and to the fastest TRL case."""
    speed = {case["case"]: case["examples_per_s"] for case in cases if "failed" not in case}
    trl_speed = {name: value for name, value in speed.items() if name in TRL}
    if not trl_speed:
        return
    fastest = max(trl_speed, key=lambda name: trl_speed[name])
    for case in cases:
        if "failed" in case:
            continue
        if "trl_default" in speed:
            case["ratio_to_trl_default"] = case["examples_per_s"] / speed["trl_default"]
        case["ratio_to_trl_fastest"] = case["examples_per_s"] / speed[fastest]
        case.pop("role", None)
        if case["case"] == fastest:
            case["role"] = FASTEST


def _line(case: dict[str, Any]) -> str:
    if "failed" in case:
        return f"{case['case']:34} {case['failed']}"
    peak = f"{case['peak_gib']:6.1f} GiB" if case["peak_gib"] is not None else ""
    return (
        f"{case['case']:34} {case['examples_per_s']:9.1f} examples/s "
        f"{case['tokens_per_s']:9.0f} tokens/s {100 * case['share_of_matrix_peak']:5.1f} % {peak} "
        f"x{case.get('ratio_to_trl_default', float('nan')):.1f} "
        f"x{case.get('ratio_to_trl_fastest', float('nan')):.1f}"
    )


if __name__ == "__main__":
    main()
