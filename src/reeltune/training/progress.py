"""The trainer's reports as readable lines."""

from __future__ import annotations

import time

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reeltune.runs.log import LOGGER, format_seconds


class ProgressLog(TrainerCallback):
    """Writes each report of the trainer as one readable line."""

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        """Remember where this process began, for the time left."""
        del args, control, kwargs
        self.began = time.monotonic()
        self.first_step = state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Write one line for a report."""
        del args, control, kwargs
        if not state.is_world_process_zero or not logs:
            return
        if "eval_rows" in logs:
            LOGGER.info("step %d: %s", state.global_step, evaluation_line(logs))
        elif "loss" in logs:
            steps = state.global_step - self.first_step
            left = (state.max_steps - state.global_step) * (time.monotonic() - self.began) / steps
            LOGGER.info(
                "step %d/%d: loss %.4f, gradient norm %.3f, learning rate %.2e, %s left",
                state.global_step,
                state.max_steps,
                logs["loss"],
                logs.get("grad_norm", float("nan")),
                logs["learning_rate"],
                format_seconds(left),
            )


def evaluation_line(metrics: dict[str, float]) -> str:
    """Return the validation metrics as one line; a metric that is undefined says so."""
    names = ("auc", "accuracy", "majority_rate", "f1", "log_loss")
    values = (
        f"{name} {metrics[f'eval_{name}']:.4f}"
        if f"eval_{name}" in metrics
        else f"{name} undefined"
        for name in names
    )
    return f"validation {', '.join(values)} ({metrics['eval_rows']:.0f} rows)"
