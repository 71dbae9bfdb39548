"""All guards in order: what ``reeltune check`` runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from reeltune.check import (
    baselines,
    evidence,
    exports,
    features,
    predictions,
    training,
    verdicts,
)
from reeltune.check.events import Events
from reeltune.check.findings import FAILED, Outcome
from reeltune.check.items import item_rows_point_right, items_once
from reeltune.check.labels import labels_follow_stars
from reeltune.check.meta import checksums_agree, counts_agree
from reeltune.check.order import order_in_time, positions_count_up
from reeltune.check.splits import context_comes_first, splits_are_known, splits_in_order
from reeltune.check.target import Target
from reeltune.runs.folder import RunFolder

_UNSOUND: Final = "the events themselves are not sound: fix them first"
_TABLE_GUARDS: Final = (
    order_in_time,
    positions_count_up,
    items_once,
    item_rows_point_right,
    splits_are_known,
    context_comes_first,
    splits_in_order,
    labels_follow_stars,
)


def check_target(target: Target) -> Iterator[Outcome]:
    """Yield what each guard found, as soon as it is known.

    Guards that build on the events (exports, features, training rows) do not apply while a guard
    of the events themselves fails: they would only repeat it in other words.

    Args:
        target: What to look at.

    Raises:
        DataError: A table cannot be read, or lacks values.
    """
    events = Events.read(target.prepared)
    sound = True
    for guard in _TABLE_GUARDS:
        outcome = guard(events)
        sound = sound and outcome.status != FAILED
        yield outcome
    yield counts_agree(events)
    yield checksums_agree(target.prepared)
    yield from _exports(events, sound)
    yield from _features(events, sound)
    yield from _training(events, target.run, sound)
    yield from _predictions(events, target)


def _exports(events: Events, sound: bool) -> Iterator[Outcome]:
    if sound:
        yield exports.exported_texts(events)
        yield exports.exported_facts(events)
    else:
        yield exports.TEXTS.not_applicable(_UNSOUND)
        yield exports.FACTS.not_applicable(_UNSOUND)


def _features(events: Events, sound: bool) -> Iterator[Outcome]:
    if not sound:
        yield features.PAST.not_applicable(_UNSOUND)
        yield evidence.TOLD.not_applicable(_UNSOUND)
        return
    yield features.features_are_from_the_past(
        events,
        baselines.learned_from(events),
        baselines.baseline_features,
        baselines.BASELINE_FEATURES,
    )
    yield evidence.evidence_is_from_the_past(events)


def _training(events: Events, run: RunFolder | None, sound: bool) -> Iterator[Outcome]:
    rows = (training.TRAINED, training.CACHED)
    if run is None:
        for guard in (training.SAME_DATA, *rows):
            yield guard.not_applicable("no run was named")
        return
    record, config = run.record(), run.config()
    same = training.run_learned_from_these_data(events.folder, record)
    yield same
    if same.status == FAILED or not sound:
        reason = "the run was trained on other data" if same.status == FAILED else _UNSOUND
        for guard in rows:
            yield guard.not_applicable(reason)
        return
    yield training.training_rows_are_not_held_out(events, config, record)
    yield training.cached_rows_are_not_held_out(events, config.data.cache_dir)


def _predictions(events: Events, target: Target) -> Iterator[Outcome]:
    if target.predictions is None:
        for guard in (
            predictions.ROWS,
            predictions.ONCE,
            verdicts.PROBABILITIES,
            verdicts.KNOWING,
            verdicts.TOO_GOOD,
        ):
            yield guard.not_applicable("there are no predictions")
        return
    parts, strays = predictions.read_parts(target.predictions)
    yield predictions.predicted_rows_are_held_out(events, parts, strays)
    yield predictions.predicted_once(parts)
    yield verdicts.probabilities_are_valid(parts)
    yield verdicts.verdicts_are_not_labels(parts)
    yield verdicts.no_auc_is_too_good(parts)
