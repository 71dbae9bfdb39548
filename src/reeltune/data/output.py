"""The place a prepared folder is written to: never anything else's, never half-written."""

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
    """Give a temporary folder that becomes ``path`` when the block succeeds.

    When the block raises, is interrupted, or the process is killed, ``path`` stays as it was. What
    a killed run left beside it is removed by the next run.

    Raises:
        DataError: ``path`` is taken by something that is not a prepared folder.
    """
    path = path.resolve()
    check_replaceable(path)
    with atomic_folder(path) as temporary:
        yield temporary


def check_replaceable(path: Path) -> None:
    """Refuse a path whose replacement would lose something ``prepare`` did not write.

    Raises:
        DataError: It is a file, or a folder that holds anything else than prepared data.
    """
    mend = "Choose another --output-dir, or move it away"
    if not path.exists():
        return
    if not path.is_dir():
        raise DataError(
            "is a file, not a folder", code="output_not_replaceable", where=str(path), hint=mend
        )
    names = {child.name for child in path.iterdir()}
    if not names:
        return
    if not _is_prepared(path / META_FILE):
        raise DataError(
            "exists and is not a prepared folder, so it is not replaced",
            code="output_not_replaceable",
            where=str(path),
            hint=mend,
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
