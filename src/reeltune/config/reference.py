"""Help on the keys."""

from __future__ import annotations

import inspect
import json
from typing import Any

import yaml

from reeltune.config.load import config_tree, key_paths, unknown_key
from reeltune.config.schema import Config
from reeltune.config.section import KeyHelp, Section
from reeltune.errors import ConfigError


def section_of(name: str) -> type[Section]:
    """Return the class of a section."""
    annotation = Config.model_fields[name].annotation
    assert isinstance(annotation, type)
    assert issubclass(annotation, Section)
    return annotation


def key_help(path: str) -> KeyHelp:
    """Return the help on a key such as ``train.learning_rate``."""
    section, name = path.split(".")
    return KeyHelp.of(section_of(section).model_fields[name])


def resumable_keys() -> frozenset[str]:
    """Return the keys that may change between a run and its ``--resume``."""
    return frozenset(path for path in key_paths() if key_help(path).resume)


def explain(path: str) -> str:
    """Return the help on a key or a section as text.

    Raises:
        ConfigError: There is no such key (``unknown_key``), or it has a new name
            (``renamed_key``).
    """
    if path in Config.model_fields:
        keys = [f"{path}.{name}" for name in section_of(path).model_fields]
        width = max(map(len, keys))
        lines = [f"{key:{width}}  {key_help(key).meaning}" for key in keys]
        return "\n".join([section_text(path), "", *lines])
    if path not in key_paths():
        raise ConfigError.of([unknown_key(path)], "configuration")
    text = key_help(path)
    return "\n".join(
        [
            f"{path}: {default_of(path)}",
            f"  {text.meaning}",
            f"  Change it when: {text.advice}",
            f"  Memory and speed: {text.cost}",
            f"  May change with --resume: {'yes' if text.resume else 'no'}.",
        ]
    )


def section_text(section: str) -> str:
    """Return what a section is about."""
    text = inspect.getdoc(section_of(section)) or ""
    return text.replace("``", "`")


def default_of(path: str) -> str:
    """Return the default of a key, as it is written in YAML."""
    section, name = path.split(".")
    value: Any = config_tree(Config())[section][name]
    if isinstance(value, list):
        return yaml.safe_dump(value, default_flow_style=True).strip()
    return value if isinstance(value, str) else json.dumps(value)
