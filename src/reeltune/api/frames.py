"""Frames of polars and pandas: in as Arrow tables, out as the kind that came in."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeGuard, TypeVar

import pyarrow as pa

from reeltune.config.arguments import kind
from reeltune.data.columns import Columns

FRAME: Final = "a frame of polars or pandas that has no column name twice"


def _is_from(library: str, value: object) -> bool:
    """Return whether a value is a frame of a library, without importing it."""
    module = sys.modules.get(library)
    return module is not None and isinstance(value, module.DataFrame)


def is_frame(value: object) -> TypeGuard[Frame]:
    """Return whether a value is a frame of polars or pandas."""
    return _is_from("polars", value) or _is_from("pandas", value)


def has_distinct_columns(value: object) -> bool:
    """Return whether a value is a frame that has no column name twice."""
    return is_frame(value) and len(set(value.columns)) == len(value.columns)


if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    Frame = pl.DataFrame | pd.DataFrame
else:
    Frame = kind(has_distinct_columns, FRAME)

FrameT = TypeVar("FrameT", bound="Frame")


def as_table(frame: Frame) -> pa.Table:
    """Return a frame as an Arrow table, without an index."""
    if _is_from("pandas", frame):
        return pa.Table.from_pandas(frame, preserve_index=False)
    return frame.to_arrow()  # type: ignore[union-attr]


def with_column(frame: FrameT, name: str, values: pa.Array) -> FrameT:
    """Return a frame with one more column; nulls are NaN in pandas."""
    if _is_from("pandas", frame):
        return frame.assign(**{name: values.to_numpy(zero_copy_only=False)})  # type: ignore[union-attr]
    import polars as pl

    return frame.with_columns(pl.Series(name, values))  # type: ignore[union-attr]


def new_frame(columns: Mapping[str, Any], like: object = None) -> Any:
    """Return columns as a frame of the kind of ``like``, or of polars if that is no frame."""
    if _is_from("pandas", like):
        import pandas as pd

        return pd.DataFrame(dict(columns))
    import polars as pl

    # Of data without years or genres, these would be columns of no type.
    types = {Columns.YEAR: pl.Int64(), Columns.GENRES: pl.List(pl.String())}
    overrides = {name: types[name] for name in columns if name in types}
    return pl.DataFrame(dict(columns), schema_overrides=overrides)
