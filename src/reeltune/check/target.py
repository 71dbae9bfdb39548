"""What is checked: prepared data, and the run and predictions that belong to a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reeltune.data.folder import META_FILE, PreparedFolder
from reeltune.errors import ConfigError, DataError
from reeltune.evaluation.predictions import PREDICTIONS_FILE
from reeltune.runs.folder import RUN_FILE, RunFolder

EVALUATION_DIR: Final = "evaluation"


@dataclass(frozen=True)
class Target:
    """What there is to check.

    Attributes:
        prepared: The prepared data.
        run: The run that learned from them; None without one.
        predictions: The file of predictions; None without one.
    """

    prepared: PreparedFolder
    run: RunFolder | None
    predictions: Path | None


def find_target(path: Path, data: Path | None = None) -> Target:
    """Tell what a folder is, and find what belongs to it.

    Args:
        path: A prepared folder, a run folder, or the folder of an evaluation.
        data: The prepared data; by default those the run was configured with.

    Raises:
        DataError: The folder is none of these, or its prepared data are not found.
        ConfigError: ``data`` is given for a folder that is prepared data itself.
        RunError: The run's configuration cannot be read.
    """
    if (path / META_FILE).is_file():
        if data is not None:
            raise ConfigError(
                f"{path} is prepared data itself",
                code="unneeded_data_flag",
                hint="Leave --data out",
            )
        return Target(PreparedFolder.open(path), None, None)
    if (path / RUN_FILE).is_file():
        run, predictions = RunFolder(path), path / EVALUATION_DIR / PREDICTIONS_FILE
    elif (path / PREDICTIONS_FILE).is_file():
        run = RunFolder(path.parent) if (path.parent / RUN_FILE).is_file() else None
        predictions = path / PREDICTIONS_FILE
    else:
        raise DataError(
            "holds neither prepared data, nor a run, nor predictions",
            code="nothing_to_check",
            where=str(path),
            hint="Name a folder that reeltune prepare, train or evaluate has written",
        )
    if data is None:
        if run is None:
            raise DataError(
                "no run beside these predictions names their data",
                code="data_not_named",
                where=str(path),
                hint="Name the prepared data with --data",
            )
        data = run.config().data.prepared_dir
    prepared = PreparedFolder.open(data)
    return Target(prepared, run, predictions if predictions.is_file() else None)
