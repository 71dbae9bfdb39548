"""One whole run of a configuration: train, be killed, resume, evaluate, compare.

The model has the shape of Qwen3-0.6B and random weights, the tokenizer and the ratings are real:
what is measured is speed, memory and whether every command works, not quality. Each case is run
through the command line, as a user would.

    python benchmarks/full_run.py --tokenizer QWEN3_TOKENIZER --prepared data/movielens_qwen3
    python benchmarks/full_run.py ... --shape tiny --steps 8      # the same path, on a CPU
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SHAPES: dict[str, dict[str, int]] = {
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
# Each is run whole: trained, killed, resumed, compared.
CASES = {
    "lora_bf16": ["quantization.load_in_4bit=false"],
    "qlora_nf4": [],
}
# Each changes one thing in one of the cases and is only trained.
VARIANTS = {
    "lora_bf16, no checkpointing": [
        *CASES["lora_bf16"],
        "train.activation_checkpointing=false",
    ],
    "qlora_nf4, no checkpointing": ["train.activation_checkpointing=false"],
    "qlora_nf4, batch 64": ["train.batch_size=64"],
}


def make_model(folder: Path, tokenizer: Path, shape: str) -> None:
    """Save a model of a given shape with random weights, in bfloat16, and its tokenizer."""
    import torch
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
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)


def reeltune(*arguments: str) -> None:
    """Run one command to its end; its output is the user's to see."""
    print("$ reeltune", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "reeltune", *arguments], check=True)


def train_and_kill(arguments: list[str], checkpoint: Path) -> None:
    """Start a run and kill it as soon as a checkpoint is complete."""
    process = subprocess.Popen([sys.executable, "-m", "reeltune", "train", *arguments])
    while not (checkpoint / "trainer_state.json").is_file():
        if process.poll() is not None:
            raise SystemExit("the run ended before it could be killed")
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def arguments_of(
    run: Path, settings: list[str], options: argparse.Namespace, model: Path
) -> list[str]:
    """Return the flags that all commands of a case share."""
    sets = [
        f"model.name_or_path={model}",
        f"data.prepared_dir={options.prepared}",
        f"data.cache_dir={options.work / 'cache'}",
        f"train.output_dir={run}",
        f"train.max_steps={options.steps}",
        f"train.eval_steps={options.steps // 2}",
        f"train.save_steps={options.steps // 2}",
        f"data.max_eval_examples={options.rows}",
        f"evaluation.max_examples={options.rows}",
        *settings,
        *options.set,
    ]
    return ["--config", str(options.config), *(part for value in sets for part in ("--set", value))]


def run_case(name: str, options: argparse.Namespace, model: Path) -> dict[str, Any]:
    """Train, kill, resume and compare one case, and return its figures."""
    run = options.work / name
    arguments = arguments_of(run, CASES[name], options, model)
    train_and_kill(arguments, run / f"checkpoint-{options.steps // 2}")
    reeltune("train", *arguments, "--resume")
    reeltune("compare", *arguments)
    compared = json.loads((run / "comparison-test.json").read_text())["metrics"]
    return figures(name, run) | {
        "test_rows": compared["base"]["rows"],
        "test_auc_base": compared["base"]["auc"],
        "test_auc_tuned": compared["tuned"]["auc"],
    }


def run_variant(name: str, options: argparse.Namespace, model: Path) -> dict[str, Any]:
    """Train one variant and return its figures."""
    run = options.work / name.replace(", ", "-").replace(" ", "_")
    reeltune("train", *arguments_of(run, VARIANTS[name], options, model))
    return figures(name, run)


def figures(name: str, run: Path) -> dict[str, Any]:
    """Read the figures of a finished run; after a kill they are those of the resumed half."""
    record = json.loads((run / "run.json").read_text())
    metrics = json.loads((run / "metrics.json").read_text())
    speed = metrics["speed"]
    return {
        "case": name,
        "examples_per_s": speed["examples_per_second"],
        "tokens_per_s": speed["tokens_per_second"],
        "steps_counted": speed["steps_counted"],
        "peak_gib": record["peak_memory"].get("gpu_gib", record["peak_memory"]["resident_gib"]),
        "resumed_from": record["resumed_from"],
        "steps": metrics["steps"],
        "first_loss": metrics["losses"][0]["loss"],
        "last_loss": metrics["losses"][-1]["loss"],
        "validation_auc": [entry["eval_auc"] for entry in metrics["evaluations"]],
        "choices": record["choices"],
    }


def main() -> None:
    """Run the cases and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path("configs/qwen3_movielens_qlora.yaml"))
    parser.add_argument("--shape", choices=SHAPES, default="qwen3-0.6b")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--work", type=Path, default=Path("output/full_run"))
    parser.add_argument("--result", type=Path, help="Where the JSON goes.")
    options = parser.parse_args()

    from reeltune.runs.environment import hardware, package_versions

    model = options.work / "model"
    make_model(model, options.tokenizer, options.shape)
    cases = []
    runs = [(run_case, name) for name in options.cases]
    runs += [(run_variant, name) for name in options.variants]
    for measure, name in runs:
        cases.append(measure(name, options, model))
        print(json.dumps(cases[-1], indent=2), flush=True)
    result = {
        "hardware": hardware(),
        "versions": package_versions(),
        "command": f"python benchmarks/full_run.py --shape {options.shape} --steps {options.steps}",
        "cases": cases,
    }
    if options.result is not None:
        options.result.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for case in cases:
        print(
            f"{case['case']:40} {case['examples_per_s']:9.1f} examples/s "
            f"{case['tokens_per_s']:11.0f} tokens/s {case['peak_gib']:7.2f} GiB"
        )


if __name__ == "__main__":
    main()
