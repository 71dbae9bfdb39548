"""The help on every key, its page, and the keys that may change before a resume."""

from __future__ import annotations

import json
import re
import runpy
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from reeltune.config import Config, config_tree, key_paths, load_config
from reeltune.config.reference import explain, key_help, resumable_keys
from reeltune.config.schema import EVAL_METRICS
from reeltune.errors import ConfigError, RunError
from reeltune.runs.folder import RunFolder
from tests.docs.pages import ROOT, text_of
from tests.errors import raises_error

PAGE = ROOT / "docs" / "TRAINING_PARAMETERS.md"
MISSION = ROOT / "configs" / "qwen3_movielens_qlora.yaml"
KEYS = list(key_paths())

_CODE = re.compile(r"`([^`]+)`")


def leaf(tree: dict[str, Any], key: str) -> Any:
    section, name = key.split(".")
    return tree[section][name]


def options(annotation: Any) -> set[str]:
    """The words a key may be set to, as YAML has them, wherever they stand in its type."""
    if get_origin(annotation) is Literal:
        return {str(word).lower() if word is bool(word) else word for word in get_args(annotation)}
    return {word for part in get_args(annotation) for word in options(part)}


def options_of(key: str) -> set[str]:
    section, name = key.split(".")
    model = Config.model_fields[section].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return options(model.model_fields[name].annotation)


def test_the_page_is_generated_from_the_schema():
    hook = runpy.run_path(str(ROOT / "docs" / "hooks" / "reference.py"))
    assert text_of(PAGE) == hook["reference_page"]()


@pytest.mark.parametrize("key", KEYS)
def test_every_key_has_meaning_and_advice(key):
    text = key_help(key)
    assert text.meaning.endswith((".", ".)"))
    assert text.advice.endswith((".", ".)"))
    assert text.cost.endswith(".")


@pytest.mark.parametrize("key", [key for key in KEYS if options_of(key)])
def test_every_value_of_a_key_is_explained(key):
    text = key_help(key)
    assert options_of(key) <= set(_CODE.findall(f"{text.meaning} {text.advice} {text.cost}"))


def test_every_metric_that_can_choose_the_best_step_is_named():
    named = set(_CODE.findall(key_help("train.metric_for_best_model").meaning))
    assert set(EVAL_METRICS) <= named


def test_the_json_schema_describes_every_key():
    schema = Config.model_json_schema()["$defs"]
    described = [
        entry["description"]
        for section in schema.values()
        for entry in section["properties"].values()
    ]
    assert len(described) == len(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_explain_prints_the_help_of_a_key(key):
    text, shown = key_help(key), explain(key)
    assert [text.meaning in shown, text.advice in shown, text.cost in shown] == [True] * 3
    assert key_help(key).meaning in explain(key.split(".")[0])


@pytest.mark.parametrize(
    ("key", "code", "named"),
    [
        ("train.learning_rat", "unknown_key", "train.learning_rate"),
        ("prompt.evidence", "renamed_key", "prompt.signals"),
        ("nowhere", "unknown_key", ""),
    ],
)
def test_explain_refuses_a_key_that_does_not_exist(key, code, named):
    with raises_error(ConfigError, code, where=key, figures=[named]):
        explain(key)


def test_what_the_shipped_configuration_changes():
    default, shipped = config_tree(Config()), config_tree(load_config(MISSION))
    changed = {key: leaf(shipped, key) for key in KEYS if leaf(shipped, key) != leaf(default, key)}
    assert changed == {
        "quantization.load_in_4bit": True,
        "lora.top_layers": 0.5,
        "train.learning_rate": 5e-4,
    }


def test_only_resumable_keys_may_change_before_a_resume(tmp_path):
    config = Config()
    refused = set()
    for key in KEYS:
        tree = config_tree(config)
        section, name = key.split(".")
        tree[section][name] = "as it was before"
        (tmp_path / "run.json").write_text(json.dumps({"config": tree}))
        try:
            RunFolder(tmp_path).refuse_other_config(config)
        except RunError:
            refused.add(key)
    assert set(KEYS) - refused == resumable_keys()


def test_the_training_page_names_what_may_change_before_a_resume():
    listed = text_of(PAGE.with_name("TRAINING.md")).split("## Continue an interrupted run")[1]
    named = set(_CODE.findall(listed.split("These keys may change:")[1]))
    whole = {"evaluation", "serving"}
    assert whole < named
    assert {key for key in resumable_keys() if key.split(".")[0] not in whole} == named - whole
