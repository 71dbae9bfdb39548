"""docs/TRAINING_PARAMETERS.md has every key, no other one, and the right default of each."""

from __future__ import annotations

import json
import re
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from reeltune.config import Config, config_tree, key_paths, load_config
from reeltune.config.schema import EVAL_METRICS
from reeltune.errors import RunError
from reeltune.runs.folder import RunFolder
from tests.docs.pages import ROOT, tables, text_of

PAGE = ROOT / "docs" / "TRAINING_PARAMETERS.md"
MISSION = ROOT / "configs" / "qwen3_movielens_qlora.yaml"
KEYS = list(key_paths())

_CODE = re.compile(r"`([^`]+)`")


def entries() -> list[list[str]]:
    """Key, default, meaning, when to change it, and cost of every key."""
    return [row for rows in tables(PAGE) if rows[0][0] == "Key" for row in rows[1:]]


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


def test_every_key_has_one_entry_in_the_order_of_the_schema():
    assert [row[0].strip("`") for row in entries()] == KEYS


def test_every_entry_is_complete():
    for row in entries():
        assert len(row) == 5, row[0]
        assert all(row), f"{row[0]} has an empty cell"


@pytest.mark.parametrize("key", KEYS)
def test_the_default_is_the_schemas(key):
    written = {row[0].strip("`"): row[1] for row in entries()}[key]
    assert yaml.safe_load(written.strip("`")) == leaf(config_tree(Config()), key)


@pytest.mark.parametrize("key", [key for key in KEYS if options_of(key)])
def test_every_word_a_key_may_be_set_to_is_explained(key):
    row = {row[0].strip("`"): row for row in entries()}[key]
    assert options_of(key) <= set(_CODE.findall(" ".join(row[1:])))


def test_every_metric_that_can_choose_the_best_step_is_named():
    row = {row[0].strip("`"): row for row in entries()}["train.metric_for_best_model"]
    assert set(EVAL_METRICS) <= set(_CODE.findall(" ".join(row[1:])))


def test_what_the_shipped_configuration_changes():
    default, shipped = config_tree(Config()), config_tree(load_config(MISSION))
    changed = {key: leaf(shipped, key) for key in KEYS if leaf(shipped, key) != leaf(default, key)}
    assert changed == {"quantization.load_in_4bit": True}


def test_what_may_change_before_a_resume(tmp_path):
    listed = text_of(PAGE).split("## What may change between a run and its `--resume`")[1]
    free = set(re.findall(r"^- `([^`]+)`$", listed, re.MULTILINE))
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
    assert set(KEYS) - refused == free
