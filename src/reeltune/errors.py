"""What can go wrong, as one hierarchy: what is wrong, where, and how to mend it.

Each kind also inherits the standard exception nearest to it and has an exit code of its own, so
that both Python callers and shell scripts can tell them apart.
"""

from __future__ import annotations


class ReeltuneError(Exception):
    """Base of every error the project raises on purpose.

    Args:
        what: What is wrong, in one sentence without a full stop.
        where: The file, row or key it was found at.
        mend: What the user can do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, mend: str | None = None) -> None:
        self.what = what
        self.where = where
        self.mend = mend
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        mend = f". {self.mend}" if self.mend else ""
        return f"{place}{self.what}{mend}"


class ConfigError(ReeltuneError, ValueError):
    """The configuration file or an override is wrong."""

    exit_code = 3


class DataError(ReeltuneError, ValueError):
    """Ratings, films or a prepared folder are not what they should be."""

    exit_code = 4


class FetchError(ReeltuneError, OSError):
    """Something could not be downloaded, checked or unpacked."""

    exit_code = 5


class ModelError(ReeltuneError, RuntimeError):
    """A model, tokenizer or adapter cannot be loaded or does not fit the task."""

    exit_code = 6


class LengthError(ReeltuneError, ValueError):
    """Prompts are longer than the configuration allows."""

    exit_code = 7


class RunError(ReeltuneError, RuntimeError):
    """A run folder cannot be started, resumed or read."""

    exit_code = 8


class LeakError(ReeltuneError, ValueError):
    """A guard found that held-out rows could have been known."""

    exit_code = 9


class RequestError(ReeltuneError, ValueError):
    """A film, a user or stars that somebody asks about are not to be had."""

    exit_code = 10
