"""The demo is sized by the speed of the machine."""

from __future__ import annotations

import pytest

from reeltune.config import load_config
from reeltune.config.presets import PRESETS
from reeltune.demo import Plan, Speed, plan


def test_a_faster_machine_gets_more_examples_in_the_same_time():
    slow, fast = (plan(Speed(200 * f, 550 * f), 360) for f in (1, 1.5))
    assert slow.train < fast.train
    assert slow.seconds <= 360 >= fast.seconds


@pytest.mark.parametrize(("factor", "counts"), [(0.1, (600, 400)), (100, (1200, 1200))])
def test_the_demo_is_neither_too_small_to_learn_nor_longer_than_it_needs(factor, counts):
    chosen = plan(Speed(200 * factor, 550 * factor), 360)
    assert (chosen.train, chosen.test) == counts


def test_half_the_speed_takes_twice_as_long():
    once, twice = (plan(Speed(200 * f, 550 * f), 1) for f in (1, 0.5))
    assert twice.seconds == pytest.approx(2 * once.seconds)


@pytest.mark.parametrize(("examples", "steps"), [(600, 18), (800, 23)])  # as measured
def test_training_is_validated_at_least_four_times(examples, steps):
    config = load_config(PRESETS["demo_cpu"], Plan(examples, examples, 1.0).overrides())
    assert steps // config.train.eval_steps >= 4
    assert config.train.save_steps == config.train.eval_steps
