from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from reeltune.config import Config, build_config, config_tree, key_paths, load_config
from reeltune.errors import ConfigError
from tests.errors import raises_error

READY = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.fixture
def load(tmp_path: Path):
    """Load a configuration from YAML text and overrides."""

    def load_text(text: str | bytes, *overrides: str) -> Config:
        file = tmp_path / "config.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_config(file, overrides)

    return load_text


def value_at(config: Config, path: str) -> Any:
    section, key = path.split(".")
    return getattr(getattr(config, section), key)


def test_there_are_ready_files():
    assert "qwen3_movielens_qlora.yaml" in {file.name for file in READY}


@pytest.mark.parametrize("file", READY, ids=lambda file: file.name)
def test_every_ready_file_loads(file: Path):
    config = load_config(file)
    given_tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    for section, keys in given_tree.items():
        for key, value in keys.items():
            assert config_tree(config)[section][key] == value


def test_no_file_and_an_empty_file_are_the_defaults(load):
    assert load_config(None) == load("") == load("# nothing\n") == Config()


def test_a_file_changes_only_what_it_names(load):
    config = load("train:\n  batch_size: 3\nmodel: {dtype: float32}\n")
    expected = config_tree(Config())
    expected["train"]["batch_size"] = 3
    expected["model"]["dtype"] = "float32"
    assert config_tree(config) == expected


def test_the_printed_tree_loads_as_an_equal_configuration(load):
    config = load("train: {seed: 7, learning_rate: 3e-5}\nlora: {target_modules: [q_proj]}\n")
    assert load(yaml.safe_dump(config_tree(config))) == config


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("train.batch_size=3", 3),
        ("train.learning_rate=2e-4", 2e-4),
        ("train.learning_rate=0.001", 0.001),
        ("train.epochs=2", 2.0),
        ("train.max_steps=null", None),
        ("train.max_steps=5", 5),
        ("quantization.load_in_4bit=true", True),
        ("model.name_or_path=some/model=x", "some/model=x"),
        ("data.prepared_dir=data/other", Path("data/other")),
        ("lora.target_modules=[q_proj, v_proj]", ("q_proj", "v_proj")),
        ("lora.target_modules=all-linear", "all-linear"),
        (" prompt.genres =true", True),
    ],
)
def test_overrides_have_the_type_of_their_key(override: str, value: object):
    found = value_at(load_config(None, [override]), override.partition("=")[0].strip())
    assert found == value
    assert type(found) is type(value) or isinstance(found, Path)


def test_a_rate_written_without_a_dot_is_a_number(load):
    assert isinstance(yaml.safe_load("2e-4"), str)  # YAML 1.1 wants a dot
    assert load("train:\n  learning_rate: 2e-4\n").train.learning_rate == 0.0002


def test_the_last_override_wins_over_earlier_ones_and_the_file(load):
    config = load("train: {seed: 1}", "train.seed=2", "train.seed=3", "train.batch_size=4")
    assert (config.train.seed, config.train.batch_size) == (3, 4)


def test_an_override_reaches_into_a_section_left_empty(load):
    assert load("train:\n", "train.seed=3").train.seed == 3


@pytest.mark.parametrize(
    ("override", "code", "figure"),
    [
        ("train.seed", "invalid_override", "section.key=value"),
        ("=3", "invalid_override", "section.key=value"),
        ("train.seed=[", "invalid_yaml", "parsing a flow node"),
        ("train.seed.deep=3", "override_below_value", "seed"),
        ("train=3", "override_of_section", "--set train.KEY=value"),
        ("train={seed: 5}", "override_of_section", "--set train.KEY=value"),
        ("train.seed={a: 1, a: 2}", "duplicate_key", "'a'"),
    ],
)
def test_an_override_that_is_not_one_is_refused(load, override: str, code: str, figure: str):
    with raises_error(ConfigError, code, where=f"command line: --set {override}", figures=[figure]):
        load("train: {seed: 3}", override)


@pytest.mark.parametrize(
    ("override", "code", "figures"),
    [
        ("prompt.signals=expected", "invalid_setting", ["list", "[one, two]", "'expected'"]),
        ("data.cache_dir=null", "invalid_setting", ["path", "got None"]),
        ("data.cache_dir=''", "invalid_setting", ["blank"]),
        ("lora.target_modules=[q_proj, ' ']", "invalid_setting", ["blank"]),
        ("train.batch_size=0", "invalid_setting", ["greater than 0", "got 0"]),
        ("train.batch_size=many", "invalid_setting", ["integer", "got 'many'"]),
        ("train.batchsize=3", "unknown_key", ["train.batch_size"]),
    ],
)
def test_a_wrong_value_names_its_key_and_the_value(load, override: str, code: str, figures: list):
    key = override.partition("=")[0]
    with raises_error(ConfigError, code, where=f"command line: {key}", figures=figures):
        load("train: {seed: 3}", override)


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("train.lerning_rate", "train.learning_rate"),
        ("model.learning_rate", "train.learning_rate"),
        ("lora.rank_dropout", "lora.dropout"),
        ("data.max_len", "data.max_length"),
        ("trian", "train"),
        ("quantisation", "quantization"),
    ],
)
def test_an_unknown_key_names_its_path_and_the_nearest_key(path: str, nearest: str):
    tree: Any = 1
    for part in reversed(path.split(".")):
        tree = {part: tree}
    with raises_error(ConfigError, "unknown_key") as caught:
        build_config(tree, "my.yaml")
    assert caught.value.where == f"my.yaml: {path}"
    assert caught.value.hint == f"Did you mean {nearest}?"


keys = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)


sections = st.sampled_from(sorted(Config.model_fields))


@given(sections, keys.filter(lambda key: not key.startswith(("tuple", "literal"))))
def test_every_unknown_key_is_refused_with_its_full_path(section: str, key: str):
    assume(f"{section}.{key}" not in key_paths())
    with raises_error(ConfigError, "unknown_key") as caught:
        build_config({section: {key: 1}})
    assert caught.value.where == f"configuration: {section}.{key}"


@pytest.mark.parametrize("key", ["tuple_size", "literal"])
def test_an_unknown_key_named_as_a_type_keeps_its_full_path(key: str):
    with raises_error(ConfigError, "unknown_key") as caught:
        build_config({"train": {key: 1}})
    assert caught.value.where == f"configuration: train.{key}"


def test_all_problems_are_reported_at_once(load):
    text = "train: {batch_size: 0, lerning_rate: 1, seed: x}\nmodle: {}\nlora: {dropout: 1.0}\n"
    with raises_error(ConfigError, "invalid_config", where="config.yaml") as caught:
        load(text)
    assert {(problem.where, problem.code) for problem in caught.value.problems} == {
        ("train.batch_size", "invalid_setting"),
        ("train.lerning_rate", "unknown_key"),
        ("train.seed", "invalid_setting"),
        ("modle", "unknown_key"),
        ("lora.dropout", "invalid_setting"),
    }
    lines = str(caught.value).splitlines()[1:]
    assert lines == [f"  - {problem}" for problem in caught.value.problems]


def test_wrong_overrides_and_wrong_values_are_reported_together(load):
    with raises_error(ConfigError, "invalid_config", where="config.yaml") as caught:
        load("lora: {r: 0}", "trian.seed=1", "foo", "train={}", "train.seed=-1")
    assert {(problem.where, problem.code) for problem in caught.value.problems} == {
        ("--set foo", "invalid_override"),
        ("--set train={}", "override_of_section"),
        ("trian", "unknown_key"),
        ("train.seed", "invalid_setting"),
        ("lora.r", "invalid_setting"),
    }


@pytest.mark.parametrize("override", [(), ("train.seed=4",)])
def test_a_section_left_empty_changes_nothing(load, override: tuple[str, ...]):
    assert load("train:\nlora: {r: 3}\n", *override).train.batch_size == Config().train.batch_size


def test_keys_of_another_section_can_be_merged_and_those_written_out_win(load):
    text = "train: &few {seed: 3, epochs: 7}\n"
    with raises_error(ConfigError, "invalid_config") as caught:
        load(f"{text}lora: {{<<: *few}}\n")
    found = {(problem.where, problem.code) for problem in caught.value.problems}
    assert found == {("lora.seed", "unknown_key"), ("lora.epochs", "unknown_key")}
    read = load("train:\n  <<: {seed: 3, epochs: 7}\n  seed: 9\n").train
    assert (read.seed, read.epochs) == (9, 7)


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("train: {}\nmodel: {}\ntrain: {}\n", "train", 3),
        ("train:\n  seed: 1\n  epochs: 1\n  seed: 1\n", "seed", 4),
        ("train: {seed: 1, seed: 2}\n", "seed", 1),
    ],
)
def test_a_key_given_twice_is_refused_with_its_line(load, text: str, key: str, line: int):
    with raises_error(ConfigError, "duplicate_key", figures=[repr(key)]) as caught:
        load(text)
    assert str(caught.value.where).endswith(f"config.yaml, line {line}")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("train: [", "invalid_yaml"),
        ("\tx: 1", "invalid_yaml"),
        ("- a", "config_not_a_mapping"),
        ("word", "config_not_a_mapping"),
        ("train: {1: 2}", "invalid_setting"),
        ("data: {prepared_dir: {{ x }}}", "unhashable_key"),
    ],
)
def test_a_file_without_sections_of_keys_is_refused(load, text: str, code: str):
    with raises_error(ConfigError, code, where="config.yaml"):
        load(text)


def test_a_file_that_is_not_utf_8_is_refused(load):
    with raises_error(ConfigError, "config_not_utf8", where="config.yaml", figures=["byte 19"]):
        load("train: {optimizer: é}".encode("latin-1"))


def test_for_a_missing_file_the_presets_are_named(tmp_path: Path):
    missing = tmp_path / "absent.yaml"
    with raises_error(ConfigError, "config_not_readable", where=str(missing), figures=["demo_cpu"]):
        load_config(missing)


def test_a_wrong_override_is_not_reported_as_a_fault_of_the_file(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("lora: {alpha: 8}\n")

    def where(*overrides: str) -> str:
        with pytest.raises(ConfigError) as raised:
            load_config(file, overrides)
        return str(raised.value)

    for override, key in [("lora.r=0", "lora.r"), ("prompt.signals=[x]", "prompt.signals.0")]:
        assert where(override).startswith(f"command line: {key}: ")
    assert where("train.save_steps=3").startswith("command line: train.save_steps: ")
    assert where("lora.r").startswith("command line: --set lora.r: ")
    assert where("lora.r=0", "lora.x=1").startswith("command line: 2 errors")
    file.write_text("lora: {alpha: 0}\n")
    assert where("lora.r=1").startswith(f"{file}: lora.alpha: ")
    both = where("lora.r=0")
    assert both.startswith(f"{file}: 2 errors") and "- command line: lora.r: " in both
    assert "- lora.alpha: " in both
    assert where("lora.r").startswith(f"{file}: 2 errors")


def test_an_empty_list_is_described_in_plain_words():
    with pytest.raises(ConfigError) as raised:
        load_config(None, ["lora.target_modules=[]"])
    assert "'all-linear' or a list with at least one item, got []" in str(raised.value)


@pytest.mark.parametrize("option", ["r", "lora_alpha", "target_modules"])
def test_an_option_of_peft_with_a_key_of_its_own_is_refused(option):
    where = f"lora.extra.{option}"
    with raises_error(ConfigError, "lora_option_not_allowed", where=where, figures=["lora.r"]):
        load_config(None, [f"lora.extra={{{option}: 8}}"])
