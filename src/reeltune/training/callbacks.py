"""Callbacks of the trainer: when it evaluates and saves, what it logs, how fast it is."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reeltune.progress import format_seconds
from reeltune.runs.log import LOGGER


class KeepBest(TrainerCallback):
    """Evaluates after the last step too, and saves whenever the best metric improves.

    The trainer by itself skips the evaluation of a last step that is no multiple of the interval,
    and can only return to a best step that happened to be saved.
    """

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Request an evaluation at the last step."""
        del args, kwargs
        if state.global_step >= state.max_steps:
            control.should_evaluate = True

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Request a checkpoint if this evaluation is the best so far."""
        del kwargs
        value, best = (metrics or {}).get(str(args.metric_for_best_model)), state.best_metric
        # Before the first step there is nothing to keep.
        if (
            value is not None
            and state.global_step
            and (best is None or (value > best if args.greater_is_better else value < best))
        ):
            control.should_save = True


class ProgressLog(TrainerCallback):
    """Writes the reports of a step, training loss and evaluation, as one line."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._first_step = 0
        self._training: list[str] = []  # of a step that is about to be evaluated

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Remember where this process began, for the time left."""
        del args, control, kwargs
        if self._began is None:
            self._began, self._first_step = time.monotonic(), state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write a report, or keep that of a step that is evaluated next for its one line."""
        del args, kwargs
        if not state.is_world_process_zero or not logs:
            return
        if "eval_rows" in logs:
            parts, self._training = [*self._training, evaluation_line(logs)], []
        elif "loss" in logs and self._began is not None:
            seconds, steps = time.monotonic() - self._began, state.global_step - self._first_step
            left = (state.max_steps - state.global_step) * seconds / steps
            parts = [training_line(logs), f"{format_seconds(left)} left"]
            if control.should_evaluate:
                self._training = parts
                return
        else:
            return
        LOGGER.info("step %d/%d: %s", state.global_step, state.max_steps, ", ".join(parts))


def training_line(logs: dict[str, float]) -> str:
    """Return loss, gradient norm, learning rate and, once measured, speed."""
    values = [
        f"loss {logs['loss']:.4f}",
        f"grad_norm {logs.get('grad_norm', float('nan')):.3f}",
        f"learning_rate {logs['learning_rate']:.2e}",
    ]
    if "tokens_per_second" in logs:
        values.append(f"{logs['tokens_per_second']:,.0f} tokens/s")
    return ", ".join(values)


def evaluation_line(metrics: dict[str, float]) -> str:
    """Return the validation metrics in short; a metric that is undefined says so."""
    names = ("eval_auc", "eval_auc_per_user_mean", "eval_log_loss", "eval_accuracy")
    return ", ".join(
        f"{name} {metrics[name]:.4f}" if name in metrics else f"{name} undefined" for name in names
    )


class StepClock(TrainerCallback):
    """Measures the speed of training steps, without warm-up, evaluations and saving.

    The GPU is synchronized only where steps are interrupted anyway, so that measuring does not slow
    what it measures.
    """

    WARM_UP_STEPS = 3

    def __init__(self) -> None:
        self.began = time.monotonic()
        self._seconds = 0.0
        self._counted = np.zeros(3, dtype=np.int64)  # steps, examples, tokens
        self._ended = 0
        self._since: float | None = None
        self._pending = np.zeros(3, dtype=np.int64)  # since then
        self._last = (0.0, 0)  # seconds and tokens at the last call of tokens_per_second

    def counts(self) -> list[float]:
        """Return the time, steps, examples and tokens counted."""
        return [self._seconds, *self._counted.tolist()]

    def continue_from(self, counts: list[float]) -> None:
        """Add to the counts of the process that wrote a checkpoint."""
        self._seconds, self._counted[:] = counts[0], counts[1:]
        self._last = (self._seconds, int(self._counted[2]))

    def count(self, examples: int, tokens: int) -> None:
        """Add the examples and tokens of one batch, over all processes, padding excluded."""
        self._pending += (0, examples, tokens)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count a step, including its data loading."""
        del args, state, kwargs
        self._ended += 1
        if self._ended <= self.WARM_UP_STEPS:
            self._start()
            return
        self._pending[0] += 1
        if control.should_evaluate or control.should_save or control.should_training_stop:
            self._stop()

    def on_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """Continue after an evaluation."""
        del args, kwargs
        self._start()

    on_save = on_evaluate

    def speed(self) -> dict[str, float] | None:
        """Return steps, examples and tokens per second, or None if no step was counted."""
        if not self._counted[0]:
            return None
        steps, examples, tokens = (self._counted / self._seconds).tolist()
        return {
            "steps_counted": int(self._counted[0]),
            "steps_per_second": steps,
            "examples_per_second": examples,
            "tokens_per_second": tokens,
        }

    def tokens_per_second(self) -> float | None:
        """Return the speed since the last call, or None if no step was counted since."""
        seconds, tokens = self._seconds, int(self._counted[2])
        if self._since is not None:
            seconds += time.monotonic() - self._since
            tokens += int(self._pending[2])
        before, self._last = self._last, (seconds, tokens)
        if tokens == before[1]:
            return None
        return (tokens - before[1]) / (seconds - before[0])

    def _start(self) -> None:
        if self._ended >= self.WARM_UP_STEPS:
            _synchronize()
            self._since = time.monotonic()
            self._pending[:] = 0

    def _stop(self) -> None:
        if self._since is None:
            return
        _synchronize()
        if self._pending[0]:
            self._seconds += time.monotonic() - self._since
        self._counted += self._pending
        self._since = None
        self._pending[:] = 0


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
