"""When the trainer evaluates and saves beyond its own schedule."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class KeepBest(TrainerCallback):
    """Evaluates after the last step too, and saves whenever the best metric improves.

    The trainer by itself skips the evaluation of a last step that is no multiple of the interval,
    and can only return to a best step that happened to be saved.
    """

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Ask for an evaluation at the last step."""
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
        """Ask for a checkpoint when this evaluation is the best so far."""
        del kwargs
        value = (metrics or {}).get(str(args.metric_for_best_model))
        if value is not None:
            best = state.best_metric
            higher = best is None or value > best
            lower = best is None or value < best
            if higher if args.greater_is_better else lower:
                control.should_save = True
