"""All checks in order, and what they run on: what ``reeltune check`` does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reeltune.data.folder import META_FILE, PreparedFolder
from reeltune.data.invariants import EventTable
from reeltune.errors import ConfigError, DataError
from reeltune.evaluation.predictions import PREDICTIONS_FILE
from reeltune.leakage import auxiliary, features, predictions, tables, tags, training
from reeltune.leakage.outcomes import FAILED, Outcome
from reeltune.runs.folder import RUN_FILE, RunFolder

_UNSOUND: Final = "an invariant of the events does not hold: fix that first"
EVALUATION_DIR: Final = "evaluation"


@dataclass(frozen=True)
class Target:
    """Prepared data to check, with a run and a file of predictions, if any."""

    prepared: PreparedFolder
    run: RunFolder | None
    predictions: Path | None


def find_target(path: Path, data: Path | None = None) -> Target:
    """Return what belongs to a prepared folder, a run folder or the folder of an evaluation.

    ``data`` is the prepared data, by default those the run was configured with.

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
        return Target(PreparedFolder.open(path, verify=False), None, None)
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
    prepared = PreparedFolder.open(data, verify=False)
    return Target(prepared, run, predictions if predictions.is_file() else None)


def run_checks(target: Target) -> Iterator[Outcome]:
    """Yield the outcome of each check, as soon as it is known.

    Checks of features and training rows do not apply while an invariant of the events is broken:
    they would only repeat it.

    Raises:
        DataError: A table cannot be read, or lacks values.
    """
    table = EventTable.read(target.prepared)
    sound = True
    for outcome in tables.check_invariants(table):
        sound = sound and outcome.status != FAILED
        yield outcome
    yield tables.counts_agree(table)
    yield tables.checksums_agree(target.prepared)
    yield from _features(table, sound)
    yield from _training(table, target.run, sound)
    yield from _predictions(table, target.predictions)


def _features(table: EventTable, sound: bool) -> Iterator[Outcome]:
    if not sound:
        yield features.FEATURES_FROM_THE_PAST.not_applicable(_UNSOUND)
        yield features.SIGNALS_FROM_THE_PAST.not_applicable(_UNSOUND)
        yield features.HIDDEN.not_applicable(_UNSOUND)
        yield tags.TAGS_FROM_THE_PAST.not_applicable(_UNSOUND)
        yield auxiliary.AUXILIARY.not_applicable(_UNSOUND)
        return
    yield features.features_are_from_the_past(
        table, features.learned_from(table), features.baseline_features, features.BASELINE_FEATURES
    )
    yield features.signals_are_from_the_past(table)
    yield features.held_out_ratings_are_hidden(table)
    yield tags.tags_are_from_the_past(table)
    yield auxiliary.auxiliary_ratings_are_of_others(table)


def _training(table: EventTable, run: RunFolder | None, sound: bool) -> Iterator[Outcome]:
    checks = [training.SAME_DATA, training.TRAINED, training.CACHED]
    reason = "no run was named"
    if run is not None:
        record, config = run.record(), run.config()
        same = training.run_learned_from_these_data(table.folder, record)
        yield same
        if same.status != FAILED and sound:
            yield training.training_rows_are_not_held_out(table, config, record)
            yield training.cached_rows_are_not_held_out(table, config.data.cache_dir)
            return
        checks = checks[1:]
        reason = "the run was trained on other data" if same.status == FAILED else _UNSOUND
    for check in checks:
        yield check.not_applicable(reason)


def _predictions(table: EventTable, path: Path | None) -> Iterator[Outcome]:
    if path is None:
        for check in predictions.CHECKS:
            yield check.not_applicable("there are no predictions")
        return
    parts, strays = predictions.read_parts(path)
    yield predictions.predicted_rows_are_held_out(table, parts, strays)
    yield predictions.predicted_once(parts)
    yield predictions.probabilities_are_valid(parts)
    yield predictions.predictions_are_not_labels(parts)
    yield predictions.no_auc_is_too_good(parts)
