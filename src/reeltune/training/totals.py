"""Figures of the whole run: the trainer counts some of them from the resumption only."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reeltune.runs.environment import peak_memory
from reeltune.runs.log import LOGGER
from reeltune.training.callbacks import StepClock

if TYPE_CHECKING:
    from reeltune.training.trainer import YesNoTrainer

SAVED_AS: Final = "reeltune"  # in stateful_callbacks of trainer_state.json


class RunTotals(TrainerCallback):
    """Saves the totals of a run with every checkpoint, and continues them after a resumption.

    What a killed process did after its last checkpoint is not counted. Checkpoints of version 0.1.0
    have no totals: then :attr:`complete` is false.
    """

    def __init__(self, trainer: YesNoTrainer, clock: StepClock) -> None:
        self.complete = True
        self.run_started = ""  # identifies the run
        self._trainer, self._clock = trainer, clock
        self._seconds = self._train_seconds = 0.0  # of earlier processes
        self._peak: dict[str, float] = {}
        self._train_began = time.monotonic()

    @property
    def seconds(self) -> float:
        """The time since the beginning of the run, loading included."""
        return self._seconds + time.monotonic() - self._clock.began

    def peak_memory(self) -> dict[str, float]:
        """Return the largest memory any process of the run has held, in GiB."""
        now = peak_memory()
        return {name: max(gib, self._peak.get(name, 0.0)) for name, gib in now.items()}

    def save(self) -> None:
        """Put the totals into the trainer's state; every process must call this."""
        trainer = self._trainer
        pending: Any = trainer.accelerator.reduce(trainer._tr_loss, reduction="mean")
        totals = {
            "run_started": self.run_started,
            "seconds": self.seconds,
            "train_seconds": self._train_seconds + time.monotonic() - self._train_began,
            "peak_memory": self.peak_memory(),
            "loss_sum": trainer._total_loss_scalar,
            "loss_since_log": pending.item(),
            "logged_step": trainer._globalstep_last_logged,
            "clock": self._clock.counts(),
        }
        _saved(trainer.state)[SAVED_AS] = {"args": totals}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Continue the totals of a resumed run; stop at once if its last step was done."""
        del kwargs
        self._train_began = time.monotonic()
        if not state.global_step:
            return
        saved = _saved(state)
        last_control = saved.get("TrainerControl", {}).get("args", {})
        control.should_training_stop = state.global_step >= state.max_steps or bool(
            last_control.get("should_training_stop")
        )
        if state.best_global_step:  # the run folder may have moved since
            state.best_model_checkpoint = f"{args.output_dir}/checkpoint-{state.best_global_step}"
        if SAVED_AS not in saved:
            self.complete = False
            LOGGER.warning(
                "the checkpoint is of version 0.1.0: train_loss and train_seconds of the whole run "
                "are unknown; speed, peak memory and seconds count from step %d",
                state.global_step,
            )
            return
        totals, trainer = saved[SAVED_AS]["args"], self._trainer
        self._seconds, self._train_seconds = totals["seconds"], totals["train_seconds"]
        self._peak = totals["peak_memory"]
        trainer._total_loss_scalar = totals["loss_sum"]
        trainer._tr_loss += totals["loss_since_log"]
        trainer._globalstep_last_logged = totals["logged_step"]
        self._clock.continue_from(totals["clock"])

    def of_whole_run(self, summary: dict[str, float]) -> dict[str, float]:
        """Return the trainer's last report, of the whole run and of the steps that were done."""
        state, seconds = self._trainer.state, summary["train_runtime"]
        if not self.complete:
            return {"total_flos": summary["total_flos"]}
        whole = summary | {"train_runtime": self._train_seconds + seconds}
        done = state.global_step / state.max_steps * seconds / whole["train_runtime"]
        for name in ("train_samples_per_second", "train_steps_per_second"):
            whole[name] = round(summary[name] * done, 3)
        return whole


def _saved(state: TrainerState) -> dict[str, Any]:
    """Return what ``trainer_state.json`` holds for callbacks, by name."""
    assert isinstance(state.stateful_callbacks, dict)
    return state.stateful_callbacks
