"""TRL's SFTTrainer with two differences: where the head is applied, and what evaluation means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate.utils import gather_object
from trl import SFTTrainer

from reeltune.errors import RunError
from reeltune.evaluation.metrics import measure
from reeltune.models.prompt_record import PromptRecord, write_prompt_record
from reeltune.prompts.rows import TokenRows
from reeltune.prompts.sequences import Sequences
from reeltune.scoring.scorer import Scorer
from reeltune.training.collate import Batch
from reeltune.training.loss import answer_loss, attention_of
from reeltune.training.progress import StepClock


class YesNoTrainer(SFTTrainer):
    """An SFTTrainer whose evaluation is the one scorer's predictions on held-out rows.

    * The loss is the cross entropy at labelled positions, with the head applied nowhere else, and,
      if asked for, what :func:`reeltune.training.loss.pairwise_loss` says. Divided by the number of
      labels in the whole accumulated batch, it does not depend on how that batch is cut up.
    * :meth:`evaluate` reports ``eval_auc`` and the rest, so that early stopping and the best
      checkpoint follow the number users care about.

    Args:
        scorer: Computes the predictions, on the same model that is trained.
        eval_rows: The validation rows.
        prompt_record: Saved with every adapter.
        clock: Told what every step reads.
        pairwise_weight: How much the order of each block's films counts beside the answers.
    """

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

    @property
    def train_rows(self) -> int:
        """How many rows, of one sequence or several, an epoch has."""
        return len(self.data_collator)  # pyright: ignore[reportArgumentType]

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
            inputs: What a :class:`reeltune.training.collate.Collator` gives.
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
                loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

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
        found = measure(self.eval_rows.liked, p_yes, self.eval_rows.user_id).to_dict()
        metrics = {
            f"{metric_key_prefix}_{name}": float(value)
            for name, value in found.items()
            if value is not None
        }
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _p_yes(self, sequences: Sequences) -> npt.NDArray[np.float64]:
        """Return P(Yes) of every prediction, in every process; each computes its share of them."""
        processes = self.accelerator.num_processes
        if processes == 1:
            return self.scorer.score(sequences).p_yes
        rows = np.arange(self.accelerator.process_index, len(sequences), processes)
        mine = self.scorer.score(sequences.take(rows)).p_yes
        p_yes = np.empty(sequences.answer_count)
        for predictions, found in gather_object([(sequences.answers_of(rows), mine)]):
            p_yes[predictions] = found
        return p_yes

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the adapter together with the prompt it was trained on."""
        super().save_model(output_dir, _internal_call)
        if self.args.should_save:
            write_prompt_record(Path(output_dir or str(self.args.output_dir)), self.prompt_record)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write nothing: the card is made from the run's record when training has ended."""


def hold_in_float32(model: torch.nn.Module) -> None:
    """Hold what is trained in float32, whatever number type the rest has.

    TRL casts the adapter of a model in 4 bits to bfloat16 when a trainer is made (seen in 1.16),
    where a step of a small learning rate rounds to nothing. A checkpoint is read back in float32,
    so a run would go on as another than it began. Called before there is an optimizer.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
