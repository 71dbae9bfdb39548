"""Errors raised on purpose: a message, a stable code, the location and a hint.

Each class inherits the nearest standard exception and has its own exit code. ``docs/ERRORS.md``
lists classes and codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


def printable(text: str) -> str:
    """Return a text with control characters and line breaks escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def one_line(error: BaseException) -> str:
    """Return the text of an exception on one line; its class if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text, without its full stop; its class if none."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


class ReeltuneError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: The problem, in one sentence without a full stop.
        code: Stable snake_case identifier of the problem, used by one class only.
        where: The file, row, key or flag at fault.
        hint: How to fix it.
        items: Listed below the message, a line each.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        code: str,
        where: str | None = None,
        hint: str | None = None,
        items: Iterable[object] = (),
    ) -> None:
        self.message = printable(message) + "".join(f"\n  - {printable(str(i))}" for i in items)
        self.code = code
        self.where = where and printable(where)
        self.hint = hint and printable(hint)
        super().__init__(str(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).__new__, (type(self), str(self)), self.__dict__

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        hint = f". {self.hint}" if self.hint else ""
        return f"{where}{self.message}{hint}"


@dataclass(frozen=True)
class Problem:
    """A problem of a configuration; ``where`` is a full key such as ``train.batch_size``."""

    where: str
    code: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        hint = f". {self.hint}" if self.hint else ""
        return f"{self.where}: {self.message}{hint}"


class ConfigError(ReeltuneError, ValueError):
    """A configuration file, override or flag is invalid; ``problems`` lists those of a file."""

    exit_code = 3
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, problems: Sequence[Problem], where: str) -> ConfigError:
        """Return one error for all problems of the configuration at ``where``.

        A single problem's code becomes that of the error; several have ``invalid_config``.
        """
        if len(problems) == 1:
            (one,) = problems
            error = cls(one.message, code=one.code, where=f"{where}: {one.where}", hint=one.hint)
        else:
            message = f"{len(problems)} errors:"
            error = cls(message, code="invalid_config", where=where, items=problems)
        error.problems = tuple(problems)
        return error


class DataError(ReeltuneError, ValueError):
    """Ratings, items or a prepared folder are not valid."""

    exit_code = 4


class FetchError(ReeltuneError, OSError):
    """Something could not be downloaded, verified, unpacked or uploaded."""

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
    """A leakage check failed: held-out rows could have been known."""

    exit_code = 9


class RequestError(ReeltuneError, ValueError):
    """An item, a user or a rating in a request does not exist or is not allowed."""

    exit_code = 10


class FileError(ReeltuneError, OSError):
    """The operating system or a library could not read or write a file."""


class MissingExtraError(ReeltuneError, ImportError):
    """A command needs packages of an extra that is not installed."""

    exit_code = 11
