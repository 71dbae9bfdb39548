"""YAML configurations and overrides, damaged, then loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import yaml

from reeltune.config import Config, config_tree, load_config
from reeltune.config.presets import PRESETS
from tests.fuzz.campaign import Case, Kind
from tests.fuzz.damage import Damaged, damage_bytes, damage_json, damage_lines, damage_path
from tests.fuzz.workplace import Workplace

ODD_SCALARS = (
    *("null", "~", "", "yes", "no", "on", "off", "True", "0", "1", "-1", "017", "0x1f", "1_000"),
    *("1:30", "1e3", "1e-3", "1.5", ".5", "5.", "-.inf", ".nan", ".inf", "inf", "nan", "1" * 400),
    *("2026-02-30", "2026-13-45", "2026-01-01", "2001-12-14t21:59:43.10-05:00", "12:00", "=", "<<"),
    *("[]", "{}", "[1, 2]", "{a: 1}", "!!python/object:os.system x", "!!int '3'", "!!binary aGk="),
    *("!!float x", "!!timestamp x", "!!set {a}", "!!null x", "!local x", "*x", "&x 1", "|", ">"),
    *('"\\0"', '"\\ud800"', '"\\n"', "'a''b'", "a: b", "- a", "? a", "@x", "`x", "%x", "# x", "٣"),
    *(
        "x" * 5000,
        "[" * 500,
        "{" * 500,
        "'",
        '"',
        "\t",
        "é",
        "\U0001f916",
        "../../x",
        "~/x",
        "a//b",
    ),
)


class TextLoader(yaml.SafeLoader):
    """Reads every scalar as its text."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [pair for pair in pairs if pair[0] == "tag:yaml.org,2002:merge"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class Configurations(Kind):
    """Every key must have the value that its text says, and every other key its default."""

    name: ClassVar[str] = "yaml"

    def __init__(self, workplace: Workplace) -> None:
        super().__init__(workplace)
        self._trees = {name: config_tree(load_config(file)) for name, file in PRESETS.items()}

    def make(self, random: Random, folder: Path) -> Case:
        path = folder / "config.yaml"
        tree = deepcopy(self._trees[random.choice(sorted(PRESETS))])
        if random.random() < 0.5:  # a few keys, as people write
            sections = random.sample(sorted(tree), 3)
            tree = {name: dict(random.sample(sorted(tree[name].items()), 1)) for name in sections}
        text = yaml.safe_dump(tree, sort_keys=False)
        overrides: list[str] = []
        neutral, refused = False, False
        way = random.choice(("bytes", "lines", "values", "scalars", "scalars", "structure", "set"))
        if way == "bytes":
            description, data = damage_bytes(random, text.encode())
        elif way == "lines":
            description, lines = damage_lines(random, text.split("\n")[:-1], ": ")
            data = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        elif way == "values":
            description, changed = damage_json(random, tree)
            data = json.dumps(changed).encode("utf-8", "replace")
        elif way == "scalars":
            description, data = self._other_scalar(random, text)
        elif way == "structure":
            description, data, neutral, refused = self._structure(random, tree, text)
        else:
            section = random.choice(sorted(tree))
            key = random.choice([*tree[section], *tree[section], "unknown", ""])
            value = random.choice(ODD_SCALARS)
            overrides = [random.choice((f"{section}.{key}={value}", f"{section}={value}", value))]
            description, data = f"--set {overrides[0][:100]}", text.encode()
        path.write_bytes(data)
        (folder / "overrides.json").write_text(json.dumps(overrides))
        if random.random() < 0.03:
            description, neutral, refused = (
                damage_path(random, path, PRESETS["demo_cpu"]),
                False,
                False,
            )

        def run(_: list[str]) -> str | None:
            config = load_config(path, overrides)
            if refused:
                return "accepted"
            return _fault(config, path.read_bytes(), overrides)

        return Case(description, run, neutral)

    def _other_scalar(self, random: Random, text: str) -> Damaged[bytes]:
        lines = text.split("\n")[:-1]
        at = random.choice([n for n, line in enumerate(lines) if ": " in line])
        key, _, old = lines[at].partition(": ")
        new = random.choice(ODD_SCALARS)
        lines[at] = f"{key}: {new}"
        damaged = "".join(f"{line}\n" for line in lines)
        return f"{key.strip()}: {old} is now {new[:60]}", damaged.encode("utf-8", "replace")

    def _structure(
        self, random: Random, tree: dict[str, Any], text: str
    ) -> tuple[str, bytes, bool, bool]:
        """Return a description, the file, whether it means the same, and whether it must fail."""
        section = random.choice(sorted(tree))
        key, value = random.choice(sorted(tree[section].items()))
        scalar = yaml.safe_dump({key: value}, default_flow_style=True).strip()
        bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
        )
        size = random.choice((50, 1_000, 100_000))
        same = (
            ("as JSON", json.dumps(tree).encode()),
            ("in flow style", yaml.safe_dump(tree, default_flow_style=True).encode()),
            ("sections in another order", yaml.safe_dump(tree, sort_keys=True).encode()),
            ("line ends CRLF", text.replace("\n", "\r\n").encode()),
            ("a document marker", b"---\n" + text.encode()),
            ("comments", ("# x\n" + text.replace("\n", " # x\n")).encode()),
            ("BOM", b"\xef\xbb\xbf" + text.encode()),
            ("unchanged", text.encode()),
        )
        wrong = (
            ("an alias bomb", bomb.encode()),
            ("an alias bomb in a value", (bomb + f"{section}: {{{key}: *a9}}\n").encode()),
            ("an alias of itself", f"{section}: &x {{{key}: *x}}\n".encode()),
            ("nested lists", f"{section}: {{{key}: {'[' * size}{']' * size}}}\n".encode()),
            (
                "nested blocks",
                "".join(f"{' ' * n}a:\n" for n in range(min(size, 2_000))).encode(),
            ),
            ("a section twice", (text + f"{section}: {scalar}\n").encode()),
            ("a key twice", f"{section}:\n  {key}: 1\n  {key}: 1\n".encode()),
            ("a list at the top", yaml.safe_dump([tree]).encode()),
            ("a scalar at the top", b"train\n"),
            ("two documents", (text + "---\n" + text).encode()),
            ("a section as a list", yaml.safe_dump({section: [tree[section]]}).encode()),
            ("many unknown keys", "".join(f"k{n}: {n}\n" for n in range(size)).encode()),
            ("a list as a key", f"{section}: {{? [a] : 1}}\n".encode()),
            ("a tag", f"{section}: !!python/object/apply:os.getcwd []\n".encode()),
            ("UTF-16", text.encode("utf-16")),
            ("tabs", text.replace("  ", "\t").encode()),
            ("two megabytes", (text + "#" * (2 << 20)).encode()),
        )
        is_same = random.random() < 0.4
        description, data = random.choice(same if is_same else wrong)
        # UTF-16 is YAML too, and a section without indented keys has no tabs to refuse.
        must_fail = not is_same and description not in ("UTF-16", "tabs", "two megabytes")
        return description, data, is_same, must_fail


def _fault(config: Config, data: bytes, overrides: Sequence[str]) -> str | None:
    """Return how a configuration differs from its text, if it does."""
    tree = yaml.load(data, Loader=TextLoader) or {}
    texts: dict[str, dict[str, Any]] = {name: dict(keys or {}) for name, keys in tree.items()}
    if duplicate := _duplicate(yaml.compose(data, Loader=TextLoader)):
        return f"the key {duplicate} is there twice"
    for override in overrides:
        path, _, value = override.partition("=")
        section, _, key = path.strip().partition(".")
        texts.setdefault(section, {})[key] = yaml.load(value, Loader=TextLoader)
    default = Config()
    for name in Config.model_fields:
        section = getattr(config, name)
        keys = texts.pop(name, {})
        for key in type(section).model_fields:
            value = getattr(section, key)
            if key in keys:
                text = keys.pop(key)
                if not _says(text, value):
                    return f"{name}.{key} is {value!r}, its text {str(text)[:80]!r}"
            elif value != getattr(getattr(default, name), key):
                return f"{name}.{key} is {value!r}, which is no default and in no text"
        if keys:
            return f"keys without effect: {name}.{sorted(map(str, keys))[:3]}"
    return f"sections without effect: {sorted(map(str, texts))[:3]}" if texts else None


def _duplicate(node: yaml.Node | None) -> str | None:
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        repeated = [key for key in keys if keys.count(key) > 1 and key != "<<"]
        children = [child for _, child in node.value]
        return repeated[0] if repeated else next(filter(None, map(_duplicate, children)), None)
    if isinstance(node, yaml.SequenceNode):
        return next(filter(None, map(_duplicate, node.value)), None)
    return None


def _says(text: Any, value: Any) -> bool:
    """Return whether the text of a YAML value says a value of the configuration."""
    if isinstance(value, Mapping):
        return (
            isinstance(text, Mapping)
            and text.keys() == {str(key) for key in value}
            and all(_says(text[str(key)], inner) for key, inner in value.items())
        )
    if isinstance(value, tuple | list):
        items = text if isinstance(text, list) else []
        return len(items) == len(value) and all(map(_says, items, value))
    if not isinstance(text, str):
        return text is None and value is None
    if value is None:
        return text.strip() in ("", "~", "null", "Null", "NULL")
    if isinstance(value, bool):
        return (
            text.lower() in ("true", "yes", "on", "1")
            if value
            else (text.lower() in ("false", "no", "off", "0"))
        )
    if isinstance(value, int | float):
        try:
            return float(text) == value
        except ValueError:
            return False
    return text == (value.value if isinstance(value, Enum) else str(value)) or (
        isinstance(value, Path) and Path(text) == value
    )
