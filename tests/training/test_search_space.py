"""The search space is within the bounds of the schema, whoever writes it."""

from __future__ import annotations

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from reeltune.config import load_config
from reeltune.config.presets import PRESETS
from reeltune.errors import ConfigError
from reeltune.training.search_space import (
    DEFAULT_SPACE,
    RATIO,
    decoded,
    search_space,
    with_values,
)
from tests.errors import raises_error


@pytest.mark.parametrize("preset", PRESETS)
def test_the_default_space_fits_every_preset(preset):
    config = load_config(PRESETS[preset])
    space = search_space(config, [])
    assert space.keys() <= DEFAULT_SPACE.keys()
    assert ("train.epochs" in space) == (config.train.max_steps is None)
    for end in ("low", "high"):
        with_values(config, {key: getattr(values, end) for key, (_, values) in space.items()})


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("lora.r=2:8:log", IntDistribution(2, 8, log=True)),
        ("train.learning_rate=1e-4:.01:log", FloatDistribution(1e-4, 0.01, log=True)),
        ("lora.dropout = 0:0.5", FloatDistribution(0, 0.5)),
        ("train.early_stopping_patience=2:5", IntDistribution(2, 5)),
        ("lora.dropout=0.1", CategoricalDistribution(["0.1"])),
        ("train.compile=true,false", CategoricalDistribution(["true", "false"])),
        ("train.early_stopping_patience=2,null", CategoricalDistribution(["2", "null"])),
        (
            "prompt.signals=[],[expected,recent]",
            CategoricalDistribution(["[]", '["recent", "expected"]']),
        ),
        ("train.pack_length=1024,4096", CategoricalDistribution(["1024", "4096"])),
        (f"{RATIO}=1,2", CategoricalDistribution(["1.0", "2.0"])),
    ],
)
def test_a_change_is_a_distribution_of_what_the_schema_reads(text, distribution):
    key = text.partition("=")[0].strip()
    assert search_space(load_config(None), [text])[key][1] == distribution


@pytest.mark.parametrize(
    ("change", "code", "figures"),
    [
        ("train.learning_rate=0:0.1", "bad_search_space", ["exclusiveMinimum 0"]),
        ("train.learning_rate=1e-4:2", "bad_search_space", ["exclusiveMaximum 1"]),
        ("lora.r=0:8", "bad_search_space", ["exclusiveMinimum 0, type integer"]),
        ("lora.r=1.5:8", "bad_search_space", ["1.5", "integer"]),
        ("lora.r=8:4", "bad_search_space", ["low=8", "high=4"]),
        ("lora.dropout=0:0.3:log", "bad_search_space", ["low > 0"]),
        ("train.pack_length=1024:4096", "bad_search_space", ["multipleOf 128"]),
        ("train.optimizer=sgd,adam", "bad_search_space", ["adamw_torch", "adam "]),
        ("train.compile=0:1", "bad_search_space", []),
        ("train.save_steps=100,150", "bad_search_space", ["150", "train.eval_steps 100"]),
        (f"{RATIO}=0:2", "bad_search_space", ["exclusiveMinimum 0"]),
        (f"{RATIO}=x", "bad_search_space", []),
        ("lora.r=", "bad_search_space", []),
        ("train.seed=1,2", "bad_search_space", []),
        ("train.block_size=8,16", "bad_search_space", []),
        ("scoring.fusion=auto,none", "bad_search_space", []),
        ("train.learning_rat=1e-4:1e-3", "unknown_key", ["train.learning_rate"]),
    ],
)
def test_what_the_schema_does_not_allow_is_an_error_with_key_and_bounds(change, code, figures):
    key = change.partition("=")[0]
    with raises_error(ConfigError, code, figures=[key, *figures]):
        search_space(load_config(None), [change])


def test_a_key_is_given_once():
    with raises_error(ConfigError, "bad_search_space", where="lora.r"):
        search_space(load_config(None), ["lora.r=4,8", "lora.r=4"])


@pytest.mark.parametrize(
    ("setting", "change", "without"),
    [
        ("train.max_steps=10", "train.epochs=1:2", {"train.epochs"}),
        ("train.block_size=1", "train.pairwise_weight=0:2", {"train.pairwise_weight"}),
        ("lora.init_from=run", "lora.alpha=8:16", {"lora.r", RATIO}),
    ],
)
def test_what_has_no_effect_is_not_searched(setting, change, without):
    changes = ["train.pairwise_weight=0"] if "block_size" in setting else []
    config = load_config(None, [setting, *changes])
    assert DEFAULT_SPACE.keys() - search_space(config, []).keys() == without
    with raises_error(ConfigError, "bad_search_space", where=change.partition("=")[0]):
        search_space(config, [change])


def test_alpha_is_searched_itself_or_as_a_ratio():
    config = load_config(None)
    assert RATIO not in search_space(config, ["lora.alpha=8:64"])
    with raises_error(ConfigError, "bad_search_space", where=RATIO):
        search_space(config, ["lora.alpha=8:64", f"{RATIO}=1,2"])


def test_the_ratio_follows_the_rank():
    config = load_config(None)
    found = [with_values(config, {RATIO: ratio, "lora.r": 6}).lora for ratio in (0.01, 0.5, 2.25)]
    assert [(lora.r, lora.alpha) for lora in found] == [(6, 1), (6, 3), (6, 14)]


def test_choices_are_decoded():
    assert decoded({"a": '["x"]', "b": "null", "c": 1.5}) == {"a": ["x"], "b": None, "c": 1.5}
