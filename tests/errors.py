"""Expected errors: class, code, where and figures, never sentences."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from typing import TypeVar

import pytest

from reeltune.errors import ReeltuneError

Error = TypeVar("Error", bound=ReeltuneError)


@contextlib.contextmanager
def raises_error(
    kind: type[Error],
    code: str,
    *,
    where: str | None = None,
    figures: Collection[object] = (),
) -> Iterator[pytest.ExceptionInfo[Error]]:
    """Expect an error of exactly this class and code.

    Args:
        kind: The class.
        code: The error's stable code.
        where: What its ``where`` must contain; None leaves it unchecked.
        figures: Names and numbers that its text must contain: the facts a user needs, not the
            words around them.
    """
    with pytest.raises(kind) as caught:
        yield caught
    error = caught.value
    assert (type(error), error.code) == (kind, code), error
    if where is not None:
        assert where in str(error.where), error
    for figure in figures:
        assert str(figure) in str(error), error


def error_code(stderr: str) -> str:
    """Return the code in the one error line that a command printed."""
    (code,) = error_codes(stderr)
    return code


def error_codes(stderr: str) -> list[str]:
    """Return the codes of the error lines that commands printed."""
    return re.findall(r"^error\[(\w+)\]: ", stderr, flags=re.MULTILINE)
