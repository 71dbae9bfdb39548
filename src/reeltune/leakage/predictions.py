"""Checks: predictions are of held-out events, each once, and not too good to be true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from sklearn.metrics import roc_auc_score

from reeltune.data.columns import Columns
from reeltune.data.ids import Ids
from reeltune.data.invariants import EventTable
from reeltune.data.timelines import Bools, Ints
from reeltune.errors import DataError
from reeltune.evaluation.predictions import Floats, PredictionTable, read_predictions
from reeltune.leakage.features import HELD_OUT
from reeltune.leakage.outcomes import NONE, SHOWN, Check, Finding, Offenders, Outcome

HIGHEST_AUC: Final = 0.85
"""A higher AUC is suspicious. With user splits, good scorers of MovieLens stay below."""
FEWEST_ROWS: Final = 200
"""With fewer rows an AUC may be that high by chance: its standard error is 0.03 and more."""

_HINT: Final = "Run reeltune evaluate again, on the prepared data the adapter was trained on"
ROWS: Final = Check("predicted rows", _HINT)
ONCE: Final = Check("predicted once", _HINT)
PROBABILITIES: Final = Check("probabilities", "Run reeltune evaluate again")
NOT_LABELS: Final = Check(
    "predictions are not labels",
    "Look for the candidate's own rating or label among this scorer's inputs",
)
PLAUSIBLE_AUC: Final = Check(
    "no AUC too good",
    "Look at this scorer's inputs: the candidate's own rating, averages over held-out events, "
    "events after the candidate, or training rows among the predicted ones",
    certain=False,
)

CHECKS: Final = (ROWS, ONCE, PROBABILITIES, NOT_LABELS, PLAUSIBLE_AUC)

Parts = Mapping[str, PredictionTable]
"""The rows of each split."""

Wrong = dict[str, tuple[Bools, npt.NDArray[Any]]]
"""By column: where rows differ from their event, and the event's values."""


def read_parts(path: Path) -> tuple[Parts, int]:
    """Read a file of predictions: the rows of each split, and the number of rows of no split.

    Raises:
        DataError: The file lacks a column, or a row a value.
    """
    parts, table = read_predictions(path), pq.read_table(path)
    for name in table.column_names:
        if table[name].null_count:
            row = table[name].is_null().index(True).as_py()
            raise DataError(
                f"row {row} has no {name}", code="missing_values", where=str(path), hint=_HINT
            )
    return parts, table.num_rows - sum(map(len, parts.values()))


def predicted_rows_are_held_out(table: EventTable, parts: Parts, strays: int = 0) -> Outcome:
    """Each row is a held-out event of its split: same user, item, position, time and label.

    ``strays`` is the number of rows of no split that holds examples.
    """
    stray = [Finding(f"{strays} rows are of no split that holds examples")] if strays else []
    offenders = Offenders.of(stray)
    for split, rows in parts.items():
        wrong = _wrong(table, split, rows)

        def explain(row: int, rows: PredictionTable = rows, wrong: Wrong = wrong) -> Finding:
            values = [f"{name} {v[row]}" for name, (differs, v) in wrong.items() if differs[row]]
            message = f"predicted as a {rows.split} row, but the event has {', '.join(values)}"
            return _row_finding(rows, row, message)

        bad = np.flatnonzero(np.any([differs for differs, _ in wrong.values()], axis=0))
        offenders += Offenders.of_rows(bad, explain)
    return ROWS.result(_about(parts), offenders)


def _wrong(table: EventTable, split: str, rows: PredictionTable) -> Wrong:
    timelines = table.timelines
    exists = (rows.event >= 0) & (rows.event < len(table))
    event = np.where(exists, rows.event, 0)
    columns = {
        Columns.SPLIT: (np.full(len(rows), split), np.asarray(timelines.split[event])),
        Columns.USER: (rows.user_id, _ids(table.folder.user_ids, timelines.user_id[event])),
        Columns.ITEM: (rows.item_id, _ids(table.folder.item_ids, table.item_id[event])),
        Columns.POSITION: (rows.position, timelines.position[event]),
        Columns.TIMESTAMP: (rows.timestamp, timelines.timestamp[event]),
        Columns.LIKED: (rows.liked, timelines.liked[event]),
    }
    wrong: Wrong = {
        name: (exists & (predicted != actual), actual)
        for name, (predicted, actual) in columns.items()
    }
    wrong["no event, only"] = (~exists, np.full(len(rows), len(table)))
    if split not in HELD_OUT:
        wrong["not held out:"] = (np.ones(len(rows), dtype=np.bool_), np.full(len(rows), split))
    return wrong


def _row_finding(rows: PredictionTable, row: int, message: str) -> Finding:
    user, item = rows.user_id.tolist()[row], rows.item_id.tolist()[row]
    return Finding(message, user, item, int(rows.event[row]))


def _ids(ids: Ids, keys: Ints) -> npt.NDArray[Any]:
    """Return ids as a file of predictions has them."""
    if ids.texts is None:
        return keys
    return np.array([ids.named(key) for key in keys.tolist()], dtype=np.object_)


def predicted_once(parts: Parts) -> Outcome:
    """No row of a split occurs twice: it would count twice in every metric."""
    offenders = NONE
    for split, rows in parts.items():
        order = np.argsort(rows.event, kind="stable")
        again = np.sort(order[1:][np.diff(rows.event[order]) == 0])
        message = f"is in the {split} rows more than once"
        offenders += Offenders.of_rows(again, partial(_row_finding, rows, message=message))
    return ONCE.result(_about(parts), offenders)


def _about(parts: Parts) -> str:
    return " and ".join(f"{len(rows):,} {split} rows" for split, rows in parts.items())


def probabilities_are_valid(parts: Parts) -> Outcome:
    """There is a scorer, and all its predictions are from 0 to 1."""
    offenders, scorers = NONE, set[str]()
    for rows, scorer, p_yes in _scores(parts):
        scorers.add(scorer)
        bad = np.flatnonzero(~((p_yes >= 0) & (p_yes <= 1)))
        first = [_row_finding(rows, row, f"{scorer} gives {p_yes[row]}") for row in bad[:SHOWN]]
        offenders += Offenders(len(bad), tuple(first))
    if not scorers:
        offenders = Offenders.of([Finding("there is no scorer")])
    return PROBABILITIES.result(f"of {', '.join(sorted(scorers))}", offenders)


def predictions_are_not_labels(parts: Parts) -> Outcome:
    """No scorer's P(Yes) is 1 on every Yes and 0 on every No."""
    findings = [
        Finding(f"P(Yes) of {scorer} equals the label in all {len(rows):,} {rows.split} rows")
        for rows, scorer, p_yes in _scores(parts)
        if _equals_label(rows, p_yes)
    ]
    scorers = len({scorer for _, scorer, _ in _scores(parts)})
    about = f"{scorers} scorer{'' if scorers == 1 else 's'}"
    return NOT_LABELS.result(about, Offenders.of(findings))


def no_auc_is_too_good(parts: Parts) -> Outcome:
    """No scorer has an AUC above :data:`HIGHEST_AUC`.

    Predictions that equal the labels are left out: another check reports them.
    """
    enough = {
        split: rows
        for split, rows in parts.items()
        if len(rows) >= FEWEST_ROWS and _both_labels(rows.liked)
    }
    if not enough:
        return PLAUSIBLE_AUC.not_applicable(
            f"an AUC says little on fewer than {FEWEST_ROWS} rows, and nothing where they have one "
            "label"
        )
    findings, highest = [], 0.0
    for rows, scorer, p_yes in _scores(enough):
        if _equals_label(rows, p_yes) or not np.isfinite(p_yes).all():
            continue
        auc = float(roc_auc_score(rows.liked, p_yes))
        highest = max(highest, auc)
        if auc > HIGHEST_AUC:
            message = f"{scorer} has an AUC of {auc:.4f} on {len(rows):,} {rows.split} rows"
            findings.append(Finding(message))
    return PLAUSIBLE_AUC.result(f"the highest is {highest:.4f}", Offenders.of(findings))


def _scores(parts: Parts) -> Iterator[tuple[PredictionTable, str, Floats]]:
    """Yield every scorer's P(Yes) on every split."""
    for rows in parts.values():
        for scorer, p_yes in rows.p_yes.items():
            yield rows, scorer, p_yes


def _both_labels(liked: Bools) -> bool:
    return bool(liked.any() and not liked.all())


def _equals_label(rows: PredictionTable, p_yes: Floats) -> bool:
    return _both_labels(rows.liked) and bool((p_yes == rows.liked).all())
