from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from reeltune.config import Config, build_config, config_hash, config_tree, key_paths
from reeltune.config.schema import EVAL_METRICS, LOWER_IS_BETTER
from reeltune.errors import ConfigError
from tests.errors import raises_error

# Another valid value for every key that has one.
OTHER: dict[str, Any] = {
    "model.name_or_path": "other/model",
    "model.revision": "main",
    "model.dtype": "bfloat16",
    "model.attention": "eager",
    "quantization.load_in_4bit": True,
    "quantization.quant_type": "fp4",
    "quantization.double_quant": False,
    "quantization.allow_cpu": True,
    "lora.r": 8,
    "lora.alpha": 8,
    "lora.dropout": 0.1,
    "lora.target_modules": ["q_proj"],
    "lora.top_layers": 0.5,
    "lora.extra": {"use_dora": True},
    "lora.init_from": "output/text",
    "prompt.form": "window",
    "prompt.genres": True,
    "prompt.signals": ["item", "expected"],
    "prompt.item_text_tokens": 8,
    "data.prepared_dir": "elsewhere",
    "data.cache_dir": "elsewhere",
    "data.max_length": 512,
    "data.max_train_examples": 10,
    "data.max_eval_examples": None,
    "train.output_dir": "elsewhere",
    "train.share_history": False,
    "train.block_size": 1,
    "train.pack_length": 4096,
    "train.compile": False,
    "train.hide_signals": 0.5,
    "train.loss": "yes_no",
    "train.pairwise_weight": 0.5,
    "train.epochs": 2,
    "train.max_steps": 10,
    "train.batch_size": 3,
    "train.gradient_accumulation_steps": 4,
    "train.learning_rate": 1e-3,
    "train.lr_scheduler_type": "linear",
    "train.warmup_ratio": 0.0,
    "train.weight_decay": 0.1,
    "train.max_grad_norm": 0.5,
    "train.optimizer": "adafactor",
    "train.gradient_checkpointing": False,
    "train.logging_steps": 1,
    "train.eval_steps": 25,
    "train.save_steps": 200,
    "train.save_total_limit": 3,
    "train.metric_for_best_model": "eval_auc",
    "train.early_stopping_patience": None,
    "train.early_stopping_min_delta": 0.01,
    "train.dataloader_num_workers": 1,
    "train.report_to": ["wandb"],
    "train.run_name": "another",
    "train.seed": 0,
    "scoring.share_history": False,
    "scoring.tokens_per_batch": 1024,
    "scoring.allow_domain_shift": True,
    "scoring.calibration": "temperature",
    "scoring.fusion": "none",
    "scoring.prefix_cache_mib": 0,
    "scoring.merge_adapter": False,
    "evaluation.max_examples": 10,
    "evaluation.validation_examples": 10,
    "evaluation.baselines": False,
    "evaluation.ablation_examples": 0,
    "evaluation.bootstrap_samples": 10,
    "evaluation.samples": 0,
    "serving.host": "0.0.0.0",
    "serving.port": 0,
    "serving.token_env": "OTHER_TOKEN",
    "serving.max_body_bytes": 1000,
    "serving.max_history": 20,
    "serving.max_candidates": 50,
    "serving.default_candidates": 40,
    "serving.max_top": 10,
    "serving.max_requests": 1,
    "serving.max_batch_queries": 1,
    "serving.target_batch_seconds": 0.1,
    "serving.timeout_s": 5.0,
    "serving.receive_timeout_s": 1,
    "serving.shutdown_s": 1,
}


def tree_with(**values: Any) -> dict[str, Any]:
    """A tree with ``section__key=value``."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        section, key = path.split("__")
        tree.setdefault(section, {})[key] = value
    return tree


def test_every_key_has_another_value_here():
    assert set(OTHER) == set(key_paths())


def test_signals_have_one_order_and_each_occurs_once():
    signals = Config.model_validate(tree_with(prompt__signals=["expected", "item"])).prompt.signals
    assert signals == ("item", "expected")
    for wrong in (["item", "item"], ["items"]):
        with raises_error(ConfigError, "invalid_setting", where="prompt.signals"):
            build_config(tree_with(prompt__signals=wrong))


def test_examples_share_histories_by_default():
    config = Config()
    assert config.train.share_history and config.scoring.share_history
    assert (config.train.block_size, config.train.pack_length) == (60, 16_384)
    assert (config.train.compile, config.train.loss) == (True, "answer")
    assert (config.prompt.form, config.data.max_length) == ("interview", 8192)


def test_the_hash_changes_with_any_key():
    hashes = {config_hash(Config())}
    for path, value in OTHER.items():
        tree = {"train__pairwise_weight": 0, path.replace(".", "__"): value}
        hashes.add(config_hash(build_config(tree_with(**tree))))
    assert len(hashes) == len(OTHER) + 1


def test_the_hash_depends_on_values_alone():
    spelled_out = dict(reversed(config_tree(Config()).items()))
    assert config_hash(build_config(spelled_out)) == config_hash(Config())
    rate = [build_config(tree_with(train__learning_rate=rate)) for rate in (2e-4, "0.0002")]
    assert config_hash(rate[0]) == config_hash(rate[1])


def test_key_paths_are_those_of_the_tree():
    tree = config_tree(Config())
    assert list(key_paths()) == [f"{s}.{key}" for s, section in tree.items() for key in section]


@pytest.mark.parametrize("section", [None, *Config.model_fields])
def test_every_section_is_frozen(section: str | None):
    config = Config()
    target = config if section is None else getattr(config, section)
    for name in type(target).model_fields:
        with pytest.raises(ValidationError) as caught:
            setattr(target, name, getattr(target, name))
        assert caught.value.errors()[0]["type"] == "frozen_instance"


@pytest.mark.parametrize(
    ("values", "where", "code", "figures"),
    [
        (
            {"train__metric_for_best_model": "eval_loss"},
            "train.metric_for_best_model",
            "unknown_metric",
            ["'eval_loss'", *EVAL_METRICS],
        ),
        (
            {"train__metric_for_best_model": None},
            "train.early_stopping_patience",
            "early_stopping_without_metric",
            ["train.metric_for_best_model"],
        ),
        (
            {"train__save_steps": 750, "train__eval_steps": 500},
            "train.save_steps",
            "save_between_evaluations",
            [750, "train.eval_steps 500"],
        ),
        (
            {"model__attention": "flash_attention_2", "model__dtype": "float32"},
            "model.dtype",
            "flash_attention_needs_16_bits",
            ["model.attention"],
        ),
        (
            {"lora__target_modules": ["q_proj", "lm_head"]},
            "lora.target_modules",
            "tied_weights_targeted",
            ["lm_head"],
        ),
        (
            {"lora__target_modules": ["model.embed_tokens"]},
            "lora.target_modules",
            "tied_weights_targeted",
            ["embed_tokens"],
        ),
        (
            {"lora__top_layers": 0.5, "lora__extra": {"layers_to_transform": [1]}},
            "lora.extra.layers_to_transform",
            "lora_option_not_allowed",
            ["lora.top_layers to 1"],
        ),
        (
            {"train__pairwise_weight": 1.0, "train__share_history": False},
            "train.pairwise_weight",
            "pairs_need_blocks",
            ["train.share_history"],
        ),
        (
            {"train__pairwise_weight": 1.0, "train__block_size": 1},
            "train.pairwise_weight",
            "pairs_need_blocks",
            ["train.block_size 1"],
        ),
    ],
)
def test_settings_that_cannot_be_combined_are_refused(
    values: dict[str, Any], where: str, code: str, figures: list[object]
):
    with raises_error(ConfigError, code, where=where, figures=figures):
        build_config(tree_with(**values))


def test_all_contradictions_are_reported_at_once():
    tree = tree_with(
        train__metric_for_best_model="eval_loss",
        train__save_steps=75,
        model__attention="flash_attention_2",
        model__dtype="float32",
        lora__target_modules=["lm_head"],
        train__share_history=False,
        train__pairwise_weight=1.0,
    )
    with raises_error(ConfigError, "invalid_config") as caught:
        build_config(tree)
    assert {problem.code for problem in caught.value.problems} == {
        "unknown_metric",
        "save_between_evaluations",
        "flash_attention_needs_16_bits",
        "tied_weights_targeted",
        "pairs_need_blocks",
    }


@pytest.mark.parametrize("metric", EVAL_METRICS)
def test_every_measured_metric_can_choose_the_best_checkpoint(metric: str):
    build_config(tree_with(train__metric_for_best_model=metric))


def test_metrics_where_less_is_better_are_measured():
    assert set(EVAL_METRICS) > LOWER_IS_BETTER


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model.name_or_path", ""),
        ("model.dtype", "int8"),
        ("quantization.quant_type", "int4"),
        ("lora.r", 0),
        ("lora.dropout", 1.0),
        ("lora.target_modules", "q_proj"),
        ("prompt.form", "other"),
        ("data.max_length", -1),
        ("train.share_history", "packed"),
        ("train.block_size", 0),
        ("train.pack_length", 0),
        ("train.compile", "sometimes"),
        ("train.loss", "all"),
        ("scoring.share_history", "packed"),
        ("scoring.calibration", "histogram"),
        ("train.epochs", 0),
        ("train.batch_size", 1.5),
        ("train.learning_rate", 1),
        ("train.learning_rate", float("nan")),
        ("train.save_total_limit", 1),
        ("train.seed", -1),
        ("train.seed", 2**32),
        ("evaluation.samples", -1),
    ],
)
def test_a_value_out_of_bounds_is_refused(path: str, value: Any):
    with raises_error(ConfigError, "invalid_setting", where=path):
        build_config(tree_with(**{path.replace(".", "__"): value}))


@pytest.mark.parametrize("length", [8000, 1, 8193])
def test_rows_that_are_no_whole_tiles_of_attention_are_refused(length: int):
    with raises_error(
        ConfigError, "invalid_setting", where="train.pack_length", figures=[128, f"got {length}"]
    ):
        build_config(tree_with(train__pack_length=length))


@pytest.mark.parametrize("path", ["train.epochs", "train.max_grad_norm", "train.weight_decay"])
def test_an_infinite_value_is_refused(path: str):
    # It could not be recorded either: JSON has no infinity.
    with raises_error(ConfigError, "invalid_setting", where=path):
        build_config(tree_with(**{path.replace(".", "__"): float("inf")}))


@pytest.mark.parametrize("path", ["train.batch_size", "train.epochs", "lora.r", "train.seed"])
def test_a_truth_value_is_not_a_number(path: str):
    with raises_error(ConfigError, "invalid_setting", where=path):
        build_config(tree_with(**{path.replace(".", "__"): True}))


def test_a_key_of_several_types_has_one_problem_that_names_them():
    with raises_error(ConfigError, "invalid_setting", figures=["'all-linear' or a list", "'q'"]):
        build_config(tree_with(lora__target_modules="q"))


def test_no_target_module_is_refused():
    with raises_error(ConfigError, "invalid_setting", where="lora.target_modules"):
        build_config(tree_with(lora__target_modules=[]))
