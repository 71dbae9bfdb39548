from __future__ import annotations

from pathlib import Path

import pytest

from reeltune.config import build_config, config_tree, key_paths, load_config, translate_record
from reeltune.config.renamed import RENAMED
from reeltune.errors import ConfigError
from tests.config.test_schema import OTHER
from tests.errors import raises_error

every_old_key = pytest.mark.parametrize(("old", "new"), RENAMED.items())


def test_every_new_key_exists_and_no_old_one():
    keys = set(key_paths())
    assert keys.issuperset(RENAMED.values())
    assert keys.isdisjoint(RENAMED)


@every_old_key
def test_an_old_key_in_a_file_names_the_new_one(tmp_path: Path, old: str, new: str):
    section, key = old.split(".")
    file = tmp_path / "config.yaml"
    file.write_text(f"{section}: {{{key}: 1}}\n", encoding="utf-8")
    with raises_error(ConfigError, "renamed_key", figures=[new]) as caught:
        load_config(file)
    assert caught.value.where == f"{file}: {old}"


@every_old_key
def test_an_old_key_in_an_override_names_the_new_one(old: str, new: str):
    with raises_error(ConfigError, "renamed_key", where=old, figures=[new]):
        load_config(None, [f"{old}=1"])


def test_an_old_value_names_the_new_one_and_is_translated_in_a_record():
    with raises_error(ConfigError, "renamed_value", where="train.loss", figures=["yes_no"]):
        load_config(None, ["train.loss=verdict"])
    assert translate_record({"train": {"loss": "verdict"}})["train"]["loss"] == "yes_no"
    with raises_error(ConfigError, "renamed_value", where="prompt.signals.1", figures=["item"]):
        load_config(None, ["prompt.signals=[recent,film]"])
    record = translate_record({"prompt": {"signals": ["recent", "film"]}})["prompt"]
    assert build_config({"prompt": record}).prompt.signals == ("item", "recent")


@pytest.mark.parametrize(("value", "shared"), [("blocks", True), ("single", False)])
def test_layouts_of_earlier_runs_are_read(value: str, shared: bool):
    tree = translate_record({"train": {"layout": value}, "scoring": {"layout": value}})
    assert tree["train"]["share_history"] is tree["scoring"]["share_history"] is shared
    with raises_error(ConfigError, "renamed_key", figures=[f"{str(shared).lower()} for {value}"]):
        load_config(None, [f"train.layout={value}"])


def test_a_record_older_than_a_key_has_the_behaviour_of_its_time():
    config = build_config(translate_record({"train": {"layout": "single"}, "prompt": {}}))
    assert (config.prompt.signals, config.train.pairwise_weight) == ((), 0)
    told = translate_record({"prompt": {"evidence": ["recent"]}, "train": {"pairwise_weight": 3}})
    assert (told["prompt"]["signals"], told["train"]["pairwise_weight"]) == (["recent"], 3)


def test_the_record_of_an_earlier_run_is_read_under_the_present_keys():
    recorded: dict[str, dict[str, object]] = {"train": {"pairwise_weight": 0}}
    expected = {}
    for old, new in RENAMED.items():
        section, key = old.split(".")
        recorded.setdefault(section, {})[key] = OTHER[new]
        expected[new] = OTHER[new]
    before = str(recorded)
    tree = config_tree(build_config(translate_record(recorded)))
    found = {new: tree[new.split(".")[0]][new.split(".")[1]] for new in RENAMED.values()}
    assert found == expected
    assert str(recorded) == before
