"""Hostile configurations: one line that names the file and the line or key, by bounded work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from yaml.parser import Parser

from reeltune.config import Config, build_config, config_tree, load_config
from reeltune.config.bounded_yaml import parse_yaml
from reeltune.config.presets import PRESETS, find_config
from reeltune.errors import ConfigError
from tests.errors import raises_error

MANY = 60_000
MAX_BYTES = 65_536


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def bomb(value: str) -> str:
    """Return nine levels of ten aliases each."""
    lines = [f"x0: &b0 {value}"]
    for level in range(1, 9):
        aliases = ",".join([f"*b{level - 1}"] * 10)
        lines.append(f"x{level}: &b{level} " + (f"[{aliases}]" if value == "[l]" else value))
        if value != "[l]":
            lines[-1] = f"x{level}: &b{level} {{<<: [{aliases}]}}"
    return "\n".join([*lines, "train: {seed: *b8}"])


def chain(length: int) -> str:
    """Return aliases that nest without multiplying."""
    links = [f"x{i}: &b{i} [*b{i - 1}]\n" for i in range(1, length)]
    return "".join(["x0: &b0 [l]\n", *links])


ENDLESS = {
    "bomb": (bomb("[l]"), "line 5"),
    "merge bomb": (bomb("{a: 1}"), "line "),
    "recursive": ("model: {}\ntrain: &a [*a]", "line 2"),
    "recursive merge": ("train: &a {<<: *a}", "line 1"),
    "chain": (chain(1_500), "line 70"),
    "deep flow": ("[" * MANY, "line 1"),
    "deep mapping": ("{a: " * 9_000, "line 1"),
    "deep block": ("\n".join(f"{' ' * i}a:" for i in range(300)), "line 20"),
    "deep key": ("? " * 9_000, "line 1"),
    "many keys": ("".join(f"k{i}: 1\n" for i in range(6_000)), "line 250"),
    "many values": (f"train: {{seed: [{'a,' * 30_000}]}}", "line 1"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_would_not_end_is_refused_with_its_line(
    file: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    text, line = ENDLESS[name]
    events = 0
    peek = Parser.peek_event

    def counted(parser: Any) -> Any:
        nonlocal events
        events += 1
        return peek(parser)

    monkeypatch.setattr(Parser, "peek_event", counted)
    file.write_text(text, encoding="utf-8")
    with raises_error(ConfigError, "invalid_yaml", where=line) as caught:
        load_config(file)
    assert "config.yaml" in str(caught.value.where)
    assert len(str(caught.value).splitlines()) == 1
    assert events < 25_000
    if len(text) < 2_000:
        with raises_error(ConfigError, "invalid_yaml", where="--set train.seed="):
            load_config(None, [f"train.seed={text}"])


TAGGED = ["!!timestamp x", "!!int x", "!!float x", "!!bool x", "!!binary x", "!!set {a}", "!x 3"]


@pytest.mark.parametrize(
    "text",
    [
        *(f"model: {{}}\ntrain: {{seed: {value}}}" for value in TAGGED),
        "model: {}\ntrain: !!python/object/apply:os.system [id]",
        "model: {}\ntrain: !!python/name:os.system",
        "model: {}\ntrain: *absent",
        "model: {}\ntrain: {<<: 3}",
        "model: {}\n\ttrain: 3",
        'model: {}\ntrain: "\\u12"',
        "model: {}\n\0",
        "model: {}\n---\ntrain: {}",
        "model: {}\n" + "!" * MANY,
        "model: {}\ntrain: *" + "z" * MANY,
    ],
)
def test_what_is_not_yaml_is_one_short_line_that_names_the_line(file: Path, text: str):
    file.write_text(text, encoding="utf-8")
    with raises_error(ConfigError, "invalid_yaml", where="config.yaml, line 2") as caught:
        load_config(file)
    assert len(str(caught.value).splitlines()) == 1
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "value",
    [
        *("2020-13-45", "2020-13-45 25:00:00", "2020-01-01", "1:30", "0o17", "0x10", "1_", "="),
        *("1e999", "1.0e+999", ".nan", "-.inf", "yes", "null", "[1]", "{a: 1}", "''"),
        *("9" * 4_000, "9" * 5_000, "9" * 30, "0x" + "f" * 5_000, '"\\e[2J\\n"', "a" * MANY),
    ],
)
def test_a_value_that_is_no_number_names_its_key(file: Path, value: str):
    for key in ("train.batch_size", "train.epochs"):
        if (key, value) == ("train.epochs", "0x10"):
            continue
        section, name = key.split(".")
        file.write_text(f"{section}: {{{name}: {value}}}", encoding="utf-8")
        for path, overrides in ((file, []), (None, [f"{key}={value}"])):
            with raises_error(ConfigError, "invalid_setting", where=key) as caught:
                load_config(path, overrides)
            assert len(str(caught.value)) < 400
            assert str(caught.value).isprintable()


@pytest.mark.parametrize("number", ["1_000", "1000", "+1000", "1000.0", "01000"])
def test_decimal_numbers_are_read(file: Path, number: str):
    file.write_text(f"train: {{batch_size: {number}, epochs: {number}}}", encoding="utf-8")
    train = load_config(file).train
    assert (train.batch_size, train.epochs) == (1000, 1000.0)


def test_texts_that_look_like_other_types_stay_texts(file: Path):
    for value in ("2020-01-01", "1:30", "0x10", "=", "123e456", "9" * 40, "!!str 3", "017"):
        file.write_text(f"train: {{run_name: {value}}}", encoding="utf-8")
        assert load_config(file).train.run_name == value.removeprefix("!!str ")


def test_numbers_without_a_typed_key_are_numbers():
    extra = "{alpha: 8, scale: 0.5, small: 1.5e-3, yes_: true, no_: no, none: ~, date: 2020-01-01}"
    expected = {"alpha": 8, "scale": 0.5, "small": 1.5e-3, "yes_": True, "no_": False, "none": None}
    found = load_config(None, [f"lora.extra={extra}"]).lora.extra
    assert found == {**expected, "date": "2020-01-01"}


@pytest.mark.parametrize("value", ['"a\\0b"', '"a\\e[2J"', '"a\\nb"', '"\\x85"', "x" * 5_000])
@pytest.mark.parametrize("key", ["model.name_or_path", "data.prepared_dir", "train.run_name"])
def test_control_characters_and_endless_texts_are_refused(key: str, value: str):
    with raises_error(ConfigError, "invalid_setting", where=key) as caught:
        load_config(None, [f"{key}={value}"])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("key", ['"a\\nb\\e[2J"', "a" * MANY, "null", "1", "true", ".nan"])
def test_a_strange_key_is_one_short_line(file: Path, key: str):
    for text in (f"? {key}\n: 1", f"train:\n ? {key}\n : 1"):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load_config(file)
        assert caught.value.code in {"unknown_key", "invalid_setting"}
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "override", ["x" * MANY, "a\nb\x1b[2J=3", "x\x1b", "train.seed=a\nb: \x1b"]
)
def test_a_strange_override_is_one_short_line(override: str):
    with pytest.raises(ConfigError) as caught:
        load_config(None, [override])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_a_deep_override_is_refused():
    with raises_error(ConfigError, "invalid_setting", where="train.seed"):
        load_config(None, ["train.seed." + "a." * 5_000 + "a=1"])


def test_only_some_of_many_problems_are_listed(file: Path):
    keys = "".join(f" lerning_{i}: 1\n" for i in range(200))
    file.write_text(f"train:\n{keys}", encoding="utf-8")
    with raises_error(ConfigError, "invalid_config", figures=[180]) as caught:
        load_config(file)
    assert len(str(caught.value).splitlines()) == 22


@pytest.mark.parametrize(
    ("content", "seed"),
    [
        ("train: {seed: 3}".encode("utf-8-sig"), 3),
        (b"train:\r  seed: 3\r", 3),
        (b"train:\r\n  seed: 3\r\n", 3),
        (b" " * MAX_BYTES, 42),
        (b"\n" * MAX_BYTES, 42),
    ],
)
def test_byte_order_mark_line_ends_and_blanks_are_read(file: Path, content: bytes, seed: int):
    file.write_bytes(content)
    assert load_config(file).train.seed == seed


@pytest.mark.parametrize("content", ["train: {}".encode("utf-16"), bytes(range(128, 256)) * 40])
def test_other_encodings_and_binary_files_are_refused(file: Path, content: bytes):
    file.write_bytes(content)
    with raises_error(ConfigError, "config_not_utf8", where="config.yaml"):
        load_config(file)


def test_a_file_of_a_gigabyte_is_not_read(file: Path):
    with file.open("wb") as stream:
        stream.truncate(2**30)
    with raises_error(ConfigError, "config_too_large", where="config.yaml", figures=[MAX_BYTES]):
        load_config(file)


def test_only_regular_files_are_read(tmp_path: Path):
    named = [tmp_path, tmp_path / ("x" * 3_000), Path("y" * 5_000)]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        named += [tmp_path / "pipe", Path("/dev/zero")]
    for path in named:
        with raises_error(ConfigError, "config_not_readable", where=str(path)[:100]):
            load_config(find_config(path))


def test_a_section_is_not_changed_through_its_alias(file: Path):
    file.write_text("train: &shared {share_history: true}\nscoring: *shared\n", encoding="utf-8")
    config = load_config(file, ["scoring.share_history=false"])
    assert (config.train.share_history, config.scoring.share_history) == (True, False)


def test_numbers_beyond_exact_integers_are_refused():
    assert load_config(None, [f"train.max_steps={2**53}"]).train.max_steps == 2**53
    for override in (f"train.max_steps={2**53 + 1}", "train.epochs=1e300"):
        with raises_error(ConfigError, "invalid_setting", where=override.partition("=")[0]):
            load_config(None, [override])


def test_presets_are_far_below_the_limits():
    assert max(file.stat().st_size for file in PRESETS.values()) < MAX_BYTES // 10
    complete = yaml.safe_dump(config_tree(Config()))
    assert len(complete) < MAX_BYTES // 10
    assert config_tree(build_config(parse_yaml(complete))) == config_tree(Config())
