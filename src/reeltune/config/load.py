"""Read a configuration: YAML, then ``--set`` overrides, then one strict check of everything."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from reeltune.config.schema import Config, contradictions
from reeltune.errors import ConfigError


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe loader keeps the last of two equal keys in silence; this one refuses them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise ConfigError(
                    "a key is a list or a section of its own",
                    where=f"line {key_node.start_mark.line + 1}",
                    mend="Write braces that belong to a value in quotes",
                )
            if key in seen:
                raise ConfigError(
                    f"the key {key!r} stands twice in one section",
                    where=f"line {key_node.start_mark.line + 1}",
                    mend="Remove one of them",
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
    for override in overrides:
        _apply(tree, override)
    return build_config(tree, where=str(path) if path is not None else "configuration")


def build_config(tree: dict[str, Any], where: str = "configuration") -> Config:
    """Check a nested dictionary and return it as a :class:`Config`.

    Raises:
        ConfigError: With every error found.
    """
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise _config_error([_sentence(item) for item in error.errors()], where) from None
    if problems := contradictions(config):
        raise _config_error(problems, where)
    return config


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
            mend="Save it as UTF-8",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"the configuration cannot be read ({error.strerror})",
            where=str(path),
            mend="The folder configs/ holds ready ones",
        ) from None
    try:
        tree = yaml.load(text, Loader=_UniqueKeyLoader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(
            f"not valid YAML: {' '.join(str(error).split())}", where=str(path)
        ) from None
    except ConfigError as error:
        raise ConfigError(error.what, where=f"{path}, {error.where}", mend=error.mend) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError("the top level must be sections of keys", where=str(path))
    return tree


def _apply(tree: dict[str, Any], override: str) -> None:
    path, equals, value = override.partition("=")
    if not equals or not path.strip():
        raise ConfigError(
            f"{override!r} is not an override", where="--set", mend="Write --set section.key=value"
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
        node[key] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"{value!r} is not a YAML value", where=f"--set {override}") from None


def _sentence(item: Any) -> str:
    # Union members add their own names to the location; only names of keys belong in a path.
    path = ".".join(
        str(part) for part in item["loc"] if not str(part).startswith(("literal[", "tuple["))
    )
    if item["type"] == "extra_forbidden":
        return f"{path}: no such key.{_nearest(path)}"
    return f"{path}: {item['msg'][0].lower()}{item['msg'][1:]}, got {item['input']!r}"


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
