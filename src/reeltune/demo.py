"""The size of the demo, from the measured speed of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from reeltune.config import Config

# Tokens per example of ml-100k with a history of 5, as an interview with one signal. Validation
# examples take more, because a user has few of them to share a history.
_TRAIN_TOKENS, _VALIDATION_TOKENS, _TEST_TOKENS = 48, 112, 52
_VALIDATION_EXAMPLES: Final = 30
_VALIDATIONS: Final = 4
_EXAMPLES_PER_STEP: Final = 34
_MEASURED_EXAMPLES: Final = 30
_TRAIN_BOUNDS: Final = (600, 1200)
"""With 500 and fewer, the AUC did not rise with every seed: docs/experiments/demo.md."""
_TEST_BOUNDS: Final = (400, 1200)


@dataclass(frozen=True)
class Speed:
    """Tokens per second of this machine with the demo's model."""

    training: float
    scoring: float


@dataclass(frozen=True)
class Plan:
    """Numbers of examples, and the seconds that training and evaluation are expected to take."""

    train: int
    test: int
    seconds: float

    def overrides(self) -> list[str]:
        """Return the settings of the demo's configuration that follow from the plan."""
        every = self.train // _EXAMPLES_PER_STEP // _VALIDATIONS
        return [
            f"data.max_train_examples={self.train}",
            f"data.max_eval_examples={_VALIDATION_EXAMPLES}",
            f"evaluation.max_examples={self.test}",
            f"evaluation.validation_examples={_VALIDATION_EXAMPLES}",
            f"train.logging_steps={every}",
            f"train.eval_steps={every}",
            f"train.save_steps={every}",
        ]


def plan(speed: Speed, seconds: float) -> Plan:
    """Choose the numbers of examples that take about the given time.

    Both numbers have bounds, so a slow machine takes longer; it saves on test examples first.
    """
    # Validation before the first step, and by base and tuned model after training.
    validation = _VALIDATION_EXAMPLES * _VALIDATION_TOKENS * (_VALIDATIONS + 4) / speed.scoring
    train, test = _TRAIN_TOKENS / speed.training, 2 * _TEST_TOKENS / speed.scoring
    free = seconds - validation
    trained = _bounded(free / (train + test), _TRAIN_BOUNDS)
    tested = _bounded((free - trained * train) / test, _TEST_BOUNDS)
    return Plan(trained, tested, validation + trained * train + tested * test)


def _bounded(count: float, bounds: tuple[int, int]) -> int:
    return min(max(int(count) // 50 * 50, bounds[0]), bounds[1])


def measure_speed(config: Config) -> Speed:
    """Time a training step and the scoring of one block, each after a first, unmeasured one."""
    from accelerate.utils import send_to_device

    from reeltune.models.loaded_model import load_model
    from reeltune.prompts.rows import train_rows
    from reeltune.scoring.scorer import Scorer
    from reeltune.training.collate import fullest_batch
    from reeltune.training.dry_run import forward_backward
    from reeltune.training.inputs import trainer_inputs

    data = config.data.model_copy(update={"max_train_examples": _MEASURED_EXAMPLES})
    loaded = load_model(config.model_copy(update={"data": data}), trainable=True)
    rows = loaded.select(train_rows(loaded.config)).rows
    batch = fullest_batch(trainer_inputs(loaded, rows, rows).collator, 1)
    batch = dict(send_to_device(batch, loaded.device))
    scorer = Scorer(loaded.model, loaded.answers, config.scoring.tokens_per_batch)

    def step() -> int:
        forward_backward(loaded, scorer, batch)
        return batch["tokens"]

    def score() -> int:
        scorer.score(rows.sequences)
        return len(rows.sequences.ids.values)

    return Speed(_tokens_per_second(step), _tokens_per_second(score))


def _tokens_per_second(work: Callable[[], int]) -> float:
    work()
    began = time.perf_counter()
    tokens = work()
    return tokens / (time.perf_counter() - began)
