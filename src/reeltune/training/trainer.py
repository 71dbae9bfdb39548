"""TRL's SFTTrainer with its own head positions and evaluation, built from a configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from transformers import EarlyStoppingCallback, PrinterCallback
from transformers.integrations import TensorBoardCallback
from trl import SFTConfig, SFTTrainer

from reeltune.config.schema import LOWER_IS_BETTER
from reeltune.errors import RunError
from reeltune.evaluation.metrics import measure
from reeltune.models.causal_lm import compile_layers
from reeltune.models.choices import fsdp_not_supported, is_sharded, process_state
from reeltune.models.prompt_record import PromptRecord, write_prompt_record
from reeltune.prompts.rows import TokenRows
from reeltune.prompts.sequences import Sequences
from reeltune.runs.folder import ADAPTER_WEIGHTS, TENSORBOARD_DIR, RunFolder, flat_config
from reeltune.runs.log import LOGGER
from reeltune.scoring.scorer import Scorer
from reeltune.training.callbacks import KeepBest, ProgressLog, StepClock
from reeltune.training.checkpoints import WriteChecksums
from reeltune.training.collate import ROW, Batch
from reeltune.training.inputs import TrainerInputs
from reeltune.training.loss import answer_loss, attention_of
from reeltune.training.totals import RunTotals
from reeltune.training.trackers import set_tracker_defaults

_WHOLE_ADAPTER: Final = StateDictOptions(
    full_state_dict=True, cpu_offload=True, ignore_frozen_params=True
)


@dataclass
class TrainerArguments(SFTConfig):
    """TRL's arguments, shown to trackers together with the run's configuration.

    Attributes:
        hyperparameters: By full key, such as ``lora.r``.
    """

    hyperparameters: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the values that trackers record."""
        values = super().to_dict()
        return values | values.pop("hyperparameters")


class YesNoTrainer(SFTTrainer):
    """An SFTTrainer whose evaluation is the scorer's predictions on validation rows.

    * The loss is the cross entropy at labelled positions, with the head applied nowhere else, plus
      :func:`reeltune.training.loss.pairwise_loss` if weighted. Divided by the number of labels in
      the whole accumulated batch, it does not depend on how that batch is divided.
    * :meth:`evaluate` reports ``eval_auc`` and the rest, so that early stopping and the best
      checkpoint follow them.

    Args:
        scorer: Computes the predictions, on the model that is trained.
        eval_rows: The validation rows.
        prompt_record: Saved with every adapter.
        clock: Counts examples and tokens.
        pairwise_weight: Weight of the pairwise loss.
    """

    begin: Callable[[], None] = staticmethod(lambda: None)  # before the first step

    def __init__(
        self,
        *args: Any,
        scorer: Scorer,
        eval_rows: TokenRows,
        prompt_record: PromptRecord,
        clock: StepClock,
        pairwise_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        assert isinstance(self.model, torch.nn.Module)
        hold_in_float32(self.model)
        self.scorer = scorer
        self.clock = clock
        self.pairwise_weight = pairwise_weight
        self.eval_rows = eval_rows
        self.prompt_record = prompt_record
        self._evaluated: dict[int, npt.NDArray[np.float64]] = {}
        self.totals = RunTotals(self, clock)
        self.add_callback(self.totals)

    @property
    def train_rows(self) -> int:
        """The number of rows of an epoch, each of one or several sequences."""
        return len(self.data_collator)  # pyright: ignore[reportArgumentType]

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``begin`` once the model is on its devices."""
        prepared = super()._prepare_for_training(*args, **kwargs)
        self.begin()
        return prepared

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load both; under FSDP that does a step, which needs loss scaling (transformers 5.17)."""
        if checkpoint and self.is_fsdp_enabled and self.accelerator.scaler is not None:
            self.accelerator.scaler.scale(torch.zeros((), device=self.args.device))
        super()._load_optimizer_and_scheduler(checkpoint)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Train an epoch, unless a resumed run had already done its last step."""
        if not self.control.should_training_stop:
            super()._run_epoch(*args, **kwargs)

    def training_step(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, model: torch.nn.Module, inputs: Batch, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Do one forward and one backward pass."""
        with attention_of(self.scorer.head, inputs):
            return super().training_step(model, inputs, *args, **kwargs)

    def compute_loss(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        model: torch.nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """Return the summed loss over the labels of the step.

        Args:
            model: The model, possibly wrapped for several devices.
            inputs: A batch of a :class:`reeltune.training.collate.Collator`.
            return_outputs: Whether to return the model's outputs as well.
            num_items_in_batch: Labels in the whole step, over all devices and accumulation.
        """
        loss, outputs = answer_loss(
            model, self.scorer.head, inputs, self.scorer.answers, self.pairwise_weight
        )
        processes = self.accelerator.num_processes
        self.state.num_input_tokens_seen += inputs["tokens"] * processes
        self.clock.count(len(inputs["answer_position"]) * processes, inputs["tokens"] * processes)
        if num_items_in_batch is None:
            loss = loss / inputs["labels"].numel()
        else:
            loss = loss / num_items_in_batch
            if self.args.average_tokens_across_devices:
                # The labels were counted over every process, and gradients will be averaged.
                loss = loss * processes
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Report to the callbacks, with speed and memory beside the training loss."""
        if "loss" in logs:
            speed = self.clock.tokens_per_second()
            if speed is not None:
                logs["tokens_per_second"] = round(speed, 1)
            logs |= {f"peak_{name}": gib for name, gib in self.totals.peak_memory().items()}
        if "train_runtime" in logs:
            logs = self.totals.of_whole_run(logs)
        super().log(logs, start_time)

    def evaluate(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any
    ) -> dict[str, float]:
        """Score the validation rows and report every metric that is defined on them."""
        del args, kwargs  # the rows are fixed; see eval_rows
        p_yes = self._p_yes(self.eval_rows.sequences)
        if not np.isfinite(p_yes).all():
            raise RunError(
                f"predictions are not finite after step {self.state.global_step}",
                code="training_diverged",
                where=str(self.args.output_dir),
                hint="Lower train.learning_rate or train.max_grad_norm, and start from the newest "
                "checkpoint or anew",
            )
        # Of earlier steps, only the best can be the one that is kept.
        kept = {step: old for step, old in self._evaluated.items() if step == self.kept_step}
        self._evaluated = kept | {self.state.global_step: p_yes}
        measured = measure(self.eval_rows.liked, p_yes, self.eval_rows.user_id).to_dict()
        metrics = {
            f"{metric_key_prefix}_{name}": float(value)
            for name, value in measured.items()
            if value is not None
        }
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    @property
    def kept_step(self) -> int:
        """The step whose adapter is kept when training ends."""
        best = self.state.best_global_step
        if self.args.metric_for_best_model is None or best is None:
            return self.state.global_step
        return best

    def final_p_yes(self) -> npt.NDArray[np.float64]:
        """Return P(Yes) of the validation rows by the kept adapter, in every process."""
        if self.kept_step in self._evaluated:
            return self._evaluated[self.kept_step]
        LOGGER.info("scoring the validation rows again, by the adapter of step %d", self.kept_step)
        return self._p_yes(self.eval_rows.sequences)

    def _p_yes(self, sequences: Sequences) -> npt.NDArray[np.float64]:
        """Return P(Yes) of every prediction, in every process; each computes its share of them."""
        processes = self.accelerator.num_processes
        if processes == 1:
            return self.scorer.score(sequences).p_yes
        first = min(self.accelerator.process_index, len(sequences) - 1)
        rows = np.arange(first, len(sequences), processes)
        mine = self.scorer.score(sequences.take(rows)).p_yes
        p_yes = np.empty(sequences.answer_count)
        for indices, values in gather_object([(sequences.answers_of(rows), mine)]):
            p_yes[indices] = values
        return p_yes

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the adapter together with the prompt it was trained on."""
        if _internal_call:  # a checkpoint
            self.totals.save()
        folder = Path(output_dir or str(self.args.output_dir))
        if self.is_fsdp_enabled:  # the trainer by itself would gather the base model, too
            assert isinstance(self.model, torch.nn.Module)
            adapter = get_model_state_dict(self.model, options=_WHOLE_ADAPTER)
            if self.args.should_save:
                self._save(str(folder), state_dict=adapter)
        else:
            super().save_model(output_dir, _internal_call)
        if self.args.should_save:
            write_prompt_record(folder, self.prompt_record)
            # safetensors 0.8 writes files only their owner can read
            (folder / ADAPTER_WEIGHTS).chmod(0o644)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write nothing: the card is made from the run's record when training has ended."""


def hold_in_float32(model: torch.nn.Module) -> None:
    """Hold what is trained in float32, whatever number type the rest has.

    TRL casts the adapter of a 4-bit model to bfloat16 when a trainer is made (seen in 1.16), where
    a step of a small learning rate rounds to nothing; and a checkpoint is read back in float32, so
    a resumed run would differ. Must precede the optimizer.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def build_trainer(
    inputs: TrainerInputs, run: RunFolder, clock: StepClock, checkpoint: Path | None = None
) -> YesNoTrainer:
    """Return the trainer with its callbacks."""
    from torch.utils.tensorboard import SummaryWriter

    loaded, section = inputs.loaded, inputs.loaded.config.train
    callbacks = [WriteChecksums(), KeepBest(), ProgressLog(), clock]
    if section.early_stopping_patience is not None:
        callbacks.append(
            EarlyStoppingCallback(section.early_stopping_patience, section.early_stopping_min_delta)
        )
    set_tracker_defaults()
    if "tensorboard" in section.report_to and process_state().is_main_process:
        # Hides what a killed process logged after the checkpoint.
        first = 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2]) + 1
        writer = SummaryWriter(str(run.path / TENSORBOARD_DIR), purge_step=first)
        callbacks.append(TensorBoardCallback(writer))
    # Plain prompts come in batches of ever new shapes, each of which would be compiled.
    if section.compile and section.share_history and loaded.device.type == "cuda":
        compile_layers(loaded.model)
    rows = Dataset.from_dict({ROW: np.arange(len(inputs.collator))})
    trainer = YesNoTrainer(
        model=loaded.model,
        args=trainer_arguments(inputs, run.path),
        train_dataset=rows,
        # evaluate() scores eval_rows; the trainer only insists on a data set here
        eval_dataset=rows.select([]),
        processing_class=loaded.base.tokenizer,
        data_collator=inputs.collator,
        callbacks=callbacks,
        scorer=Scorer(loaded.model, loaded.answers, loaded.config.scoring.tokens_per_batch),
        eval_rows=inputs.eval_rows,
        prompt_record=loaded.prompt_record(),
        clock=clock,
        pairwise_weight=section.pairwise_weight,
    )
    if is_sharded() and not trainer.is_fsdp_enabled:
        raise fsdp_not_supported("accelerate shards on GPUs only", "Launch without FSDP")
    trainer.remove_callback(PrinterCallback)  # ProgressLog prints the same, readably
    return trainer


_SAME_NAMES: Final = {
    *("gradient_accumulation_steps", "learning_rate", "lr_scheduler_type", "weight_decay"),
    *("max_grad_norm", "logging_steps", "eval_steps", "save_steps", "save_total_limit", "seed"),
    *("metric_for_best_model", "dataloader_num_workers"),
}
"""Keys of ``train`` that transformers' arguments have under the same names."""


def trainer_arguments(inputs: TrainerInputs, output_dir: Path) -> TrainerArguments:
    """Return TRL's arguments for a configuration."""
    config, choices = inputs.loaded.config, inputs.loaded.base.choices
    section, device, dtype = config.train, choices.device.value, choices.dtype.value
    trackers = [name for name in section.report_to if name != "tensorboard"]
    metric = section.metric_for_best_model
    return TrainerArguments(
        output_dir=str(output_dir),
        num_train_epochs=section.epochs,
        max_steps=section.max_steps or -1,
        per_device_train_batch_size=section.batch_size,
        warmup_steps=section.warmup_ratio,  # below 1 it is a share of the steps
        optim=section.optimizer,
        bf16=dtype == torch.bfloat16,
        fp16=dtype == torch.float16,
        use_cpu=device.type == "cpu",
        gradient_checkpointing=inputs.checkpointing.value,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        log_level_replica="error",  # as quiet_libraries sets it for the first process
        logging_first_step=True,
        # The filter would wait for the GPU at every step, and hide a loss that is not a number.
        logging_nan_inf_filter=False,
        eval_strategy="steps",
        eval_on_start=True,
        save_strategy="steps",
        load_best_model_at_end=metric is not None,
        greater_is_better=metric not in LOWER_IS_BETTER,
        restore_callback_states_from_checkpoint=True,
        data_seed=section.seed,
        # A batch is copied to the GPU while the step before it still runs.
        accelerator_config={"non_blocking": device.type == "cuda"},
        # Every weight of an adapter takes part in every step.
        ddp_find_unused_parameters=False,
        remove_unused_columns=False,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        disable_tqdm=True,
        report_to=trackers or "none",
        run_name=section.run_name or output_dir.name,
        project="reeltune",
        trackio_static_space_id=False,
        hyperparameters=flat_config(config),
        **section.model_dump(include=_SAME_NAMES),
    )
