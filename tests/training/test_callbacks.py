"""The speed of a run counts its training steps, without evaluations and saving."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from reeltune.training.callbacks import StepClock
from reeltune.training.train import train
from tests.runs import tiny_config


class Run:
    """Drives a clock as the trainer does, at times the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(
            "reeltune.training.callbacks.time", SimpleNamespace(monotonic=lambda: self.now)
        )
        self.clock = StepClock()
        self.args, self.state = TrainingArguments(), TrainerState()

    def step(self, seconds: float = 1.0, batches: int = 1, then: str = "") -> None:
        """Do one step, then an evaluation, a save, both, or the end."""
        for _ in range(batches):
            self.clock.count(examples=3, tokens=10)
        self.now += seconds
        control = TrainerControl(
            should_evaluate="evaluate" in then,
            should_save="save" in then,
            should_training_stop="stop" in then,
        )
        self.clock.on_step_end(self.args, self.state, control)
        for name, react in (("evaluate", self.clock.on_evaluate), ("save", self.clock.on_save)):
            if name in then:
                self.now += 1000.0
                react(self.args, self.state, control)

    def speed(self) -> dict[str, float]:
        speed = self.clock.speed()
        assert speed is not None
        return speed


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(monkeypatch)


def test_steps_after_the_warm_up_are_timed(run: Run):
    for _ in range(3):
        run.step(50.0)
    for seconds in (1.0, 2.0, 1.0):
        run.step(seconds)
    run.step(4.0, then="stop")
    assert run.speed() == {
        "steps_counted": 4,
        "steps_per_second": 4 / 8,
        "examples_per_second": 12 / 8,
        "tokens_per_second": 40 / 8,
    }


@pytest.mark.parametrize("then", ["evaluate", "save", "evaluate save"])
@pytest.mark.parametrize("every", [1, 2, 3, 4])
def test_evaluations_and_saves_take_no_time(run: Run, then: str, every: int):
    steps = 12
    for step in range(1, steps + 1):
        last = " stop" if step == steps else ""
        run.step(2.0, batches=2, then=(then if step % every == 0 else "") + last)
    assert run.speed() == {
        "steps_counted": steps - StepClock.WARM_UP_STEPS,
        "steps_per_second": 1 / 2,
        "examples_per_second": 6 / 2,
        "tokens_per_second": 20 / 2,
    }


def test_steps_count_once_they_are_interrupted(run: Run):
    for _ in range(5):
        run.step(1.0)
    assert run.clock.speed() is None
    run.step(1.0, then="evaluate")
    for _ in range(4):
        run.step(7.0)
    run.now += 500.0
    assert run.speed()["steps_counted"] == 3
    assert run.speed()["steps_per_second"] == 1.0
    assert run.speed()["examples_per_second"] == 3.0


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_run_of_warm_up_steps_only_has_no_speed(run: Run, steps: int):
    for step in range(1, steps + 1):
        run.step(then="evaluate save stop" if step == steps else "")
    assert run.clock.speed() is None


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "size", "accumulated"), [("blocks", 1, 2), ("single", 4, 1)])
@pytest.mark.parametrize("every", [7, 2])
def test_a_run_counts_every_step_after_the_warm_up(
    layout, size, accumulated, every, tiny_qwen3, prepared, tmp_path
):
    """Also those before the evaluation at the end, which may be the only one."""
    config = tiny_config(
        tiny_qwen3,
        prepared.path,
        tmp_path,
        train__share_history=layout == "blocks",
        train__batch_size=size,
        train__gradient_accumulation_steps=accumulated,
        train__max_steps=7,
        train__eval_steps=every,
        train__save_steps=2 * every,
    )
    metrics = json.loads((train(config) / "metrics.json").read_text())
    speed = metrics["speed"]
    assert metrics["steps"] == 7
    assert speed["steps_counted"] == 7 - StepClock.WARM_UP_STEPS
    seconds = speed["steps_counted"] / speed["steps_per_second"]
    assert 0 < seconds < metrics["train_seconds"]
    # Of all tokens read, those of the warm-up are left out.
    tokens = speed["tokens_per_second"] * seconds
    assert 0 < tokens < metrics["tokens_seen"]
    if layout == "single":
        assert speed["examples_per_second"] * seconds == pytest.approx(4 * 4)
