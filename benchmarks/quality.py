"""Quality of layouts and forms: real weights, real ratings, equal numbers of training examples.

Every case trains on the same examples, then scores the same test rows in several ways: as in
training, with exactly the prepared history of 15, and in the other form. Differences between cases
have intervals over users, from the same bootstrap samples for both.

    python -m benchmarks.quality --model models/smollm2-135m --prepared data/movielens_qwen3
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import command_line, common_options, write_result
from reeltune.config import Config, load_config
from reeltune.data.columns import TEST
from reeltune.data.folder import PreparedFolder
from reeltune.domain import INTERVIEW, WINDOW, Renderer
from reeltune.evaluation.intervals import bootstrap_auc
from reeltune.evaluation.metrics import measure
from reeltune.models.loaded_model import load_model
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.rows import (
    TokenRows,
    choose_blocks,
    held_out_rows,
    prompt_settings,
    tokenize,
    train_rows,
    validation_rows,
)
from reeltune.runs.folder import RunFolder
from reeltune.training.callbacks import KeepBest, StepClock
from reeltune.training.inputs import trainer_inputs
from reeltune.training.trainer import build_trainer

_WINDOW = ["prompt.form=window", "train.block_size=30"]
CASES: dict[str, list[str]] = {
    "single": [*_WINDOW, "train.share_history=false"],
    "blocks": [*_WINDOW],
    "interview": ["prompt.form=interview", "train.block_size=60"],
}


@dataclass(frozen=True)
class Variant:
    """How test rows are scored: the form, and whether histories are exactly as prepared."""

    form: str
    share_history: bool

    @property
    def name(self) -> str:
        """Name in tables."""
        history = "growing history" if self.share_history else "exact history"
        return f"{self.form}, {history}"


_GROWING, _EXACT = Variant(WINDOW, True), Variant(WINDOW, False)
_INTERVIEW = Variant(INTERVIEW, True)
VARIANTS = {
    "single": [_GROWING, _EXACT],
    "blocks": [_GROWING, _EXACT, _INTERVIEW],
    "interview": [_GROWING, _INTERVIEW, Variant(INTERVIEW, False)],
}


def config_of(name: str, seed: int, options: Any) -> Config:
    """Return the configuration of a case."""
    rows_per_step = {"single": options.batch}.get(name, 1)
    return load_config(
        None,
        [
            f"model.name_or_path={options.model}",
            f"data.prepared_dir={options.prepared}",
            f"data.max_train_examples={options.examples}",
            "data.max_eval_examples=200",
            "prompt.signals=[]",
            "train.pairwise_weight=0",
            "train.metric_for_best_model=eval_auc",
            f"train.output_dir={folder_of(name, seed, options)}",
            f"train.seed={seed}",
            f"train.batch_size={rows_per_step}",
            f"train.learning_rate={options.learning_rate}",
            f"train.epochs={options.epochs}",
            "train.gradient_checkpointing=false",
            "train.optimizer=adamw_torch_fused",
            "train.early_stopping_patience=null",
            "train.logging_steps=50",
            "lora.dropout=0",
            *CASES[name],
            *options.set,
        ],
    )


def folder_of(name: str, seed: int, options: Any) -> Path:
    """Return the run folder of a case."""
    return options.work / f"{name}_{seed}"


def with_pack_length(config: Config, name: str, options: Any) -> Config:
    """Choose the pack length so that a step has about ``batch`` examples."""
    if name == "single":
        return config
    tokens = {"blocks": 56, "interview": 43}[name] * options.batch
    train = config.train.model_copy(update={"pack_length": max(4096, 128 * round(tokens / 128))})
    return config.model_copy(update={"train": train})


def run_case(name: str, seed: int, options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train one case; return its figures and its predictions by variant."""
    torch._dynamo.reset()
    config = with_pack_length(config_of(name, seed, options), name, options)
    folder = PreparedFolder.open(config.data.prepared_dir)
    loaded = load_model(config, trainable=True, folder=folder)
    rows = loaded.select(train_rows(config)).rows
    inputs = trainer_inputs(loaded, rows, loaded.select(validation_rows(config)).rows)
    trainer = build_trainer(inputs, RunFolder(folder_of(name, seed, options)), StepClock())
    trainer.remove_callback(KeepBest)
    trainer.args.load_best_model_at_end = False
    trainer.args.eval_strategy = trainer.args.save_strategy = "no"
    trainer.args.eval_on_start = False
    trainer.train()
    figures: dict[str, Any] = {
        "case": f"{name}, seed {seed}",
        "examples": len(rows),
        "steps": trainer.state.global_step,
        "examples_per_step": len(rows) * config.train.epochs / trainer.state.global_step,
        "tokens_read": trainer.state.num_input_tokens_seen,
        "metrics": {},
    }
    predictions: dict[str, Any] = {}
    for variant in VARIANTS[name]:
        held_out = test_rows(config, folder, loaded.base.tokenizer, variant, options.test_rows)
        p_yes = trainer.scorer.score(held_out.sequences).p_yes
        metrics = measure(held_out.liked, p_yes, held_out.user_id).to_dict()
        figures["metrics"][variant.name] = metrics
        figures[f"auc, {variant.name}"] = metrics["auc"]
        predictions[variant.name] = (held_out, p_yes)
    return figures, predictions


def test_rows(
    config: Config,
    folder: PreparedFolder,
    tokenizer: Any,
    variant: Variant,
    limit: int | None,
) -> TokenRows:
    """Return test rows for one variant; always the same examples."""
    settings = replace(prompt_settings(folder, config.prompt), form=variant.form)
    tokens = PromptTokens(tokenizer, Renderer(settings), folder.items)
    # The sample depends on seed and block size, which differ between cases.
    selection = replace(
        held_out_rows(config, TEST, limit),
        share_history=variant.share_history,
        seed=0,
        block_size=30,
    )
    return tokenize(folder, tokens, choose_blocks(folder, selection), selection)


def differences(predictions: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return differences in AUC between layouts and forms, each with its interval."""
    pairs = []
    window, exact, interview = _GROWING.name, _EXACT.name, _INTERVIEW.name
    seeds = sorted({name.partition(", ")[2] for name in predictions})
    for seed in seeds:
        pairs += [
            ((f"blocks, {seed}", exact), (f"single, {seed}", exact)),
            ((f"blocks, {seed}", window), (f"single, {seed}", exact)),
            ((f"blocks, {seed}", window), (f"blocks, {seed}", exact)),
            ((f"interview, {seed}", interview), (f"blocks, {seed}", window)),
        ]
    listed = []
    for (case, variant), (other, other_variant) in pairs:
        if case not in predictions or other not in predictions:
            continue
        rows, p_yes = predictions[case][variant]
        _, other_p_yes = predictions[other][other_variant]
        scores = {"first": p_yes, "second": other_p_yes}
        aucs = bootstrap_auc(rows.liked, rows.user_id, scores, seed=0)
        interval = aucs.difference("first", "second", "auc")
        listed.append(
            {
                "what": f"{case} scored as {variant}, minus {other} scored as {other_variant}",
                **(vars(interval) if interval is not None else {}),
            }
        )
    return listed


def main(arguments: list[str] | None = None) -> None:
    """Run the cases and print one table."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--model", type=Path, required=True, help="A folder with real weights.")
    parser.add_argument("--examples", type=int, default=16_000)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=64, help="Approximate examples per step.")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--test-rows", type=int, default=None)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--at-once", type=int, default=1, help="Cases to run in parallel.")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--work", type=Path, default=Path("output/quality"))
    options = parser.parse_args(arguments)

    cases, predictions, compared = [], {}, []
    seeds = [seed for seed in options.seeds for _ in options.cases]
    names = options.cases * len(options.seeds)
    run = partial(run_case, options=options)
    with ProcessPoolExecutor(options.at_once, get_context("spawn")) as processes:
        for figures, scored in processes.map(run, names, seeds):
            cases.append(figures)
            predictions[figures["case"]] = scored
            print(_line(figures), flush=True)
            compared = differences(predictions)
            write_result(
                options.result,
                command_line(
                    "quality",
                    options,
                    "model",
                    "examples",
                    "epochs",
                    "batch",
                    "learning_rate",
                    "test_rows",
                    "seeds",
                    "cases",
                    "set",
                ),
                cases,
                differences=compared,
                note=options.note,
            )
    for figures in cases:
        print(_line(figures))
    for difference in compared:
        print(
            f"{difference['what']}: {difference['value']:+.4f} "
            f"({difference['low']:+.4f} to {difference['high']:+.4f})"
        )


def _line(figures: dict[str, Any]) -> str:
    metrics = figures["metrics"]
    shown = "  ".join(f"{name}: AUC {metrics[name]['auc']:.4f}" for name in sorted(metrics))
    return f"{figures['case']:18} {figures['examples']} examples, {figures['steps']} steps  {shown}"


if __name__ == "__main__":
    main()
