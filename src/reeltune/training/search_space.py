"""The keys that ``reeltune tune`` searches: distributions within the bounds of the schema."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from optuna import distributions as optuna

from reeltune.config import Config, build_config, config_tree, key_paths
from reeltune.config.bounded_yaml import parse_yaml
from reeltune.config.load import unknown_key
from reeltune.config.reference import resumable_keys, section_of
from reeltune.errors import ConfigError

Space = dict[str, tuple[str, optuna.BaseDistribution]]
"""By key, its values as in ``--space`` and their distribution."""

RATIO: Final = "lora.alpha/lora.r"  # in place of lora.alpha: the rank does not change the scaling
DEFAULT_SPACE: Final = {
    "train.learning_rate": "5e-5:2e-3:log",
    "lora.r": "8:64:log",
    RATIO: "0.5:4:log",
    "lora.dropout": "0:0.2",
    "train.pairwise_weight": "0:4",
    "train.epochs": "1:3",
}
_ROWS: Final = {"data.prepared_dir", "data.max_eval_examples", "train.seed", "train.block_size"}
_NUMBER: Final = r"([-+]?\d*\.?\d+(?:[eE][-+]?\d+)?)"
_RANGE: Final = re.compile(f"{_NUMBER}:{_NUMBER}(:log)?")
_NO_BOUNDS: Final = {"default", "description", "title"}


def search_space(config: Config, changes: Sequence[str]) -> Space:
    """Return the default space, without keys that have no effect, changed by values of ``--space``.

    Raises:
        ConfigError: A key or value is not allowed; the message has the bounds of the schema.
    """
    texts: dict[str, str] = {}
    for change in changes:
        key, _, text = (part.strip() for part in change.partition("="))
        if not text or key in texts:
            raise _refused(key, "give it once, as KEY=LOW:HIGH[:log] or KEY=a,b,c")
        texts[key] = text
    excluded = resumable_keys() | _ROWS | {"scoring.share_history"}
    if config.train.max_steps is not None or "train.max_steps" in texts:
        excluded |= {"train.epochs"}
    if not config.train.share_history or config.train.block_size == 1:
        excluded |= {"train.pairwise_weight"}
    if config.lora.init_from is not None:
        excluded |= {"lora.r", "lora.alpha", RATIO}
    elif "lora.alpha" in texts:
        excluded |= {RATIO}
    for key in texts:
        if key != RATIO and key not in key_paths():
            raise ConfigError.of([unknown_key(key)], "--space")
        if key in excluded:
            raise _refused(key, "with this configuration it has no effect or changes the measure")
    texts = {key: text for key, text in DEFAULT_SPACE.items() if key not in excluded} | texts
    return {key: (text, _distribution(config, key, text)) for key, text in texts.items()}


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """Return a configuration with values by key; a ConfigError if they do not fit together."""
    tree = config_tree(config)
    for section, name in (key.split(".") for key in values if key != RATIO):
        tree[section][name] = values[f"{section}.{name}"]
    if RATIO in values:
        alpha = round(values[RATIO] * tree["lora"]["r"])
        tree["lora"]["alpha"] = alpha or int(values[RATIO] > 0)
    return build_config(tree)


def decoded(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a trial's parameters; choices are kept as JSON."""
    return {key: json.loads(v) if isinstance(v, str) else v for key, v in params.items()}


def _distribution(config: Config, key: str, text: str) -> optuna.BaseDistribution:
    found = _RANGE.fullmatch(text)
    if found is None:
        values = [_checked(config, key, value) for value in parse_yaml(f"[{text}]")]
        return optuna.CategoricalDistribution([json.dumps(value) for value in values])
    low, high = (_checked(config, key, end) for end in found.group(1, 2))
    if type(low) is int:
        _checked(config, key, low + 1)  # a key that takes multiples only is no range
    kind = {int: optuna.IntDistribution, float: optuna.FloatDistribution}.get(type(low))
    if kind is None:
        raise _refused(key, "its values are no numbers: give them as KEY=a,b,c")
    try:
        return kind(low, high, log=bool(found[3]))
    except ValueError as error:  # such as LOW above HIGH
        raise _refused(key, str(error)) from error


def _checked(config: Config, key: str, value: Any) -> Any:
    """Return a value as the schema reads it, if it and the rest of the configuration allow it."""
    section, name = key.partition("/")[0].split(".")
    try:
        value = float(value) if key == RATIO else value
        tree = config_tree(with_values(config, {key: value}))
    except (ValueError, TypeError) as error:
        schema = section_of(section).model_json_schema()["properties"][name]
        bounds = ", ".join(f"{k} {v}" for k, v in schema.items() if k not in _NO_BOUNDS)
        reason = getattr(error, "message", error)
        raise _refused(key, f"{value} is not allowed ({bounds}): {reason}") from error
    return value if key == RATIO else tree[section][name]


def _refused(key: str, message: str) -> ConfigError:
    return ConfigError(message, code="bad_search_space", where=f"--space {key}")
