"""Hold a lock as another process does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def is_locked_by(lock: Path, pid: int | None) -> bool:
    """Whether a lock file names a process: it is created before it is locked, and named last."""
    return lock.exists() and f" {pid} " in lock.read_text()


@contextmanager
def elsewhere(lock: Any, path: Path) -> Iterator[None]:
    """Hold a lock in another thread, which is refused as another process is."""
    with ThreadPoolExecutor(1) as pool:
        held = lock(path)
        pool.submit(held.__enter__).result()
        try:
            yield
        finally:
            pool.submit(held.__exit__, None, None, None).result()
