"""Writing the output folder atomically, without replacing anything ``prepare`` did not write."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from reeltune.data.folder import (
    EVAL_EXPORT,
    ITEMS_FILE,
    META_FILE,
    TEST_EXPORT,
    TIMELINES_FILE,
    TRAIN_EXPORT,
)
from reeltune.errors import DataError
from reeltune.files import atomic_folder

_OURS = frozenset({TIMELINES_FILE, ITEMS_FILE, META_FILE, TRAIN_EXPORT, EVAL_EXPORT, TEST_EXPORT})
_OLD_FILES = frozenset({"films.parquet"})  # written in format 1


@contextlib.contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``path`` when the block succeeds.

    If the block raises or the process is killed, ``path`` stays as it was. The next run removes
    what a killed run left behind.

    Raises:
        DataError: ``path`` is something other than a prepared folder.
    """
    path = path.resolve()
    check_replaceable(path)
    with atomic_folder(path) as temporary:
        yield temporary


def check_replaceable(path: Path) -> None:
    """Raise a DataError if replacing the path would lose something ``prepare`` did not write."""
    hint = "Choose another --output-dir, or move it away"
    if not path.exists():
        return
    if not path.is_dir():
        raise DataError(
            "is a file, not a folder", code="output_not_replaceable", where=str(path), hint=hint
        )
    names = {child.name for child in path.iterdir()}
    if not names:
        return
    if not _is_prepared(path / META_FILE):
        raise DataError(
            "exists and is not a prepared folder, so it is not replaced",
            code="output_not_replaceable",
            where=str(path),
            hint=hint,
        )
    if foreign := sorted(names - _OURS - _OLD_FILES):
        raise DataError(
            f"holds files that prepare did not write ({', '.join(foreign[:3])}), so it is not "
            "replaced",
            code="output_not_replaceable",
            where=str(path),
            hint="Move them away, or choose another --output-dir",
        )


def _is_prepared(meta_file: Path) -> bool:
    try:
        meta = json.loads(meta_file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(meta, dict) and "format_version" in meta
