"""A section of the configuration and its keys: type, default, meaning, advice and cost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

_ADVICE, _COST, _RESUME = "Change it when: ", "Cost: ", "May change with --resume."

_TEXT: Final = re.compile(r"(?=.*\S)[^\x00-\x1f\x7f-\x9f]{1,4096}")


class Section(BaseModel):
    """Base of every section: frozen, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_plain(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic reads true as 1 where a number is wanted.
        annotation = cls.model_fields[str(info.field_name)].annotation
        takes_boolean = bool in (annotation, *map(type, get_args(annotation)))
        if isinstance(value, bool) and not takes_boolean:
            raise PydanticCustomError("truth_value", "Input should not be true or false")
        for text in value if isinstance(value, list | tuple) else (value,):
            if isinstance(text, str) and not _TEXT.fullmatch(text):
                message = "Input should not be blank, very long, or with control characters"
                raise PydanticCustomError("not_plain", message)
        return value

    @field_validator("*")
    @classmethod
    def _is_exact(cls, value: Any) -> Any:
        if isinstance(value, int | float) and value > 2**53:
            raise PydanticCustomError("too_great", "Input should be at most 2**53")
        return value


def key(default: Any, meaning: str, advice: str, cost: str = "", *, resume: bool = False) -> Any:
    """Return the field of one key.

    Args:
        default: The recommended value.
        meaning: What the key sets, with every value it takes in backquotes.
        advice: When to change it.
        cost: Its effect on memory and speed; empty for none.
        resume: Whether it may change between a run and its ``--resume``.
    """
    lines = [meaning, f"{_ADVICE}{advice}", f"{_COST}{cost or 'none.'}"]
    return Field(default, description="\n".join([*lines, _RESUME] if resume else lines))


@dataclass(frozen=True)
class KeyHelp:
    """What users read about a key; see :func:`key`."""

    meaning: str
    advice: str
    cost: str
    resume: bool

    @classmethod
    def of(cls, field: FieldInfo) -> KeyHelp:
        """Return the help of a field made by :func:`key`."""
        meaning, advice, cost, *resume = (field.description or "").split("\n")
        return cls(
            meaning, advice.removeprefix(_ADVICE), cost.removeprefix(_COST), resume == [_RESUME]
        )
