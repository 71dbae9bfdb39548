"""The file layouts of the MovieLens editions, and how to recognise one from its file names."""

from __future__ import annotations

import csv
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reeltune.domain import HALF_STARS, WHOLE_STARS, RatingScale
from reeltune.errors import ConfigError, DataError
from reeltune.fetch import editions

_LOGGER: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """How an edition lays out its files.

    Attributes:
        name: Short name, stored in ``meta.json``.
        ratings_file: One rating per line: user, item, rating, timestamp.
        items_file: One item per row.
        header: Whether both files begin with a line of column names; quoting is then allowed.
    """

    name: str
    ratings_file: str
    items_file: str
    separator: str
    header: bool
    scale: RatingScale

    @property
    def files(self) -> tuple[str, str]:
        """The names of the files that are read."""
        return (self.ratings_file, self.items_file)


CSV: Final = Layout("csv", "ratings.csv", "movies.csv", ",", True, HALF_STARS)
DAT_1M: Final = Layout("1m", "ratings.dat", "movies.dat", "::", False, WHOLE_STARS)
DAT_10M: Final = Layout("10m", "ratings.dat", "movies.dat", "::", False, HALF_STARS)
TAB_100K: Final = Layout("100k", "u.data", "u.item", "\t", False, WHOLE_STARS)

_ALIASES: Final = {"ml-10m100k": "ml-10m"}
_BY_FILES: Final = (CSV, TAB_100K, DAT_1M)
"""One layout for each pair of file names."""

EDITIONS: Final[Mapping[str, Layout]] = {
    each.name: next(layout for layout in _BY_FILES if layout.files == each.needed)
    for each in editions.EDITIONS
} | {"ml-10m": DAT_10M}

_HEADER_LENGTH: Final = 1 << 16
_BLOCK: Final = 1 << 24
_TAIL: Final = 400  # bytes
_SAVE_AS_UTF8: Final = "Save the file as UTF-8"
_NOT_TEXT: Final = (
    (rb"\A(\xff\xfe|\xfe\xff)", "is UTF-16 text", "not_utf8", _SAVE_AS_UTF8),
    (rb"\0", "holds a NUL byte", "nul_byte", "Check that the file is whole; save it as UTF-8"),
)  # pattern, message, code and hint of files that are not read


def edition_name(name: str) -> str:
    """Return the usual name of an edition; other names are returned unchanged.

    >>> edition_name("100K"), edition_name("ml-10M100K"), edition_name("my-films")
    ('ml-100k', 'ml-10m', 'my-films')
    """
    lowered = name.lower()
    for spelling in (lowered, f"ml-{lowered}"):
        edition = _ALIASES.get(spelling, spelling)
        if edition in EDITIONS:
            return edition
    return name


def recognise(names: Set[str], folder_name: str, edition: str | None) -> Layout | None:
    """Return the layout of the files in a folder, or None if they have none.

    Where file names are ambiguous, ``edition`` decides, then the folder's name.

    Raises:
        ConfigError: ``edition`` has another layout than the files.
        DataError: The files may be those of 1M or of 10M.
    """
    layout = next((known for known in _BY_FILES if set(known.files) <= names), None)
    if layout is DAT_1M:
        layout = _choose_dat_layout(names, folder_name, edition)
    if layout is not None and edition is not None:
        expected = EDITIONS.get(edition_name(edition), layout)
        if expected is not layout:
            raise ConfigError(
                f"--edition {edition} consists of {', '.join(expected.files)}, but the folder "
                f"holds {', '.join(layout.files)}",
                code="edition_mismatch",
                where=folder_name,
                hint="Correct --edition or leave it out",
            )
    return layout


def _choose_dat_layout(names: Set[str], folder_name: str, edition: str | None) -> Layout:
    """Choose between 1M (whole stars) and 10M (half stars), which have the same file names."""
    for hint in (edition, folder_name):
        layout = EDITIONS.get(edition_name(hint)) if hint else None
        if layout in (DAT_1M, DAT_10M):
            return layout
    with_users, with_tags = "users.dat" in names, "tags.dat" in names
    if with_users == with_tags:
        raise DataError(
            "ratings.dat and movies.dat may be ml-1m (whole stars) or ml-10m (half stars), and "
            "neither users.dat nor tags.dat tells which",
            code="ambiguous_edition",
            where=folder_name,
            hint="Pass --edition ml-1m or --edition ml-10m",
        )
    return DAT_1M if with_users else DAT_10M


def missing_files_error(where: str, folders: Mapping[str, Set[str]]) -> DataError:
    """Return an error naming the missing files of an edition, or of all layouts."""
    for names in folders.values():
        for layout in _BY_FILES:
            missing = [name for name in layout.files if name not in names]
            if len(missing) < len(layout.files):
                return DataError(
                    f"{' and '.join(missing)} missing (there is "
                    f"{' and '.join(name for name in layout.files if name in names)})",
                    code="edition_incomplete",
                    where=where,
                    hint="Add the missing file, or point --ratings-dir at a complete edition",
                )
    wanted = "; ".join(" + ".join(layout.files) for layout in _BY_FILES)
    return DataError(
        f"no ratings found; looked for: {wanted}",
        code="no_edition_found",
        where=where,
        hint="Point --ratings-dir at the folder or zip of a MovieLens edition",
    )


def check_text(
    path: Path, *, by_line: bool | None = True, latin1: bool = False
) -> tuple[bool, bool]:
    """Return whether a file holds a quote, and whether it ends in a line break.

    Raises:
        DataError: It is empty or no text; or, if read ``by_line`` (None: without a quote), its
            lines end in CR alone.
    """
    line, quoted, block, old_ends = 1, False, b"", None

    def fault(offset: int, message: str, code: str, hint: str) -> DataError:
        at = line + block.count(b"\n", 0, offset)
        return DataError(message, code=code, where=f"{path.name}, line {at}", hint=hint)

    with path.open("rb") as file:
        while chunk := file.read(_BLOCK):
            block = chunk + file.readline()
            for pattern, *found in _NOT_TEXT:
                if match := re.search(pattern, block):
                    raise fault(match.start(), *found)
            if old_ends is None and (match := re.search(rb"\r[^\r\n]", block)):
                old_ends = fault(
                    match.start(),
                    "has old Mac line ends (CR)",
                    "old_mac_line_ends",
                    "Save it with LF line ends",
                )
            try:
                block.decode("latin-1" if latin1 else "utf-8")
            except UnicodeDecodeError as bad:
                message = f"is not UTF-8 text: byte 0x{block[bad.start]:02x}"
                raise fault(bad.start, message, "not_utf8", _SAVE_AS_UTF8) from bad
            line += block.count(b"\n")
            quoted = quoted or b'"' in block
    if old_ends and (not quoted if by_line is None else by_line):
        raise old_ends
    if not block:
        raise fault(0, "is empty", "empty_file", "Check that the file is complete")
    if not (complete := block.endswith((b"\n", b"\r"))):
        _LOGGER.warning("%s has no line break at its end: check that it is whole", path.name)
    return quoted, complete


def cut_off_error(path: Path, line: int, name: str | None = None) -> DataError:
    """Return the error of a file that ends in the middle of a line; ``name`` is its usual name."""
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, _TAIL), os.SEEK_END)
        end = file.read().splitlines()[-1].decode(errors="replace")
    return DataError(
        f"the file is cut off: it ends in {end[-80:]!r}, without a line break",
        code="file_cut_off",
        where=f"{name or path.name}, line {line}",
        hint="Fetch or export the file again",
    )


def column_indices(name: str, header: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Return the index of each wanted column in the header of the file ``name``.

    Raises:
        DataError: A column is missing, or the first line is no header at all.
    """
    columns = [plain(column) for column in header]
    missing = [column for column in wanted if columns.count(plain(column)) != 1]
    if not missing:
        return [columns.index(plain(column)) for column in wanted]
    shown = ",".join(column.strip() for column in header)[:120]
    if len(missing) == len(wanted):
        message = f"the first line should name the columns, and is {shown!r}"
    else:
        message = f"column {' and '.join(missing)} missing, or there twice; the header is {shown!r}"
    raise DataError(
        message,
        code="missing_columns",
        where=f"{name}, line 1",
        hint=f"The header must name {','.join(wanted)}, separated by commas",
    )


def plain(column: str) -> str:
    """Return a column name as it is compared.

    >>> plain("Book-Rating"), plain("reviewerID")
    ('bookrating', 'reviewerid')
    """
    return re.sub(r"[\W_]", "", column).casefold()


def csv_rows(
    name: str, stream: Iterable[str], separator: str = ","
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each row of the file ``name`` begins, and its fields.

    Raises:
        DataError: The text is not CSV.
    """
    reader = csv.reader(stream, delimiter=separator, strict=True)
    begin = 1
    try:
        for fields in reader:
            yield begin, fields
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"the row that begins here is not CSV: {error}",
            code="bad_csv",
            where=f"{name}, line {begin}",
            hint="Close the quote of the long field, or shorten it"
            if "limit" in str(error)
            else 'Double the quotes inside a quoted field (""), and close every quote',
        ) from error


def read_header(path: Path) -> list[str]:
    """Return the column names of a CSV file, without its BOM."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return next(csv.reader([stream.readline(_HEADER_LENGTH).rstrip("\r\n")]), [])
