"""YAML in bounded time and memory: no duplicate keys, no tags, no aliases that multiply."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Hashable
from typing import Any, Final

import yaml

from reeltune.errors import ConfigError

MAX_BYTES: Final = 65_536
"""The largest configuration file; a complete one has about 5,000 bytes."""

_MAX_NODES: Final = 5_000
"""Values and keys, those behind aliases counted each time."""

_MAX_DEPTH: Final = 20

_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = f"{_TAG}merge"
"""``<<``: defaults taken from another section."""


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML document.

    Raises:
        ConfigError: The text is not YAML or too large; ``where`` is the line.
    """
    if len(text) > MAX_BYTES:
        raise too_large(f"more than {MAX_BYTES} characters")
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark else 0
        reason = ", ".join(part for part in (error.context, error.problem) if part)
    except yaml.reader.ReaderError as error:
        line, reason = text.count("\n", 0, error.position), error.reason
    raise ConfigError(
        f"not valid YAML: {reason[:200]}", code="invalid_yaml", where=f"line {line + 1}"
    )


def shown(value: Any) -> str:
    """Return the repr of a value, shortened."""
    shortener = reprlib.Repr()
    shortener.maxlevel, shortener.maxlist, shortener.maxstring = 3, 4, 100
    return shortener.repr(value)


def one_line(text: str) -> str:
    """Return a key as it was written, shortened and without control characters."""
    shortened = text if len(text) <= 200 else f"{text[:200]}..."
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in shortened)


def too_large(what: str, where: str | None = None) -> ConfigError:
    """Return the error of a configuration beyond the limits of this module."""
    return ConfigError(
        what, code="config_too_large", where=where, hint="A configuration has about 100 keys"
    )


class _Loader(yaml.SafeLoader):
    """A safe loader with limits that refuses duplicate keys, of which YAML would keep the last.

    Scalars are null, true or false, and decimal numbers; all others, dates too, are strings, and
    the type of their key decides. YAML 1.1 reads 1:30 as 90 and 017 as 15.
    """

    _nodes = _depth = _deepest = 0

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._extents: dict[yaml.Node, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if getattr(event, "tag", None) not in (None, "!", f"{_TAG}str"):
            problem = "tags are not allowed"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        nodes, deepest = self._nodes, self._deepest
        self._depth += 1
        self._add(event, 1, 0)
        node = super().compose_node(parent, index)
        assert node is not None
        if isinstance(event, yaml.AliasEvent):
            self._add(event, *self._extents.get(node, (_MAX_NODES, 0)))  # in itself: endless
        else:
            self._extents[node] = self._nodes - nodes, self._deepest - self._depth
        self._deepest = max(deepest, self._deepest)
        self._depth -= 1
        return node

    def _add(self, event: yaml.Event, nodes: int, height: int) -> None:
        self._nodes += nodes
        self._deepest = self._depth + height
        where = f"line {event.start_mark.line + 1}"
        if self._nodes > _MAX_NODES:
            raise too_large(f"more than {_MAX_NODES} values, with those of aliases", where)
        if self._deepest > _MAX_DEPTH:
            raise too_large(f"nested deeper than {_MAX_DEPTH} levels", where)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:  # merged keys are defaults and may be repeated
                continue
            key = self.construct_object(key_node, deep=True)
            line = f"line {key_node.start_mark.line + 1}"
            if not isinstance(key, Hashable):
                raise ConfigError(
                    "a key is a list or a mapping",
                    code="unhashable_key",
                    where=line,
                    hint="Quote braces that belong to a value",
                )
            if key in seen:
                raise ConfigError(
                    f"duplicate key {shown(key)}",
                    code="duplicate_key",
                    where=line,
                    hint="Remove one of them",
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] in (f"{_TAG}bool", f"{_TAG}null", _MERGE)]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, _pattern in (
    ("int", r"[-+]?(0|[1-9][0-9]{0,18})\Z"),
    ("float", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?\Z"),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(_pattern), list("-+.0123456789"))
