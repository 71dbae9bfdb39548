"""What a run writes down: ``run.json`` when it starts, ``metrics.json`` when it ends."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reeltune.models.load import parameter_counts
from reeltune.runs.environment import hardware, package_versions
from reeltune.runs.folder import RunFolder, config_part
from reeltune.training.build import TrainerInputs
from reeltune.training.memory import describe_checkpointing
from reeltune.training.trainer import YesNoTrainer


def first_record(inputs: TrainerInputs, run: RunFolder, checkpoint: Path | None) -> dict[str, Any]:
    """Return the record of a run that is about to train."""
    folder, config = inputs.loaded.folder, inputs.loaded.config
    trainable, total = parameter_counts(inputs.loaded.peft_model)
    resumed = list(run.record().get("resumed_from", [])) if checkpoint is not None else []
    return {
        "status": "running",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "resumed_from": [*resumed, checkpoint.name] if checkpoint is not None else resumed,
        **config_part(config),
        "versions": package_versions(),
        "hardware": hardware(),
        "choices": [
            *inputs.loaded.base.choices.describe(),
            describe_checkpointing(inputs.checkpointing),
        ],
        "prompt": inputs.loaded.settings.to_dict(),
        "data": {
            "edition": folder.meta["edition"],
            "history_len": folder.history_len,
            "files": folder.meta["files"],
        },
        "rows": {"train": len(inputs.train_rows), "validation": len(inputs.eval_rows)},
        "parameters": {"trainable": trainable, "total": total},
    }


def run_metrics(trainer: YesNoTrainer) -> dict[str, Any]:
    """Return what ``metrics.json`` holds: the best evaluation, all evaluations, the losses."""
    state = trainer.state
    evaluations = [entry for entry in state.log_history if "eval_rows" in entry]
    losses = [
        {"step": entry["step"], "loss": entry["loss"]}
        for entry in state.log_history
        if "loss" in entry
    ]
    best = next((e for e in evaluations if e["step"] == state.best_global_step), None)
    summary = next((e for e in reversed(state.log_history) if "train_runtime" in e), {})
    return {
        "steps": state.global_step,
        "steps_planned": state.max_steps,
        "stopped_early": state.global_step < state.max_steps,
        "tokens_seen": state.num_input_tokens_seen,
        "best_step": state.best_global_step,
        "best": best,
        "evaluations": evaluations,
        "losses": losses,
        "train_seconds": summary.get("train_runtime"),
        "train_loss": summary.get("train_loss"),
    }
