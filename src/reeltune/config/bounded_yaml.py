"""YAML in bounded time and memory: no duplicate keys, no tags, no aliases that multiply."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any, Final

import yaml

from reeltune.errors import ConfigError

_MAX_NODES: Final = 5_000
"""Keys and values, those behind an alias counted each time; a configuration has about 100 keys."""

_MAX_DEPTH: Final = 20

_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = f"{_TAG}merge"
"""``<<``: defaults taken from another section."""


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML document, with decimal numbers; other scalars are texts.

    Raises:
        ConfigError: The text is not YAML, or too much of it; ``where`` is the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        assert error.problem_mark is not None
        line = error.problem_mark.line
        reason = ", ".join(part for part in (error.context, error.problem) if part)
    except yaml.reader.ReaderError as error:
        line, reason = text.count("\n", 0, error.position), error.reason
    raise ConfigError(
        f"not valid YAML: {reason[:200]}", code="invalid_yaml", where=f"line {line + 1}"
    )


class _Loader(yaml.SafeLoader):
    """A safe loader with limits that refuses duplicate keys, of which YAML would keep the last.

    YAML 1.1 reads 1:30 as 90, 017 as 15 and 2020-01-01 as a date; here they are texts.
    """

    _nodes = _depth = 0
    yaml_implicit_resolvers = {  # noqa: RUF012 - declared so by PyYAML
        first: [pair for pair in pairs if pair[0] in (f"{_TAG}bool", f"{_TAG}null", _MERGE)]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event, before = self.peek_event(), self._nodes
        if getattr(event, "tag", None) not in (None, "!", f"{_TAG}str"):
            raise yaml.MarkedYAMLError(None, None, "tags are not allowed", event.start_mark)
        if self._depth == _MAX_DEPTH:
            problem = f"nested deeper than {_MAX_DEPTH} levels"
            raise yaml.MarkedYAMLError(None, None, problem, event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        assert node is not None
        if isinstance(event, yaml.AliasEvent):
            self._nodes += self._sizes.get(node, _MAX_NODES)  # an alias inside its own value
        self._nodes += 1
        self._sizes.setdefault(node, self._nodes - before)
        if self._nodes > _MAX_NODES:
            problem = f"more than {_MAX_NODES} values, those behind an alias counted each time"
            raise yaml.MarkedYAMLError(None, None, problem, event.start_mark)
        return node

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
                    f"duplicate key {str(key)[:100]!r}",
                    code="duplicate_key",
                    where=line,
                    hint="Remove one of them",
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


for _kind, _pattern in (
    ("int", r"[-+]?(0|[1-9][0-9]{0,18})\Z"),
    ("float", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?\Z"),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(_pattern), list("-+.0123456789"))
