from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from reeltune.config import Config, build_config, config_tree, key_paths, load_config
from reeltune.errors import ConfigError

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
    ("override", "message"),
    [
        ("train.seed", "'train.seed' is not an override"),
        ("=3", "is not an override"),
        ("train.seed=[", "'[' is not a YAML value"),
        ("train.seed.deep=3", "seed is a value, not a section"),
        (
            "train=3",
            "train is a section, and the whole of it would be replaced. Write --set train.",
        ),
        ("train={seed: 5}", "--set train={seed: 5}: train is a section"),
        ("train.seed={a: 1, a: 2}", "the key 'a' stands twice in one section"),
        ("prompt.evidence=expected", "evidence: input should be a list, such as [one, two], got"),
        ("data.cache_dir=null", "data.cache_dir: input should be a path, got None"),
        ("data.cache_dir=''", "data.cache_dir: input should not be blank"),
        ("lora.target_modules=[q_proj, ' ']", "lora.target_modules: input should not be blank"),
        ("train.batch_size=0", "train.batch_size: input should be greater than 0, got 0"),
        ("train.batch_size=many", "train.batch_size: input should be a valid integer"),
        ("train.batchsize=3", "train.batchsize: no such key. Did you mean train.batch_size?"),
    ],
)
def test_wrong_overrides_say_what_is_wrong(load, override: str, message: str):
    with pytest.raises(ConfigError) as caught:
        load("train: {seed: 3}", override)
    assert message in str(caught.value)


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
    with pytest.raises(ConfigError) as caught:
        build_config(tree, "my.yaml")
    assert str(caught.value) == f"my.yaml: {path}: no such key. Did you mean {nearest}?"


keys = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)


def refusal(section: str, key: str) -> str:
    with pytest.raises(ConfigError) as caught:
        build_config({section: {key: 1}})
    return str(caught.value)


sections = st.sampled_from(sorted(Config.model_fields))


@given(sections, keys.filter(lambda key: not key.startswith(("tuple", "literal"))))
def test_every_unknown_key_is_refused_with_its_full_path(section: str, key: str):
    assume(f"{section}.{key}" not in key_paths())
    assert refusal(section, key).startswith(f"configuration: {section}.{key}: no such key.")


@pytest.mark.parametrize("key", ["tuple_size", "literal"])
def test_an_unknown_key_named_as_a_type_keeps_its_full_path(key: str):
    assert refusal("train", key).startswith(f"configuration: train.{key}: no such key.")


def test_all_errors_are_told_at_once(load):
    text = "train: {batch_size: 0, lerning_rate: 1, seed: x}\nmodle: {}\nlora: {dropout: 1.0}\n"
    with pytest.raises(ConfigError) as caught:
        load(text)
    message = str(caught.value)
    assert "config.yaml: 5 errors:" in message
    for path in ("train.batch_size", "train.lerning_rate", "train.seed", "modle", "lora.dropout"):
        assert f"\n  - {path}: " in message


def test_wrong_overrides_are_told_at_once_with_wrong_values(load):
    with pytest.raises(ConfigError) as caught:
        load("lora: {r: 0}", "trian.seed=1", "foo", "train={}", "train.seed=-1")
    message = str(caught.value)
    assert "config.yaml: 5 errors:" in message
    for told in ("--set: 'foo'", "--set train={}: ", "trian: ", "train.seed: ", "lora.r: "):
        assert f"\n  - {told}" in message


@pytest.mark.parametrize("override", [(), ("train.seed=4",)])
def test_a_section_left_empty_changes_nothing(load, override: tuple[str, ...]):
    assert load("train:\nlora: {r: 3}\n", *override).train.batch_size == Config().train.batch_size


def test_keys_of_another_section_can_be_merged_and_those_written_out_win(load):
    text = "train: &few {seed: 3, epochs: 7}\n"
    with pytest.raises(ConfigError, match=r"lora\.seed: no such key"):
        load(f"{text}lora: {{<<: *few}}\n")
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
    with pytest.raises(ConfigError, match=f"the key '{key}' stands twice") as caught:
        load(text)
    assert caught.value.where is not None
    assert caught.value.where.endswith(f"config.yaml, line {line}")


@pytest.mark.parametrize(
    "text",
    ["train: [", "\tx: 1", "- a", "word", "train: {1: 2}", "data: {prepared_dir: {{ x }}}"],
)
def test_what_is_no_tree_of_sections_is_refused(load, text: str):
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        load(text)


def test_a_file_that_is_not_utf_8_is_refused(load):
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        load("train: {optimizer: é}".encode("latin-1"))


def test_a_missing_file_is_named_with_where_ready_ones_are(tmp_path: Path):
    with pytest.raises(ConfigError, match="No such file") as caught:
        load_config(tmp_path / "absent.yaml")
    assert caught.value.where == str(tmp_path / "absent.yaml")
    assert "configs/" in str(caught.value)
