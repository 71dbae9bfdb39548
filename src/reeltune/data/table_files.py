"""Tables of any usual format: delimited text, JSON Lines, Parquet and frames, also compressed.

Text is read as text, so that ids stay as they are given. The format is known from the content.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from reeltune.data.layouts import check_text, csv_rows
from reeltune.data.ratings import FAULT, FAULTS, LINE, field_name, split_lines
from reeltune.data.table_columns import ITEM, USER
from reeltune.errors import DataError, one_line

_DELIMITERS: Final = (",", "\t", ";", "|", "::")
_SAMPLE: Final = 1 << 16
_CHUNK_ROWS: Final = 1 << 16
_COMPRESSED: Final = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
_BLOCK: Final = 1 << 22
_MAX_EXPANSION: Final = 100
_LEAST_ALLOWED: Final = 1 << 26  # bytes, whatever the size of the compressed file
_RECBOLE: Final = re.compile(r"(.+):(token|float|token_seq|float_seq)")
_JSON_ROWS: Final = 1000
"""Rows of JSON Lines in which the names of the columns are looked for."""
_BAD_FIELDS: Final = FAULTS.index("field_count")
_BAD_JSON: Final = FAULTS.index("not_json")


@dataclass(frozen=True)
class Table:
    """A table whose columns are read when they are named.

    Attributes:
        name: The file's name, for messages.
        path: The file, unpacked.
        columns: The names of all columns, in order; ``1``, ``2`` ... without a header.
        unit: What :data:`LINE` counts: ``line`` of a text file, or ``row``.
        complete: Whether the file ends in a line break, or cannot be cut off.
        lists: Columns whose values are words separated by blanks (``token_seq`` of RecBole).
    """

    name: str
    path: Path
    columns: Sequence[str]
    load: Callable[[Mapping[str, int]], pl.LazyFrame]
    unit: str = "line"
    complete: bool = True
    lists: frozenset[str] = frozenset()

    def read(self, columns: Mapping[str, str]) -> pl.DataFrame:
        """Return what :meth:`scan` does, in memory."""
        return self.scan(columns).collect(engine="streaming")

    def scan(self, columns: Mapping[str, str]) -> pl.LazyFrame:
        """Return columns under new names, with the ``line`` and the ``fault`` of each row.

        Values of text files are strings without blanks around them, null if the row lacks them;
        those of Parquet have their types.

        Args:
            columns: For each new name, the name of a column.
        """
        return self.load({role: self.columns.index(name) for role, name in columns.items()})


def open_table(path: Path, scratch: Path, *, header: bool = True) -> Table:
    """Return the table in a file; ``scratch`` receives it unpacked.

    Raises:
        DataError: It is not a table that can be read, or unpacks without bound.
    """
    name = path.name
    if not path.is_file():
        raise DataError(
            "a folder, and not the file of a table" if path.is_dir() else "no such file",
            code="table_not_found",
            where=str(path),
            hint="Correct the path",
        )
    path = _unpack(path, scratch)
    with path.open("rb") as stream:
        start = stream.read(_SAMPLE)
    if start.startswith(b"PAR1"):
        return _parquet(name, path)
    if start.startswith(b"PK\x03\x04"):
        raise _unreadable(name, "is a zip archive or a spreadsheet", "Unpack it, or save it as CSV")
    quoted, complete = check_text(path, by_line=None)
    text = start.decode("utf-8", "ignore").lstrip("\ufeff \t\r\n")
    if text[:1] == "[":
        raise _unreadable(name, "is a JSON list", "Write one object a line: jq -c '.[]'")
    if text[:1] == "{":
        return _json_lines(name, path, complete=complete)
    return _delimited(name, path, quoted=quoted, complete=complete, header=header)


def _unreadable(name: str, message: str, hint: str) -> DataError:
    return DataError(message, code="unreadable_table", where=name, hint=hint)


def _unpack(path: Path, scratch: Path) -> Path:
    """Return the file, or what a gzip or zstd file unpacks to, within bounds of size."""
    with path.open("rb") as stream:
        start = stream.read(4)
    kind = next((kind for magic, kind in _COMPRESSED if start.startswith(magic)), None)
    if kind is None:
        return path
    free = shutil.disk_usage(scratch).free
    plausible = max(_MAX_EXPANSION * path.stat().st_size, _LEAST_ALLOWED)
    target, size = scratch / f"{len(list(scratch.iterdir()))}.{path.stem}", 0
    try:
        with pa.input_stream(path, compression=kind) as source, target.open("wb") as out:
            while block := source.read(_BLOCK):
                size += len(block)
                if size > plausible:
                    raise DataError(
                        f"unpacks to over {plausible:,} bytes, {_MAX_EXPANSION} times its size",
                        code="archive_expands_too_far",
                        where=path.name,
                        hint="Use the original file, or unpack it yourself",
                    )
                if size > free // 2:
                    raise DataError(
                        f"unpacks to more than half of the {free:,} bytes that are free",
                        code="not_enough_space",
                        where=path.name,
                        hint="Make room on the disk of the output",
                    )
                out.write(block)
    except OSError as error:
        hint = "Fetch it again, or unpack it yourself"
        raise _unreadable(path.name, f"cannot be unpacked ({one_line(error)})", hint) from error
    return target


def _parquet(name: str, path: Path) -> Table:
    def load(indices: Mapping[str, int]) -> pl.LazyFrame:
        wanted = sorted({columns[index] for index in indices.values()})
        with _parquet_errors(name):
            table = pl.read_parquet(path, columns=wanted)
        return table.lazy().select(
            *(pl.col(columns[index]).alias(role) for role, index in indices.items()),
            pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).alias(LINE),
            pl.lit(0, dtype=pl.UInt8).alias(FAULT),
        )

    with _parquet_errors(name):
        columns = list(pl.read_parquet_schema(path))
    return Table(name, path, columns, load, unit="row")


@contextlib.contextmanager
def _parquet_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        message = f"cannot be read as Parquet ({one_line(error)})"
        raise _unreadable(name, message, "Write or fetch it again") from error


def _delimited(name: str, path: Path, *, quoted: bool, complete: bool, header: bool) -> Table:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        sample = stream.read(_SAMPLE)
    separator = _separator(name, sample)
    first = sample.partition("\n")[0].rstrip("\r").split(separator)
    recbole = [_RECBOLE.fullmatch(column.strip()) for column in first]
    lists: frozenset[str] = frozenset()
    if all(recbole):
        quoted = False  # RecBole writes titles as they are
        lists = frozenset(match[1] for match in recbole if match and match[2] == "token_seq")
        columns = [match[1] for match in recbole if match]
    elif quoted and len(separator) == 1:
        _, columns = next(csv_rows(name, io.StringIO(sample, newline=""), separator), (1, []))
    else:
        quoted, columns = False, first
    columns = [column.strip() for column in columns]
    if not header:
        columns = [str(number) for number in range(1, len(columns) + 1)]
    width = len(columns)

    def load(indices: Mapping[str, int]) -> pl.LazyFrame:
        if quoted:
            fields = list(indices.values())
            rows = partial(_csv_rows, name, path, separator, fields, width, header=header)
            return _chunks(rows, indices)
        lines = split_lines(path, separator, width, header=header, quoted=False)
        missing = pl.col(field_name(width - 1)).is_null() | pl.col(field_name(width)).is_not_null()
        fault = pl.when(missing).then(_BAD_FIELDS).otherwise(0).cast(pl.UInt8)
        values = [pl.col(field_name(index)).alias(role) for role, index in indices.items()]
        return lines.select(*values, LINE, fault.alias(FAULT))

    return Table(name, path, columns, load, complete=complete, lists=lists)


def _separator(name: str, sample: str) -> str:
    """Return the delimiter: the one in the header; of several, the one that all rows agree on."""
    widths = {}
    for separator in _DELIMITERS:
        if len(separator) == 1:
            rows = csv.reader(io.StringIO(sample, newline=""), delimiter=separator)
        else:
            rows = (line.split(separator) for line in sample.splitlines())
        try:
            counts = [len(row) for row in rows if row]
        except csv.Error:
            counts = [1]
        cut_off = len(sample) == _SAMPLE and len(counts) > 1
        widths[separator] = counts[:-1] if cut_off else counts
    found = [separator for separator in _DELIMITERS if widths[separator][:1] > [1]]
    agreed = [separator for separator in found if len(set(widths[separator])) == 1] or found
    if len(agreed) > 1:
        most = max(widths[separator][0] for separator in agreed)
        agreed = [separator for separator in agreed if widths[separator][0] == most]
    if len(agreed) > 1:
        raise DataError(
            f"columns may be separated by {' or by '.join(map(repr, agreed))}",
            code="ambiguous_delimiter",
            where=f"{name}, line 1",
            hint="Save the table as CSV with commas, and with quotes around fields that hold one",
        )
    return agreed[0] if agreed else ","


def _csv_rows(
    name: str, path: Path, separator: str, indices: list[int], width: int, *, header: bool
) -> Iterator[tuple[Any, ...]]:
    """Yield the fields at some indices of each row, the line on which it begins, and its fault."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        for number, (line, fields) in enumerate(csv_rows(name, stream, separator)):
            if fields and (number or not header):
                if len(fields) == width:
                    yield *(fields[index].strip() for index in indices), line, 0
                else:
                    yield *([None] * len(indices)), line, _BAD_FIELDS


def _json_lines(name: str, path: Path, *, complete: bool) -> Table:
    columns: dict[str, None] = {}
    for _, value in itertools.islice(_json_values(path), _JSON_ROWS):
        columns |= dict.fromkeys(value or ())
    names = list(columns)

    def load(indices: Mapping[str, int]) -> pl.LazyFrame:
        wanted = {role: names[index] for role, index in indices.items()}

        def rows() -> Iterator[tuple[Any, ...]]:
            for line, value in _json_values(path):
                for role in (USER, ITEM):
                    if value and isinstance(value.get(wanted.get(role, "")), dict | list):
                        raise DataError(
                            f"{wanted[role]} holds an object or a list",
                            code="unsupported_column_type",
                            where=f"{name}, line {line}",
                            hint="Store ids as text or as whole numbers",
                        )
                texts = (_json_text(value and value.get(n)) for n in wanted.values())
                yield *texts, line, not value and _BAD_JSON

        return _chunks(rows, wanted)

    return Table(name, path, names, load, complete=complete)


def _json_values(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yield the line and the object of every line that is not blank; None if it is no object."""
    # Numbers stay as they are written.
    decoder = json.JSONDecoder(parse_int=str, parse_float=str)
    with path.open(encoding="utf-8-sig", newline="\n") as stream:
        for line, text in enumerate(stream, start=1):
            if text.strip():
                try:
                    value = decoder.decode(text)
                    if "\\u" in text:
                        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair
                except (ValueError, RecursionError):
                    value = None
                yield line, value if isinstance(value, dict) else None


def _json_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value and value.strip()
    return json.dumps(value, ensure_ascii=False)


def _chunks(rows: Callable[[], Iterator[tuple[Any, ...]]], names: Iterable[str]) -> pl.LazyFrame:
    """Return rows as a frame that is read in parts, so that few Python objects exist at a time."""
    schema = {**dict.fromkeys(names, pl.String), LINE: pl.UInt32, FAULT: pl.UInt8}

    def frames(
        columns: list[str] | None, predicate: pl.Expr | None, limit: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        left = itertools.islice(rows(), limit)
        while part := list(itertools.islice(left, _CHUNK_ROWS)):
            frame = pl.DataFrame(list(zip(*part, strict=True)), schema=schema, orient="col")
            frame = frame.select(columns or list(schema))
            yield frame if predicate is None else frame.filter(predicate)

    return register_io_source(frames, schema=schema, is_pure=True)
