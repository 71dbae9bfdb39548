"""The log of a command: to the terminal and, with times, to ``training.log``."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LOGGER: Final = logging.getLogger("reeltune")


@contextlib.contextmanager
def logging_to(file: Path | None, *, quiet: bool = False) -> Iterator[logging.Logger]:
    """Send the package's log to standard output and, if given, to the end of a file.

    Args:
        file: Created if missing.
        quiet: Show warnings only, as another process of the launch shows the rest.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    handlers[0].setLevel(logging.WARNING if quiet else logging.INFO)
    if file is not None:
        handlers.append(logging.FileHandler(file, encoding="utf-8"))
        handlers[-1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    for handler in handlers:
        LOGGER.addHandler(handler)
    try:
        yield LOGGER
    finally:
        for handler in handlers:
            LOGGER.removeHandler(handler)
            handler.close()


@contextlib.contextmanager
def phase(number: int, name: str) -> Iterator[None]:
    """Log the beginning of a phase of training, and its duration."""
    LOGGER.info("[%d/4] %s", number, name)
    began = time.monotonic()
    yield
    LOGGER.info("[%d/4] %s: done in %.1f s", number, name, time.monotonic() - began)
