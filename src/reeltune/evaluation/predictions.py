"""Predictions: every scorer's P(Yes) on the same held-out rows, and the file they are kept in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from reeltune.data.columns import EXAMPLE_SPLITS, Columns
from reeltune.data.folder import PreparedFolder
from reeltune.errors import DataError
from reeltune.files import atomic_file

PREDICTIONS_FILE: Final = "predictions.parquet"
"""What the file is called in the folder of an evaluation."""

EVENT: Final = "event"
"""The candidate's place among the events of ``timelines.parquet``, which names the row."""

P_YES: Final = "p_yes: "
"""What a scorer's column begins with; its name follows."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """Rows of one split with the verdicts of every scorer; all arrays have one entry per row.

    Attributes:
        split: ``validation`` or ``test``.
        event: The candidate's place among the events of the prepared folder's timelines.
        user_id: Whose row it is.
        item_id: The candidate.
        position: Events of the user before the candidate.
        timestamp: When the candidate was rated, in seconds since 1970, UTC.
        liked: The label.
        p_yes: P(Yes) by scorer, in the order they are reported in.
    """

    split: str
    event: Ints
    user_id: Ints
    item_id: Ints
    position: Ints
    timestamp: Ints
    liked: npt.NDArray[np.bool_]
    p_yes: dict[str, Floats]

    def __len__(self) -> int:
        return len(self.event)

    @classmethod
    def of_events(cls, folder: PreparedFolder, split: str, event: Ints) -> Predictions:
        """Return rows nobody has scored yet.

        Args:
            folder: The prepared data.
            split: The split the events belong to.
            event: The candidates, as places among the timelines' events.
        """
        timelines = folder.timelines
        item_ids = np.array([item.item_id for item in folder.items], dtype=np.int64)
        return cls(
            split=split,
            event=event,
            user_id=timelines.user_id[event],
            item_id=item_ids[timelines.item_idx[event]],
            position=timelines.position[event].astype(np.int64),
            timestamp=timelines.timestamp[event],
            liked=timelines.liked[event],
            p_yes={},
        )

    def scored(self, scorer: str, p_yes: npt.NDArray[np.floating]) -> Predictions:
        """Return the same rows with the verdicts of one more scorer.

        Raises:
            DataError: There are more or fewer verdicts than rows, or one is not a probability.
        """
        found = np.asarray(p_yes, dtype=np.float64)
        if found.shape != self.event.shape:
            raise DataError(
                f"{len(found)} predictions for {len(self)} rows",
                code="wrong_number_of_predictions",
                where=f"scorer {scorer!r}",
            )
        bad = ~((found >= 0) & (found <= 1))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"{found[row]} is not a probability",
                code="not_a_probability",
                where=f"scorer {scorer!r}, row {row}",
            )
        return replace(self, p_yes={**self.p_yes, scorer: found})


def verdicts_on(rows: Predictions, earlier: dict[str, Predictions], scorer: str) -> Floats:
    """Return what a scorer said of rows in an earlier evaluation, shape ``(len(rows),)``.

    Args:
        rows: Rows of one split, in any order.
        earlier: From :func:`read_predictions`.
        scorer: Its name.

    Raises:
        DataError: It has not judged just these rows.
    """
    found = np.empty(len(rows))
    kept = earlier.get(rows.split)
    order = np.argsort(rows.event, kind="stable")
    if kept is not None and scorer in kept.p_yes:
        theirs = np.argsort(kept.event, kind="stable")
        if np.array_equal(kept.event[theirs], rows.event[order]):
            found[order] = kept.p_yes[scorer][theirs]
            return found
    raise DataError(
        f"{scorer} has not been evaluated on exactly these {len(rows)} {rows.split} rows",
        code="predictions_of_other_rows",
        where="the earlier evaluation",
        hint="Run reeltune evaluate without --keep-verdicts",
    )


def write_predictions(path: Path, parts: list[Predictions]) -> None:
    """Write the rows of one or more splits, with the same scorers, as one parquet file."""
    tables = [_table(part) for part in parts]
    with atomic_file(path) as temporary:
        pq.write_table(pa.concat_tables(tables), temporary, compression="zstd")


def read_predictions(path: Path) -> dict[str, Predictions]:
    """Return the rows of each split in a file of predictions.

    Raises:
        DataError: The file is missing or lacks a column.
    """
    if not path.is_file():
        raise DataError(
            "there are no predictions here",
            code="no_predictions",
            where=str(path),
            hint="Run: reeltune evaluate",
        )
    table = pq.read_table(path)
    lacking = [name for name in _NAMES if name not in table.column_names]
    if lacking:
        raise DataError(
            f"no column {', '.join(lacking)}",
            code="missing_predictions_column",
            where=str(path),
            hint="Run: reeltune evaluate",
        )
    columns = {name: table[name].to_numpy() for name in table.column_names}
    split = columns[Columns.SPLIT].astype(np.str_)
    return {
        name: Predictions(
            name,
            *(columns[key][split == name] for key in _NAMES[1:]),
            p_yes={
                key.removeprefix(P_YES): values[split == name]
                for key, values in columns.items()
                if key.startswith(P_YES)
            },
        )
        for name in EXAMPLE_SPLITS
        if (split == name).any()
    }


_NAMES: Final = (
    Columns.SPLIT,
    EVENT,
    Columns.USER,
    Columns.ITEM,
    Columns.POSITION,
    Columns.TIMESTAMP,
    Columns.LIKED,
)


def _table(part: Predictions) -> pa.Table:
    split = np.full(len(part), part.split)
    rows = (part.event, part.user_id, part.item_id, part.position, part.timestamp, part.liked)
    named = dict(zip(_NAMES, (split, *rows), strict=True))
    return pa.table({**named, **{P_YES + name: values for name, values in part.p_yes.items()}})
