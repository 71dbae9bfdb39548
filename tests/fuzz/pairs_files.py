"""Tables of users and items, damaged, then scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar
from unittest import mock

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from reeltune.bulk.lookup import Lookup
from reeltune.bulk.output import Output
from reeltune.bulk.score import Job, Options, score
from reeltune.bulk.tasks import Pairs
from reeltune.data.columns import YEAR_2100
from reeltune.data.folder import PreparedFolder
from reeltune.progress import no_progress
from tests.bulk.build import open_pairs, output_rows
from tests.fuzz.campaign import Case, Kind
from tests.fuzz.damage import damage_bytes, damage_path, pick
from tests.fuzz.predictions import ROUNDING, Oracle
from tests.fuzz.workplace import Workplace

NAMES = {"user": ("user_id", "userId"), "item": ("item_id", "movieId", "film_id")}
Row = tuple[int | None, int | None, int | None]
"""User, item and time in seconds."""


class PairsFiles(Kind):
    """The predictions must be those of the rows that polars reads in the damaged table."""

    name: ClassVar[str] = "pairs"

    def __init__(self, workplace: Workplace) -> None:
        super().__init__(workplace)
        self._oracle = Oracle(workplace)

    def make(self, random: Random, folder: Path) -> Case:
        oracle = self._oracle
        users, items = sorted(oracle.timelines), sorted(oracle.item_idx)
        times = [time for events in oracle.timelines.values() for time, _, _ in events]
        rows = [
            (random.choice(users), random.choice(items), random.choice(times) + 1)
            for _ in range(random.choice((1, 3, 8)))
        ]
        frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
        if random.random() < 0.5:
            frame = frame.drop("timestamp")
        path = folder / "pairs.parquet"
        compression: Any = random.choice(("uncompressed", "snappy", "zstd", "gzip"))
        skip, neutral, way = random.random() < 0.3, False, random.choice(("bytes", "values"))
        if way == "bytes":
            frame.write_parquet(path, compression=compression)
            description, data = damage_bytes(random, path.read_bytes())
            path.write_bytes(data)
        else:
            description, table = self._edit(random, frame)
            pq.write_table(table, path, row_group_size=random.choice((1, 100)), use_dictionary=skip)
            neutral = not description.startswith("!")
        if random.random() < 0.04:
            other = self.workplace.prepared / "timelines.parquet"
            description, neutral = damage_path(random, path, other), False
        given = [(user, item, rest[0] if rest else None) for user, item, *rest in frame.iter_rows()]

        def run(_: list[str]) -> str | None:
            def make_task(folder: PreparedFolder, lookup: Lookup) -> Pairs:
                return open_pairs(path, lookup, 4)

            output, options = folder / "scores", Options(skip_unknown=skip)
            with mock.patch("reeltune.bulk.score.load_model", oracle.load):
                score(
                    lambda: Job.open(oracle.config, None, make_task, Output(output), options),
                    no_progress,
                )
            return self._fault(output_rows(output), _rows(path, given), skip)

        return Case(description, run, neutral)

    def _fault(
        self, scored: list[dict[str, Any]], rows: Sequence[Row] | None, skip: bool
    ) -> str | None:
        if rows is None:
            return "scored, although the table cannot be read"
        if len(scored) != len(rows):
            return f"{len(scored)} rows scored of {len(rows)}"
        oracle = self._oracle
        for number, (result, (user, item, time)) in enumerate(zip(scored, rows, strict=True)):
            if (result["user_id"], result["item_id"]) != (user, item):
                return f"row {number} is {result}, in the table {user, item}"
            known = user in oracle.timelines and item in oracle.item_idx
            if not known or result["p_yes"] is None:
                if not skip:
                    return f"row {number} cannot be scored, and is: {result}"
                if known and (time is None or time < YEAR_2100):
                    return f"row {number} has no prediction"
                if result["p_yes"] is not None:
                    return f"row {number} is unknown, and has a prediction: {result}"
                continue
            assert user is not None
            assert item is not None
            right = oracle.p_yes_of_user(user, item, time)
            if abs(result["p_yes"] - right) > ROUNDING:
                return f"row {number} has P(Yes) {result['p_yes']}, right is {right}"
        return None

    def _edit(self, random: Random, frame: pl.DataFrame) -> tuple[str, pa.Table]:
        """Change values, types or columns; a description with ! is one that may be refused."""
        table = frame.to_arrow()
        column = random.choice(table.column_names)
        place = table.column_names.index(column)
        values, row = frame[column].to_list(), random.randrange(len(frame))

        def put(array: Any, description: str) -> tuple[str, pa.Table]:
            return f"{description}: {column}", table.set_column(place, column, array)

        def cast(kind: pa.DataType) -> tuple[str, pa.Table]:
            array = pa.array(values)
            neutral = pa.types.is_integer(kind) and kind != pa.uint64()
            return put(array.cast(kind, safe=False), f"{'' if neutral else '!'}as {kind}")

        def value(new: Any) -> tuple[str, pa.Table]:
            edited = [*values[:row], new, *values[row + 1 :]]
            return put(pa.array(edited, pa.int64()), f"!row {row} is now {new}")

        def timestamps(unit: str, zone: str | None) -> tuple[str, pa.Table]:
            if "timestamp" not in table.column_names:
                return "unchanged", table
            seconds = pa.array(frame["timestamp"].to_list())
            kind = pa.timestamp(unit, zone)
            array = seconds.cast(pa.timestamp("s")).cast(kind)
            at = table.column_names.index("timestamp")
            return f"times as {kind}", table.set_column(at, "timestamp", array)

        def renamed(name: str, sign: str = "!") -> tuple[str, pa.Table]:
            names = [name if given == column else given for given in table.column_names]
            return f"{sign}{column} renamed {name}", table.rename_columns(names)

        return pick(
            random,
            (
                lambda: ("unchanged", table),
                lambda: cast(pa.int32()),
                lambda: cast(pa.uint64()),
                lambda: cast(pa.float64()),
                lambda: cast(pa.string()),
                lambda: put(pa.array(values).dictionary_encode(), "!as a dictionary"),
                lambda: put(pa.array([[each] for each in values]), "!as lists"),
                lambda: put(pa.array([{"x": each} for each in values]), "!as structs"),
                lambda: put(pa.array([None] * len(values)), "!as nulls"),
                lambda: put(pa.array([True] * len(values)), "!as booleans"),
                lambda: value(None),
                lambda: value(0),
                lambda: value(-1),
                lambda: value(2**63 - 1),
                lambda: value(-(2**63)),
                lambda: value((values[row] or 0) * 1000),
                lambda: value(10**15),
                lambda: timestamps("s", None),
                lambda: timestamps("ms", None),
                lambda: timestamps("us", "UTC"),
                lambda: timestamps("ns", "Europe/Berlin"),
                lambda: renamed("x"),
                lambda: renamed(column.upper()),
                lambda: renamed("user_id" if column != "user_id" else "item_id"),
                lambda: renamed("userId", "" if column == "user_id" else "!"),
                lambda: renamed("movieId", "" if column == "item_id" else "!"),
                lambda: ("a column more", table.append_column("x", pa.array(values))),
                lambda: ("!a column twice", table.append_column(column, pa.array(values))),
                lambda: ("!userId as well", table.append_column("userId", pa.array(values))),
                lambda: ("columns reversed", table.select(table.column_names[::-1])),
                lambda: ("!no rows", table.slice(0, 0)),
                lambda: ("!no columns", table.select([])),
                lambda: ("rows repeated", pa.concat_tables([table, table])),
            ),
        )


def _rows(path: Path, given: list[Row]) -> list[Row] | None:
    """Return the rows that polars reads; those written if it cannot read what pyarrow can."""
    try:
        frame = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError, pl.exceptions.PanicException):
        return given
    found = []
    for names in NAMES.values():
        present = [name for name in frame.columns if name in names]
        if len(present) != 1 or not frame[present[0]].dtype.is_integer():
            return None
        found.append(frame[present[0]].to_list())
    times: list[int | None] = [None] * len(frame)
    if "timestamp" in frame.columns:
        column = frame["timestamp"]
        times = column.to_physical().to_list()
        if isinstance(column.dtype, pl.Datetime):
            per_second = {"ms": 10**3, "us": 10**6, "ns": 10**9}[column.dtype.time_unit]
            times = [None if time is None else -(-time // per_second) for time in times]
        times = [YEAR_2100 if time is None else time for time in times]  # an invalid row
    return list(zip(*found, times, strict=True))
