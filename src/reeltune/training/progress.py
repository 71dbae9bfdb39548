"""The trainer's reports as readable lines."""

from __future__ import annotations

import time
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reeltune.progress import format_seconds
from reeltune.runs.log import LOGGER


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


class StepClock(TrainerCallback):
    """Measures the speed of training steps alone: no evaluation, no saving, no warm-up.

    A GPU is waited for only where steps are interrupted anyway, so that measuring does not slow
    what it measures.

    Attributes:
        seconds: Time of the steps counted.
        steps: How many were counted.
        examples: Predictions they learned from.
        tokens: Tokens they read, padding excluded.
    """

    WARM_UP_STEPS = 3

    def __init__(self) -> None:
        self.seconds = 0.0
        self.steps = 0
        self.examples = 0
        self.tokens = 0
        self._ended = 0
        self._since: float | None = None
        self._open = (0, 0, 0)

    def count(self, examples: int, tokens: int) -> None:
        """Take note of what a step reads, over all processes."""
        steps, examples_before, tokens_before = self._open
        self._open = (steps, examples_before + examples, tokens_before + tokens)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Count the step that has just ended, its share of data loading included."""
        del args, state, kwargs
        self._ended += 1
        if self._ended <= self.WARM_UP_STEPS:
            if self._ended == self.WARM_UP_STEPS:
                self._resume()
            return
        steps, examples, tokens = self._open
        self._open = (steps + 1, examples, tokens)
        if control.should_evaluate or control.should_save or control.should_training_stop:
            self._pause()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Go on measuring after an evaluation."""
        del args, state, control, kwargs
        self._resume()

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Go on measuring after a checkpoint."""
        del args, state, control, kwargs
        self._resume()

    def speed(self) -> dict[str, float] | None:
        """Return examples, tokens and steps per second, or None if no step was counted."""
        if not self.steps:
            return None
        return {
            "steps_counted": self.steps,
            "steps_per_second": self.steps / self.seconds,
            "examples_per_second": self.examples / self.seconds,
            "tokens_per_second": self.tokens / self.seconds,
        }

    def _resume(self) -> None:
        if self._ended < self.WARM_UP_STEPS:
            return
        _wait_for_gpu()
        self._since = time.monotonic()
        self._open = (0, 0, 0)

    def _pause(self) -> None:
        if self._since is None:
            return
        _wait_for_gpu()
        steps, examples, tokens = self._open
        if steps:
            self.seconds += time.monotonic() - self._since
        self.steps += steps
        self.examples += examples
        self.tokens += tokens
        self._since = None
        self._open = (0, 0, 0)


def _wait_for_gpu() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
