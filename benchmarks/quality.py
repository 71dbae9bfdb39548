"""Quality of layouts and forms: real weights, real ratings, equal numbers of examples seen.

Every case trains on the same examples, then scores the same test rows in several ways: as it was
trained, with a history of exactly 15, and in the other form. Differences between cases come with
intervals over users, drawn with the same users for both.

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
    BLOCKS,
    SINGLE,
    TokenRows,
    choose_blocks,
    held_out_rows,
    prompt_settings,
    tokenize,
    train_rows,
)
from reeltune.runs.folder import RunFolder
from reeltune.training.build import build_trainer, trainer_inputs
from reeltune.training.callbacks import KeepBest
from reeltune.training.progress import StepClock
from reeltune.training.setup import validation_rows

_WINDOW = ["prompt.form=window", "train.block_size=30"]
CASES: dict[str, list[str]] = {
    "single": [*_WINDOW, "train.share_history=false"],
    "blocks": [*_WINDOW],
    "interview": ["prompt.form=interview", "train.block_size=60"],
}


@dataclass(frozen=True)
class Asked:
    """How test rows are asked: the form, and whether the history is exactly as prepared."""

    form: str
    layout: str

    @property
    def name(self) -> str:
        """A short name for tables."""
        history = "growing history" if self.layout == BLOCKS else "history exact"
        return f"{self.form}, {history}"


_GROWING, _EXACT = Asked(WINDOW, BLOCKS), Asked(WINDOW, SINGLE)
_INTERVIEW = Asked(INTERVIEW, BLOCKS)
WAYS = {
    "single": [_GROWING, _EXACT],
    "blocks": [_GROWING, _EXACT, _INTERVIEW],
    "interview": [_GROWING, _INTERVIEW, Asked(INTERVIEW, SINGLE)],
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
    """Return where a case may write."""
    return options.work / f"{name}_{seed}"


def packed_to_batch(config: Config, name: str, options: Any) -> Config:
    """Choose the packed rows' length so that a step holds about as many examples as ``batch``."""
    if name == SINGLE:
        return config
    tokens = {"blocks": 56, "interview": 43}[name] * options.batch
    train = config.train.model_copy(update={"pack_length": max(4096, 128 * round(tokens / 128))})
    return config.model_copy(update={"train": train})


def run_case(name: str, seed: int, options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train one case; return its figures, and its predictions by way of asking."""
    torch._dynamo.reset()
    config = packed_to_batch(config_of(name, seed, options), name, options)
    folder = PreparedFolder.open(config.data.prepared_dir)
    loaded = load_model(config, trainable=True, folder=folder)
    rows = loaded.select(train_rows(config)).rows
    inputs = trainer_inputs(loaded, rows, loaded.select(validation_rows(config)).rows)
    trainer = build_trainer(inputs, RunFolder(folder_of(name, seed, options)), StepClock())
    trainer.remove_callback(KeepBest)
    trainer.args.load_best_model_at_end = False
    trainer.args.eval_strategy = trainer.args.save_strategy = "no"
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
    for way in WAYS[name]:
        held_out = held_out_of(config, folder, loaded.base.tokenizer, way, TEST, options.test_rows)
        p_yes = trainer.scorer.score(held_out.sequences).p_yes
        found = measure(held_out.liked, p_yes, held_out.user_id).to_dict()
        figures["metrics"][way.name] = found
        figures[f"auc, {way.name}"] = found["auc"]
        predictions[way.name] = (held_out, p_yes)
    return figures, predictions


def held_out_of(
    config: Config,
    folder: PreparedFolder,
    tokenizer: Any,
    way: Asked,
    split: str,
    limit: int | None,
) -> TokenRows:
    """Return held-out rows asked in one way; always the same examples."""
    settings = replace(prompt_settings(folder, config.prompt), form=way.form)
    tokens = PromptTokens(tokenizer, Renderer(settings), folder.items)
    # Which rows a sample holds depends on seed and block length, which differ between cases.
    selection = replace(
        held_out_rows(config, split, limit), layout=way.layout, seed=0, block_size=30
    )
    return tokenize(folder, tokens, choose_blocks(folder, selection), selection)


def differences(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the differences in AUC that the question is about, each with its interval."""
    pairs = []
    window, exact, interview = _GROWING.name, _EXACT.name, _INTERVIEW.name
    seeds = sorted({name.partition(", ")[2] for name in found})
    for seed in seeds:
        pairs += [
            ((f"blocks, {seed}", exact), (f"single, {seed}", exact)),
            ((f"blocks, {seed}", window), (f"single, {seed}", exact)),
            ((f"blocks, {seed}", window), (f"blocks, {seed}", exact)),
            ((f"interview, {seed}", interview), (f"blocks, {seed}", window)),
        ]
    listed = []
    for (case, way), (other, other_way) in pairs:
        if case not in found or other not in found:
            continue
        rows, p_yes = found[case][way]
        _, theirs = found[other][other_way]
        scores = {"one": p_yes, "other": theirs}
        aucs = bootstrap_auc(rows.liked, rows.user_id, scores, seed=0)
        interval = aucs.difference("one", "other", "auc")
        listed.append(
            {
                "what": f"{case} asked as {way}, less {other} asked as {other_way}",
                **(vars(interval) if interval is not None else {}),
            }
        )
    return listed


def main() -> None:
    """Run the cases and print one table."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--model", type=Path, required=True, help="A folder with real weights.")
    parser.add_argument("--examples", type=int, default=16_000)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=64, help="Examples of a step, about.")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--test-rows", type=int, default=None)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--at-once", type=int, default=1, help="Cases that run side by side.")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--work", type=Path, default=Path("output/quality"))
    options = parser.parse_args()

    cases, predictions, compared = [], {}, []
    seeds = [seed for seed in options.seeds for _ in options.cases]
    names = options.cases * len(options.seeds)
    run = partial(run_case, options=options)
    with ProcessPoolExecutor(options.at_once, get_context("spawn")) as processes:
        for figures, found in processes.map(run, names, seeds):
            cases.append(figures)
            predictions[figures["case"]] = found
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
