"""Read a configuration: YAML, then ``--set`` overrides, then one strict check of everything."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import os
import reprlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from reeltune.config.bounded_yaml import parse_yaml
from reeltune.config.presets import PRESETS
from reeltune.config.renamed import RENAMED, RENAMED_VALUES, new_key_hint
from reeltune.config.schema import Config, contradictions
from reeltune.errors import ConfigError, Problem

_MAX_BYTES: Final = 65_536  # a complete configuration has about 5,000
_MAX_PROBLEMS: Final = 20  # that one error lists
_SECTIONS: Final = frozenset(Config.model_fields)
_COMMAND_LINE: Final = "command line"

_PLAIN_MESSAGES: Final = {
    "tuple_type": "input should be a list, such as [one, two]",
    "too_short": "input should be a list with at least one item",
    "sequence_str": "input should be a list, such as [one, two]",
    "path_type": "input should be a path",
}
"""Replacements for pydantic's messages that mention Python types, by error type."""


def load_config(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """Build the configuration from a YAML file and overrides.

    Args:
        path: The file; None for the defaults alone.
        overrides: Each ``section.key=value``; the value is read as YAML.

    Raises:
        ConfigError: With every problem found, each naming its full key.
    """
    tree = _read(path) if path is not None else {}
    where = str(path) if path is not None else "configuration"
    refused = [problem for override in overrides if (problem := _apply(tree, override)) is not None]
    explicit = [override.partition("=")[0].strip() for override in overrides]
    if not refused:
        try:
            return build_config(tree, where, explicit)
        except ConfigError as error:
            problems = error.problems
    else:
        _, problems = _validate(tree)
    if path is None:
        raise ConfigError.of([*refused, *problems], where)
    given = [problem for problem in problems if _is_given(problem, explicit)]
    of_file = [problem for problem in problems if problem not in given]
    if not of_file:
        raise ConfigError.of([*refused, *given], _COMMAND_LINE)
    of_line = [replace(each, where=f"{_COMMAND_LINE}: {each.where}") for each in given]
    mixed = ConfigError.of([*refused, *of_line, *of_file], where)
    mixed.problems = (*refused, *given, *of_file)
    raise mixed


def _is_given(problem: Problem, explicit: Sequence[str]) -> bool:
    """Return whether a problem is that of an override; it may name a part of its key."""
    where = f"{problem.where}."
    return any(where.startswith(f"{key}.") or f"{key}.".startswith(where) for key in explicit)


def build_config(
    tree: dict[str, Any], where: str = "configuration", explicit: Collection[str] = ()
) -> Config:
    """Check a nested dictionary and return it as a :class:`Config`.

    Args:
        tree: Values by section and key.
        where: Named in errors.
        explicit: The keys of :attr:`Config.explicit`.

    Raises:
        ConfigError: With every problem found.
    """
    config, problems = _validate(tree)
    if config is not None:
        problems = list(contradictions(config))
    if config is None or problems:
        raise ConfigError.of(problems, where)
    config._explicit = frozenset(explicit)
    return config


def _validate(tree: dict[str, Any]) -> tuple[Config | None, list[Problem]]:
    """Return the configuration, or None and the problems of single keys."""
    try:
        return Config.model_validate(tree), []
    except ValidationError as error:
        by_path: dict[str, list[Any]] = {}
        for item in error.errors():
            # Union members add their own names to the location; only names of keys belong in it.
            parts = (str(part) for part in item["loc"])
            path = ".".join(part for part in parts if not part.startswith(("literal[", "tuple[")))
            by_path.setdefault(_shorten(path), []).append(item)
        problems = [
            value_problem(*found) for found in itertools.islice(by_path.items(), _MAX_PROBLEMS)
        ]
        if more := len(by_path) - len(problems):
            problems.append(Problem("other keys", "invalid_setting", f"{more} more errors"))
        return None, problems


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


def nearest_key(path: str) -> str | None:
    """Return the known key or section most similar to a mistyped one, or None."""
    known = [*key_paths(), *Config.model_fields]
    if close := difflib.get_close_matches(path, known, n=1, cutoff=0.4):
        return close[0]
    by_leaf = {key.rpartition(".")[2]: key for key in known}
    leaves = difflib.get_close_matches(path.rpartition(".")[2], list(by_leaf), n=1)
    return by_leaf[leaves[0]] if leaves else None


def read_yaml(path: Path, hint: str) -> Any:
    """Return the value of a YAML file of bounded size; ``hint`` is for a file that does not exist.

    Raises:
        ConfigError: It cannot be read, or is not YAML; ``where`` has the file and line.
    """
    try:
        # A pipe or a device may have no end; the null device is an empty configuration.
        if path.exists() and not path.is_file() and str(path) != os.devnull:
            raise OSError(0, "not a regular file")
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"the file cannot be read ({error.strerror})",
            code="config_not_readable",
            where=_shorten(str(path)),
            hint=hint,
        ) from None
    if len(content) > _MAX_BYTES:
        message = f"more than the {_MAX_BYTES} bytes that are read"
        raise ConfigError(message, code="config_too_large", where=str(path))
    try:
        return parse_yaml(content.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"not UTF-8 (byte {error.start})",
            code="config_not_utf8",
            where=str(path),
            hint="Save the file as UTF-8",
        ) from None
    except ConfigError as error:
        where = f"{path}, {error.where}"
        raise ConfigError(error.message, code=error.code, where=where, hint=error.hint) from None


def _read(path: Path) -> dict[str, Any]:
    tree = read_yaml(path, f"Name a file, or a preset: {', '.join(sorted(PRESETS))}")
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(
            "the top level is not a mapping of sections",
            code="config_not_a_mapping",
            where=str(path),
            hint="Write it as section: {key: value}",
        )
    for key, value in tree.items():
        if isinstance(value, dict):
            tree[key] = dict(value)  # an alias of a section is a copy
        elif value is None and key in _SECTIONS:
            tree[key] = {}  # all of its keys are commented out
    return tree


def _apply(tree: dict[str, Any], override: str) -> Problem | None:
    """Set one key of the tree; return the problem if the override is not a valid one."""
    where = _shorten(f"--set {override}")
    path, equals, value = (part.strip() for part in override.partition("="))
    if not equals or not path:
        return Problem(
            where, "invalid_override", "not an override", "Write --set section.key=value"
        )
    if path in _SECTIONS:
        return Problem(
            where,
            "override_of_section",
            f"{path} is a section, and all of it would be replaced",
            f"Write --set {path}.KEY=value",
        )
    *parents, key = path.split(".")
    node = tree
    for parent in parents:
        child = node.setdefault(parent, {})
        if child is None:
            child = node[parent] = {}
        if not isinstance(child, dict):
            return Problem(
                where, "override_below_value", f"{_shorten(parent)} is a value, not a section"
            )
        node = child
    try:
        node[key] = parse_yaml(value)
    except ConfigError as error:
        return Problem(where, error.code, error.message, error.hint)
    return None


def unknown_key(path: str) -> Problem:
    """Return the problem of a key that does not exist, or does no more."""
    if path in RENAMED:
        return Problem(path, "renamed_key", f"this key is now {RENAMED[path]}", new_key_hint(path))
    close = nearest_key(path)
    hint = f"Did you mean {close}?" if close else "See: reeltune config show"
    return Problem(path, "unknown_key", "no such key", hint)


def value_problem(path: str, items: list[Any]) -> Problem:
    """Translate pydantic's errors about one value: several if its type is a union."""
    if items[0]["type"] == "extra_forbidden":
        return unknown_key(path)
    value = items[0]["input"]
    values = RENAMED_VALUES.get(path.rstrip(".0123456789"), {})  # without the index in a list
    if isinstance(value, str) and (now := values.get(value)):
        return Problem(path, "renamed_value", f"the value {value} is now {now}", f"Write {now}")
    expected = dict.fromkeys(_PLAIN_MESSAGES.get(item["type"]) or item["msg"] for item in items)
    message = " or ".join(f"{text[0].lower()}{text[1:]}" for text in expected)
    message = message.replace(" or input should be ", " or ")
    return Problem(path, "invalid_setting", f"{message}, got {_shorten(reprlib.repr(value))}")


def _shorten(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."
