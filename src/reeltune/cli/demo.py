"""``reeltune demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from reeltune.cli import evaluate, fetch, prepare, train
from reeltune.extras import require

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
    from reeltune.demo import measure_speed, plan
    from reeltune.progress import format_seconds
    from reeltune.runs.log import quiet_libraries

    fetch.fetch("ml-100k")
    with quiet_libraries():
        fetch.fetch("smollm2-135m")
    config = load_config(PRESETS[str(_PRESET)])
    prepare.prepare(
        edition="ml-100k", output_dir=config.data.prepared_dir, history_len=5, no_json=True
    )
    typer.echo("measuring the speed of this machine")
    with quiet_libraries():
        speed = measure_speed(config)
    chosen = plan(speed, 60 * minutes)
    typer.echo(
        f"{speed.training:,.0f} tokens/s in training and {speed.scoring:,.0f} in scoring, so "
        f"{chosen.train} training and {chosen.test} test examples: about "
        f"{format_seconds(chosen.seconds)} minutes"
    )
    overrides = chosen.overrides()
    train.train(_PRESET, overrides, overwrite=True)
    evaluate.evaluate(_PRESET, overrides)
    typer.echo("Try next:")
    for command in _TRY_NEXT:
        typer.echo(f"  {command}")
