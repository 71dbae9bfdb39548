"""Checks the arguments of the Python API as the command line checks its flags."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, get_type_hints

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, create_model
from pydantic_core import PydanticCustomError

from reeltune.config.load import value_problem
from reeltune.errors import ConfigError

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def checked(function: FunctionT) -> FunctionT:
    """Refuse arguments that are not of the function's annotations, bounds included.

    Numbers of numpy become those of Python. Other values reach the function as they are, so ``"3"``
    and 2.5 are no whole numbers, and a text is no list.

    Raises:
        ConfigError: With every argument that is refused, its value and what is allowed.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.arguments.update({key: _number(value) for key, value in bound.arguments.items()})
        check_values(function, function.__name__, bound.arguments)
        return function(*bound.args, **bound.kwargs)

    return call  # type: ignore[return-value]


def check_values(annotated: Any, name: str, values: Mapping[str, Any]) -> None:
    """Compare values with the annotations of a function or class; see :func:`checked`."""
    try:
        plain = {key: _plain(value) for key, value in values.items()}
        _model(annotated).model_validate(plain, strict=True)
    except ValidationError as error:
        found: dict[str, list[Any]] = {}
        for item in error.errors():  # whose locations have the members of unions, too
            first, *rest = item["loc"]
            path = ".".join(map(str, (first, *(part for part in rest if isinstance(part, int)))))
            found.setdefault(path, []).append(item)
        problems = [value_problem(*each) for each in found.items()]
        raise ConfigError.of(problems, f"{name}()") from None


def kind(is_kind: Callable[[Any], bool], expected: str) -> Any:
    """Return the type of values that a function recognizes, for messages called ``expected``."""

    def check(value: Any) -> Any:
        if not is_kind(value):
            raise PydanticCustomError("wrong_kind", "Input should be {kind}", {"kind": expected})
        return value

    return Annotated[Any, BeforeValidator(check)]


@functools.cache
def _model(annotated: Any) -> type[BaseModel]:
    hints = get_type_hints(annotated, include_extras=True)
    fields: dict[str, Any] = {key: (hint, None) for key, hint in hints.items() if key != "return"}
    config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())
    return create_model("Arguments", __config__=config, **fields)


def _number(value: Any) -> Any:
    """Return a number of numpy as one of Python, and any other value as it is."""
    return value.item() if isinstance(value, np.generic) else value


def _plain(value: Any) -> Any:
    """Return a value as pydantic reads it when it is strict."""
    return dict(value) if isinstance(value, Mapping) else _number(value)
