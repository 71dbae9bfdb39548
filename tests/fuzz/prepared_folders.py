"""Prepared folders, damaged, then read as training, scoring and recommending read them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np
import polars as pl

from reeltune.config import Config
from reeltune.data.columns import EXAMPLE_SPLITS
from reeltune.data.folder import PreparedFolder
from reeltune.data.meta import describe_file
from reeltune.prompts.rows import prompt_settings
from reeltune.recommend.catalogue import Catalogue
from reeltune.signals.folder import with_signals
from tests.fuzz.campaign import Case, Kind
from tests.fuzz.damage import damage_file, damage_json_file, damage_path, pick
from tests.fuzz.workplace import Workplace

TABLES = ("timelines.parquet", "items.parquet")


class PreparedFolders(Kind):
    """What is read must be what was prepared, whatever was damaged."""

    name: ClassVar[str] = "prepared"

    def __init__(self, workplace: Workplace) -> None:
        super().__init__(workplace)
        self._right = _content(workplace.prepared)

    def make(self, random: Random, folder: Path) -> Case:
        path = folder / "prepared"
        shutil.copytree(self.workplace.prepared, path)
        table = path / random.choice(TABLES)
        way = random.choice(("bytes", "meta", "meta", "path", "values", "values", "values"))
        must_fail = ""
        if way == "bytes":
            file = random.choice((table, table, path / "meta.json"))
            description = damage_file(random, file)
        elif way == "meta":
            description = damage_json_file(random, path / "meta.json")
        elif way == "path":
            file = random.choice((table, path / "meta.json"))
            description = damage_path(random, file, self.workplace.other_prepared / file.name)
        else:
            description, invalid = _edit(random, table)
            if random.random() < 0.3:
                _reseal(path, table)
                description += ", and its checksum corrected"
                must_fail = "invalid values are accepted" if invalid else "consistent"

        def run(_: list[str]) -> str | None:
            content = _content(path)
            if must_fail:
                return None if must_fail == "consistent" else must_fail
            for name, right in self._right.items():
                if not _equal(content[name], right):
                    return f"{name} is not what was prepared"
            return None

        return Case(description, run)


def _content(path: Path) -> dict[str, Any]:
    """Open a prepared folder, and return what training and predictions depend on."""
    folder = with_signals(PreparedFolder.open(path), ())
    ratings = folder.ratings
    prompt = Config().prompt.model_copy(update={"signals": ()})
    examples = {split: folder.examples(split) for split in EXAMPLE_SPLITS}
    catalogue = Catalogue.of(folder)
    assert len(catalogue.items) == len(folder.items)
    return {
        "events": [ratings.user_id, ratings.item_idx, ratings.rating, ratings.timestamp],
        "labels": [ratings.liked, ratings.position, ratings.split.codes],
        "items": [repr(folder.items)],
        "examples": [array for split in examples.values() for array in (split.start, split.target)],
        "settings": [folder.history_len, folder.min_history, repr(prompt_settings(folder, prompt))],
    }


def _equal(left: list[Any], right: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def _edit(random: Random, table: Path) -> tuple[str, bool]:
    """Edit a table with polars; return a description, and whether the values are now invalid."""
    frame = pl.read_parquet(table)
    column = random.choice(frame.columns)
    row = random.randrange(len(frame))

    def put(edited: pl.DataFrame, description: str, invalid: bool) -> tuple[str, bool]:
        edited.write_parquet(table)
        return f"{table.name}: {description}", invalid

    def with_value(name: str, value: Any, dtype: pl.DataType | None = None) -> pl.DataFrame:
        values = frame[name].to_list()
        values[row] = value
        return frame.with_columns(pl.Series(name, values, dtype or frame[name].dtype))

    def value(name: str, new: Any, invalid: bool = True) -> Callable[[], tuple[str, bool]]:
        return lambda: put(with_value(name, new), f"row {row}: {name} is now {new!r}", invalid)

    def shuffled() -> tuple[str, bool]:
        order = list(range(len(frame)))
        random.shuffle(order)
        return put(frame[order], "rows in another order", True)

    def another() -> tuple[str, bool]:
        other = random.randrange(len(frame))
        new = frame[column][other]
        new = new.to_list() if isinstance(new, pl.Series) else new
        description = f"row {row}: {column} is now that of row {other}"
        return put(with_value(column, new), description, False)

    def common() -> tuple[Callable[[], tuple[str, bool]], ...]:
        return (
            another,
            another,
            shuffled,
            lambda: put(frame.rename({column: f"{column}_"}), f"{column} renamed", True),
            lambda: put(frame.drop(column), f"{column} removed", True),
            lambda: put(frame.with_columns(x=1), "a column more", False),
            lambda: put(frame.select(frame.columns[::-1]), "columns in another order", False),
            lambda: put(frame.head(row), f"cut to {row} rows", False),
            lambda: put(pl.concat([frame, frame[row]]), f"row {row} repeated", True),
            lambda: put(frame.filter(pl.arange(0, pl.len()) != row), f"row {row} removed", False),
            lambda: put(
                frame.with_columns(pl.col(column).cast(pl.String, strict=False))
                if column != "genres"
                else frame.with_columns(pl.col("genres").list.join("|")),
                f"{column} as text",
                column not in ("title", "split"),
            ),
            lambda: put(with_value(column, None), f"row {row}: no {column}", column != "year"),
        )

    if table.name == "items.parquet":
        special = (
            value("title", random.choice(("x", "", "\0", "a\nb")), invalid=False),
            value("year", random.choice((-1, 1800, 2000)), invalid=False),
            value("item_id", random.choice((-5, 0, 10**15))),
            value("genres", ["Nonsense"], invalid=False),
        )
    else:
        special = (
            value("rating", random.choice((float("nan"), float("inf"), -1.0, 0.0, 4.3, 99.0))),
            value("user_id", random.choice((-1, 0, 10**15))),
            value("item_idx", random.choice((-1, 10_000, 2**31 - 1))),
            value("position", random.choice((-1, 10_000))),
            value("timestamp", random.choice((-1, 0, 2**62, 978_300_760_000))),
            value("split", random.choice(("", "Train", "dev"))),
            lambda: put(with_value("liked", not frame["liked"][row]), "a label flipped", True),
            lambda: put(
                frame.with_columns(pl.col("rating").cast(pl.Float64) * 2), "ratings doubled", True
            ),
        )
    return pick(random, (*common(), *special))


def _reseal(path: Path, table: Path) -> None:
    """Correct the checksum of a table, as somebody does who edits it on purpose."""
    meta_file = path / "meta.json"
    meta = json.loads(meta_file.read_text(encoding="utf-8"))
    rows = len(pl.read_parquet(table))
    meta["files"][table.name] = describe_file(table, rows)
    meta_file.write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
