"""The log of a command: to the terminal and, with times, to ``training.log``."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from reeltune.progress import format_seconds

LOGGER: Final = logging.getLogger("reeltune")


class _Output(logging.StreamHandler):
    """Ends the command if standard output fails, where logging would print a traceback."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Raise the exception that is being handled."""
        del record
        raise  # noqa: PLE0704


class _LogFile(logging.FileHandler):
    """Goes on without the file if it cannot be written, after one warning."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Close the file."""
        del record
        LOGGER.removeHandler(self)
        with contextlib.suppress(OSError):
            self.close()
        LOGGER.warning("%s is not continued: %s", self.baseFilename, sys.exception())


@contextlib.contextmanager
def logging_to(file: Path | None, *, quiet: bool = False) -> Iterator[logging.Logger]:
    """Send the package's log to standard output and, if given, to the end of a file.

    Args:
        file: Created if missing.
        quiet: Show warnings only, as another process of the launch shows the rest.
    """
    handlers: list[logging.Handler] = [_Output(sys.stdout)]
    handlers[0].setLevel(logging.WARNING if quiet else logging.INFO)
    if file is not None:
        handlers.append(_LogFile(file, encoding="utf-8"))
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
def quiet_libraries() -> Iterator[None]:
    """Keep bars and notices of other libraries out of the log; those of downloads remain.

    Python warnings become lines of the log, except for those about future versions.
    """
    import datasets
    from huggingface_hub import utils as hub
    from transformers.utils import logging as transformers_log

    def show(message: Warning | str, category: type[Warning], *args: object) -> None:
        del args
        LOGGER.warning("%s: %s", category.__name__, " ".join(str(message).split()))

    verbosity, bars = transformers_log.get_verbosity(), transformers_log.is_progress_bar_enabled()
    dataset_bars, downloads = (
        datasets.is_progress_bar_enabled(),
        not hub.are_progress_bars_disabled(),
    )
    transformers_log.set_verbosity_error()
    transformers_log.disable_progress_bar()
    datasets.disable_progress_bars()
    if downloads:
        hub.enable_progress_bars()  # transformers has disabled them
    try:
        with warnings.catch_warnings():
            for category in (FutureWarning, DeprecationWarning, PendingDeprecationWarning):
                warnings.simplefilter("ignore", category)
            warnings.showwarning = show
            yield
    finally:
        transformers_log.set_verbosity(verbosity)
        if bars:
            transformers_log.enable_progress_bar()
        if dataset_bars:
            datasets.enable_progress_bars()


def begin_phase(number: int, name: str, began: float) -> None:
    """Log the beginning of a phase of training that began at a monotonic time."""
    elapsed = format_seconds(time.monotonic() - began)
    LOGGER.info("[%d/4] %s (%s since the start)", number, name, elapsed)
