"""Train, search for a configuration, and read what a training run left in its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import InstanceOf, NonNegativeFloat, PositiveInt

from reeltune.boundary import translated_errors
from reeltune.config import Config, build_config, config_tree, load_config
from reeltune.config.arguments import checked
from reeltune.config.presets import find_config
from reeltune.errors import ConfigError, ModelError
from reeltune.extras import require
from reeltune.runs.folder import ADAPTER_CONFIG, RunFolder

PathLike = str | os.PathLike[str]
ConfigLike = InstanceOf[Config] | PathLike | Mapping[str, Any]
"""A configuration, its YAML file, the name of a preset, or values of some keys."""


@dataclass(frozen=True)
class Run:
    """A training run in its folder."""

    folder: Path

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of ``metrics.json``: the best evaluation, all of them, losses and speed.

        Raises:
            RunError: Training has not finished.
        """
        return RunFolder(self.folder).metrics()

    @property
    def config(self) -> Config:
        """The configuration of the run.

        Raises:
            RunError: There is no run in the folder.
        """
        return RunFolder(self.folder).config()

    @property
    def adapter(self) -> Path:
        """The folder of the adapter, which plain PEFT loads too.

        Raises:
            ModelError: There is no adapter.
        """
        return require_adapter(self.folder, ", or use the base model with base_only=True")


RunLike = InstanceOf[Run] | PathLike


def require_adapter(folder: Path, alternative: str = "") -> Path:
    """Return the folder of an adapter; ``alternative`` extends the hint.

    Raises:
        ModelError: There is no adapter.
    """
    if not (folder / ADAPTER_CONFIG).is_file():
        raise ModelError(
            "no adapter here",
            code="adapter_not_found",
            where=str(folder),
            hint=f"Run: reeltune train{alternative}",
        )
    return folder


def as_run(run: RunLike) -> Run:
    """Return the run in a folder."""
    return run if isinstance(run, Run) else Run(Path(run))


def as_config(config: ConfigLike | None, overrides: Mapping[str, Any] | None = None) -> Config:
    """Return a configuration, with the values of some keys replaced.

    Keys are full paths or nested sections.

    Raises:
        ConfigError: With every problem found.

    >>> as_config({"train.epochs": 2, "lora": {"r": 4}}, {"lora.alpha": 8}).lora.alpha
    8
    """
    if isinstance(config, str | os.PathLike):
        resolved = load_config(find_config(Path(config)))
    elif isinstance(config, Config):
        resolved = config
    else:
        resolved = load_config(None)
        overrides = {**(config or {}), **(overrides or {})}
    if not overrides:
        return resolved
    tree = config_tree(resolved)
    explicit = _set_keys(tree, overrides)
    return build_config(tree, explicit=resolved.explicit.union(explicit))


@translated_errors()
@checked
def train(
    config: ConfigLike | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Run:
    """Fine-tune an adapter, as ``reeltune train`` does.

    Args:
        config: A configuration, its YAML file, the name of a preset, or values by key; the other
            keys have their defaults.
        overrides: Values by key, such as ``{"train.epochs": 2}``, which replace those of the
            configuration.
        resume: Continue from the newest whole checkpoint.
        overwrite: Replace an earlier run in ``train.output_dir``.

    Raises:
        ReeltuneError: Configuration, data, model or run folder is wrong.
        MissingExtraError: The extra ``train`` is not installed.

    >>> overrides = {"train.output_dir": "output/trial", "train.max_steps": 2}
    >>> run = train("demo_cpu", overrides=overrides)  # doctest: +ELLIPSIS
    run folder: output/trial
    ...
    >>> sorted(path.name for path in run.adapter.glob("adapter_*"))
    ['adapter_config.json', 'adapter_model.safetensors']
    >>> best = run.metrics["best"]
    >>> 0 < best["eval_log_loss"] < 2
    True
    """
    require("train")
    from reeltune.training.train import train as run_training

    return Run(run_training(as_config(config, overrides), resume=resume, overwrite=overwrite))


@translated_errors()
@checked
def tune(
    config: ConfigLike | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    output: PathLike | None = None,
    trials: PositiveInt = 20,
    timeout: NonNegativeFloat | None = None,
    space: Sequence[str] = (),
    keep: PositiveInt = 3,
) -> dict[str, Any]:
    """Search for the configuration with the lowest validation log loss, as ``reeltune tune`` does.

    Args:
        config: What all trials share; ``overrides`` as in :func:`train`.
        output: The study's folder, by default ``train.output_dir`` with ``-tune`` added; a study in
            it is continued, beside other processes. Trial 7 is the run in ``trials/7``.
        trials: How many the study is to have; none begins after ``timeout`` seconds.
        space: Changes to the default space: ``KEY=LOW:HIGH``, ``KEY=LOW:HIGH:log``, ``KEY=a,b,c``.
        keep: How many of the best trials keep their weights.

    Returns:
        The content of ``tune.json``: all trials, the best of them, importances by key.

    Raises:
        ReeltuneError: Configuration, space, data or folder are wrong, or no trial is complete.
        MissingExtraError: The extra ``tune`` or ``train`` is not installed.
    """
    require("train")
    require("tune")
    from reeltune.training.tune import tune as run_study

    resolved = as_config(config, overrides)
    folder = Path(output or f"{resolved.train.output_dir}-tune")
    return run_study(resolved, space, folder, trials, timeout, keep)


def _set_keys(tree: dict[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Set keys of a tree, and return their full paths."""
    paths: list[str] = []
    for path, value in values.items():
        name, _, rest = path.partition(".")
        nested = {rest: value} if rest else value
        if isinstance(nested, Mapping) and isinstance(tree.setdefault(name, {}), dict):
            paths += [f"{name}.{key}" for key in _set_keys(tree[name], nested)]
        else:
            tree[name] = value
            paths.append(name)
    return paths


def resolve_run(
    run: RunLike | None,
    config: ConfigLike | None,
    overrides: Mapping[str, Any] | None,
    prepared: PathLike | None,
    base: PathLike | None,
    *,
    base_only: bool,
    allow_domain_shift: bool,
    fusion: bool,
) -> tuple[Config, Path | None]:
    """Return the configuration to use with a run, and its adapter unless the base model is used.

    Arguments are those of :func:`reeltune.load`.

    Raises:
        ConfigError: Neither a run nor a configuration is given.
        RunError: There is no run in the folder.
        ModelError: There is no adapter.
    """
    if config is None:
        if run is None:
            raise ConfigError(
                "neither a run nor a configuration is given",
                code="run_or_config",
                hint="Give the folder of a run, or config= for the base model alone",
            )
        config = as_run(run).config
    moved: dict[str, Any] = {}
    if prepared is not None:
        moved["data.prepared_dir"] = Path(prepared)
    if base is not None:
        moved |= {"model.name_or_path": str(Path(base)), "model.revision": None}
    if allow_domain_shift:
        moved["scoring.allow_domain_shift"] = True
    if not fusion:
        moved["scoring.fusion"] = "none"
    adapter = None if run is None or base_only else as_run(run).adapter
    return as_config(config, {**(overrides or {}), **moved}), adapter
