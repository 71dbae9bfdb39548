"""PredictionTable: every scorer's P(Yes) on the same held-out rows, and its parquet file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from reeltune.data.columns import EXAMPLE_SPLITS, Columns
from reeltune.data.folder import PreparedFolder
from reeltune.data.ids import Ids
from reeltune.errors import DataError
from reeltune.files import atomic_file
from reeltune.ragged import Floats, Ints, Labels

Probabilities = npt.NDArray[np.floating[Any]]

PREDICTIONS_FILE: Final = "predictions.parquet"

P_YES: Final = "p_yes: "
"""Prefix of a scorer's column; its name follows."""

_ROW_COLUMNS: Final = ("event", "user_id", "item_id", "position", "timestamp", "liked")
"""Columns of the file that are attributes of :class:`PredictionTable`."""

_NUMBERS: Final = Ids()


@dataclass(frozen=True)
class PredictionTable:
    """Rows of one split with the predictions of every scorer; arrays have one entry per row.

    Attributes:
        split: ``validation`` or ``test``.
        event: Index of the candidate among the events of ``timelines.parquet``.
        user_id: The key of the user, see :class:`reeltune.data.ids.Ids`.
        item_id: The key of the candidate.
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
    liked: Labels
    p_yes: dict[str, Floats]

    def __len__(self) -> int:
        return len(self.event)

    @classmethod
    def of_events(cls, folder: PreparedFolder, split: str, event: Ints) -> PredictionTable:
        """Return the rows of some candidates of a split, without predictions."""
        timelines = folder.timelines
        return cls(
            split=split,
            event=event,
            user_id=timelines.user_id[event],
            item_id=folder.item_keys[timelines.item_idx[event]],
            position=timelines.position[event].astype(np.int64),
            timestamp=timelines.timestamp[event],
            liked=timelines.liked[event],
            p_yes={},
        )

    def scored(self, scorer: str, p_yes: Probabilities) -> PredictionTable:
        """Return the same rows with the predictions of one more scorer.

        Raises:
            DataError: The number of predictions differs, or one is not a probability.
        """
        values = probabilities(self.liked, p_yes, f"scorer {scorer!r}")
        return replace(self, p_yes={**self.p_yes, scorer: values})

    def of_scorer(self, scorer: str, earlier: dict[str, PredictionTable]) -> Floats:
        """Return a scorer's predictions from an earlier evaluation of these rows, in any order.

        Raises:
            DataError: It was not evaluated on exactly these rows.
        """
        table = earlier.get(self.split)
        order = np.argsort(self.event, kind="stable")
        if table is not None and scorer in table.p_yes:
            same = np.argsort(table.event, kind="stable")
            if np.array_equal(table.event[same], self.event[order]):
                p_yes = np.empty(len(self))
                p_yes[order] = table.p_yes[scorer][same]
                return p_yes
        raise DataError(
            f"{scorer} has not been evaluated on exactly these {len(self)} {self.split} rows",
            code="predictions_of_other_rows",
            where="the earlier evaluation",
            hint="Run reeltune evaluate without --keep-predictions",
        )


def probabilities(labels: Labels, p_yes: Probabilities, where: str = "") -> Floats:
    """Return P(Yes) in float64, the type in which thresholds are chosen and compared.

    Args:
        where: Put before the row in an error, such as the scorer.

    Raises:
        DataError: The shapes differ, or a value is not a probability.
    """
    values = np.asarray(p_yes, dtype=np.float64)
    if values.shape != labels.shape:
        raise DataError(
            f"{len(values)} predictions for {len(labels)} rows",
            code="wrong_number_of_predictions",
            where=where or None,
        )
    bad = ~((values >= 0) & (values <= 1))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{p_yes[row]} is not a probability",
            code="not_a_probability",
            where=", ".join(filter(None, (where, f"row {row}"))),
        )
    return values


def write_predictions(
    path: Path, splits: list[PredictionTable], user_ids: Ids = _NUMBERS, item_ids: Ids = _NUMBERS
) -> None:
    """Write the rows of one or more splits, with the same scorers, as one parquet file.

    Keys of users and items are written as ids.
    """
    tables = [
        pa.table(
            {Columns.SPLIT: np.full(len(rows), rows.split)}
            | {name: getattr(rows, name) for name in _ROW_COLUMNS}
            | {Columns.USER: user_ids.arrow(rows.user_id)}
            | {Columns.ITEM: item_ids.arrow(rows.item_id)}
            | {P_YES + name: values for name, values in rows.p_yes.items()}
        )
        for rows in splits
    ]
    with atomic_file(path) as temporary:
        pq.write_table(pa.concat_tables(tables), temporary, compression="zstd")


def read_predictions(path: Path) -> dict[str, PredictionTable]:
    """Return the rows of each split in a file of predictions, with ids instead of keys.

    Raises:
        DataError: The file is missing or lacks a column.
    """
    hint = "Run: reeltune evaluate"
    if not path.is_file():
        raise DataError(
            "there are no predictions here", code="no_predictions", where=str(path), hint=hint
        )
    table = pq.read_table(path)
    missing = [name for name in (Columns.SPLIT, *_ROW_COLUMNS) if name not in table.column_names]
    if missing:
        raise DataError(
            f"no column {', '.join(missing)}",
            code="missing_predictions_column",
            where=str(path),
            hint=hint,
        )
    columns = {name: table[name].to_numpy() for name in table.column_names}
    split = columns[Columns.SPLIT].astype(np.str_)
    return {
        name: PredictionTable(
            split=name,
            **{key: columns[key][split == name] for key in _ROW_COLUMNS},
            p_yes={
                key.removeprefix(P_YES): values[split == name]
                for key, values in columns.items()
                if key.startswith(P_YES)
            },
        )
        for name in EXAMPLE_SPLITS
        if (split == name).any()
    }
