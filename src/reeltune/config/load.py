"""Read a configuration: YAML, then ``--set`` overrides, then one strict check of everything."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ValidationError

from reeltune.config.schema import Config, contradictions
from reeltune.errors import ConfigError

_MERGE: Final = "tag:yaml.org,2002:merge"
"""What ``<<`` is to YAML: the keys of another section, unless they are given here."""

_SECTIONS: Final = frozenset(Config.model_fields)

_PLAINLY: Final = {
    "tuple_type": "input should be a list, such as [one, two]",
    "path_type": "input should be a path",
}
"""pydantic's messages that speak of Python, by kind of error."""


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe loader keeps the last of two equal keys in silence; this one refuses them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:  # its keys are defaults: those written out win
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise ConfigError(
                    "a key is a list or a section of its own",
                    where=f"line {key_node.start_mark.line + 1}",
                    hint="Write braces that belong to a value in quotes",
                )
            if key in seen:
                raise ConfigError(
                    f"the key {key!r} stands twice in one section",
                    where=f"line {key_node.start_mark.line + 1}",
                    hint="Remove one of them",
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_config(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """Build the configuration from a YAML file and ``a.b=value`` overrides.

    Args:
        path: The file; None for the defaults alone.
        overrides: Each ``section.key=value``; the value is read as YAML.

    Raises:
        ConfigError: With every error found, each naming its full key.
    """
    tree = _read(path) if path is not None else {}
    where = str(path) if path is not None else "configuration"
    refused = []
    for override in overrides:
        try:
            _apply(tree, override)
        except ConfigError as error:
            refused.append(error)
    if refused:
        _, wrong = _validated(tree)
        if len(refused) == 1 and not wrong:
            raise refused[0]
        raise _config_error([*map(str, refused), *wrong], where)
    return build_config(tree, where=where)


def build_config(tree: dict[str, Any], where: str = "configuration") -> Config:
    """Check a nested dictionary and return it as a :class:`Config`.

    Raises:
        ConfigError: With every error found.
    """
    config, wrong = _validated(tree)
    if config is None:
        raise _config_error(wrong, where)
    if problems := contradictions(config):
        raise _config_error(problems, where)
    return config


def _validated(tree: dict[str, Any]) -> tuple[Config | None, list[str]]:
    """Return the configuration, or None and what is wrong with single keys, each in a sentence."""
    try:
        return Config.model_validate(tree), []
    except ValidationError as error:
        return None, [_sentence(item) for item in error.errors()]


def config_tree(config: Config) -> dict[str, Any]:
    """Return the configuration as plain values, ready for YAML or JSON."""
    return config.model_dump(mode="json")


def config_hash(config: Config) -> str:
    """Return the SHA-256 of the configuration's canonical JSON."""
    text = json.dumps(config_tree(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def key_paths(section: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Yield the full path of every key, such as ``train.learning_rate``."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from key_paths(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the configuration is not UTF-8 (byte {error.start})",
            where=str(path),
            hint="Save it as UTF-8",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"the configuration cannot be read ({error.strerror})",
            where=str(path),
            hint="The folder configs/ holds ready ones",
        ) from None
    try:
        tree = yaml.load(text, Loader=_UniqueKeyLoader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(
            f"not valid YAML: {' '.join(str(error).split())}", where=str(path)
        ) from None
    except ConfigError as error:
        raise ConfigError(error.message, where=f"{path}, {error.where}", hint=error.hint) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError("the top level must be sections of keys", where=str(path))
    # A section whose keys are all commented out changes nothing.
    return {key: {} if value is None and key in _SECTIONS else value for key, value in tree.items()}


def _apply(tree: dict[str, Any], override: str) -> None:
    path, equals, value = override.partition("=")
    if not equals or not path.strip():
        raise ConfigError(
            f"{override!r} is not an override", where="--set", hint="Write --set section.key=value"
        )
    if path.strip() in _SECTIONS:
        raise ConfigError(
            f"{path.strip()} is a section, and the whole of it would be replaced",
            where=f"--set {override}",
            hint=f"Write --set {path.strip()}.KEY=value",
        )
    *parents, key = path.strip().split(".")
    node = tree
    for parent in parents:
        child = node.setdefault(parent, {})
        if child is None:
            child = node[parent] = {}
        if not isinstance(child, dict):
            raise ConfigError(f"{parent} is a value, not a section", where=f"--set {override}")
        node = child
    try:
        node[key] = yaml.load(value, Loader=_UniqueKeyLoader)  # a SafeLoader
    except yaml.YAMLError:
        raise ConfigError(f"{value!r} is not a YAML value", where=f"--set {override}") from None
    except ConfigError as error:
        raise ConfigError(error.message, where=f"--set {override}", hint=error.hint) from None


def _sentence(item: Any) -> str:
    # Union members add their own names to the location; only names of keys belong in a path.
    path = ".".join(
        str(part) for part in item["loc"] if not str(part).startswith(("literal[", "tuple["))
    )
    if item["type"] == "extra_forbidden":
        return f"{path}: no such key.{_nearest(path)}"
    said: str = _PLAINLY.get(item["type"]) or item["msg"]
    return f"{path}: {said[0].lower()}{said[1:]}, got {item['input']!r}"


def _nearest(path: str) -> str:
    known = list(key_paths()) + list(Config.model_fields)
    close = difflib.get_close_matches(path, known, n=1, cutoff=0.4)
    if not close:
        by_leaf = {known_path.rpartition(".")[2]: known_path for known_path in known}
        leaves = difflib.get_close_matches(path.rpartition(".")[2], list(by_leaf), n=1)
        close = [by_leaf[leaf] for leaf in leaves]
    return f" Did you mean {close[0]}?" if close else ""


def _config_error(problems: list[str], where: str) -> ConfigError:
    if len(problems) == 1:
        return ConfigError(problems[0], where=where)
    listed = "\n".join(f"  - {problem}" for problem in problems)
    return ConfigError(f"{len(problems)} errors:\n{listed}", where=where)
