"""``reeltune demo``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from reeltune.cli import evaluate, fetch, options, train
from reeltune.extras import require
from reeltune.progress import format_seconds

if TYPE_CHECKING:
    from reeltune.config import Config

_PRESET: Final = Path("demo_cpu")
_TRY_NEXT: Final = (
    "reeltune recommend --config demo_cpu --user 42 --why 3",
    "reeltune serve --config demo_cpu",
    "tensorboard --logdir output/demo/logs",
)


def demo(
    minutes: Annotated[
        float,
        typer.Option(
            min=1,
            help="Time for training and evaluation on this machine. The numbers of examples follow "
            "from its speed, within bounds.",
        ),
    ] = 4.5,
) -> None:
    """Train and evaluate a small model on real ratings, in minutes and without a GPU.

    Runs fetch, prepare, train and evaluate in the working directory: data/demo, output/demo.
    """
    require("train")
    require("report")
    from reeltune.config import load_config
    from reeltune.config.presets import PRESETS
    from reeltune.locks import exclusive

    config = load_config(PRESETS[str(_PRESET)])
    with exclusive(config.train.output_dir):
        _run(config, minutes)


def _run(config: Config, minutes: float) -> None:
    with options.importing():
        from reeltune.api.data import prepare
        from reeltune.data.columns import EXAMPLE_SPLITS
        from reeltune.demo import measure_speed, plan
        from reeltune.runs.log import LOGGER, quiet_libraries

    fetch.fetch("ml-100k")
    with quiet_libraries():
        fetch.fetch("smollm2-135m")
    folder = prepare(
        None,
        config.data.prepared_dir,
        edition="ml-100k",
        history_len=5,
        fit=False,  # its documented figures are those of the shipped hyperparameters
        export=None,
        notify=typer.echo,
    )
    counts = ", ".join(f"{folder.meta['counts'][split]:,} {split}" for split in EXAMPLE_SPLITS)
    typer.echo(f"{folder.path}: {counts} examples")
    typer.echo("measuring the speed of this machine")
    with quiet_libraries():
        speed = measure_speed(config)
    chosen = plan(speed, 60 * minutes)
    typer.echo(
        f"{speed.training:,.0f} tokens/s in training and {speed.scoring:,.0f} in scoring, so "
        f"{chosen.train} training and {chosen.test} test examples: about "
        f"{format_seconds(chosen.seconds)} left"
    )
    overrides = chosen.overrides()
    LOGGER.addFilter(_not_repeated())
    train.train(_PRESET, overrides, overwrite=True)
    evaluate.evaluate(_PRESET, overrides)
    typer.echo("Try next:")
    for command in _TRY_NEXT:
        typer.echo(f"  {command}")


def _not_repeated() -> Callable[[logging.LogRecord], bool]:
    """Return a filter of the log that drops lines already logged, such as the device's."""
    logged: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        line = record.getMessage()
        known = line in logged
        logged.add(line)
        return not known

    return is_new
