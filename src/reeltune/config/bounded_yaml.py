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
    """Return the value of a YAML document with decimal numbers; other scalars are texts.

    Raises:
        ConfigError: The text is not YAML, or too much of it; ``where`` is the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        assert error.problem_mark is not None
        line, reason = error.problem_mark.line, f"{error.context or ''} {error.problem}".strip()
    except yaml.reader.ReaderError as error:
        line, reason = text.count("\n", 0, error.position), error.reason
    where, message = f"line {line + 1}", f"not valid YAML: {reason[:200]}"
    raise ConfigError(message, code="invalid_yaml", where=where)


def _refused(event: yaml.Event, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, problem, event.start_mark)


class _Loader(yaml.SafeLoader):
    """A safe loader with limits that refuses duplicate keys, of which YAML would keep the last.

    YAML 1.1 reads 1:30 as 90, 017 as 15 and 2020-01-01 as a date; here they are texts.
    """

    _nodes = _depth = 0
    yaml_implicit_resolvers = {  # noqa: RUF012 - declared so by PyYAML
        first: [pair for pair in pairs if pair[0] in (f"{_TAG}bool", f"{_TAG}null", _MERGE)]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event, before = self.peek_event(), self._nodes
        if getattr(event, "tag", None) not in (None, "!", f"{_TAG}str"):
            raise _refused(event, "tags are not allowed")
        if self._depth == _MAX_DEPTH:
            raise _refused(event, f"nested deeper than {_MAX_DEPTH} levels")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._nodes += 1
        if isinstance(event, yaml.AliasEvent):  # one without a size is inside its own value
            self._nodes += vars(node).get("size", _MAX_NODES)
        vars(node).setdefault("size", self._nodes - before)
        if self._nodes > _MAX_NODES:
            raise _refused(event, f"more than {_MAX_NODES} values, counting aliases each time")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:  # merged keys are defaults and may be repeated
                continue
            key = self.construct_object(key_node, deep=True)
            line = f"line {key_node.start_mark.line + 1}"
            if not isinstance(key, Hashable):
                hint = "Quote braces that belong to a value"
                raise ConfigError("a composite key", code="unhashable_key", where=line, hint=hint)
            if key in seen:
                hint, message = "Remove one of them", f"duplicate key {key!r:.100}"
                raise ConfigError(message, code="duplicate_key", where=line, hint=hint)
            seen.add(key)
        return super().construct_mapping(node, deep)


_INT, _FLOAT = r"[-+]?(0|[1-9][0-9]{0,18})\Z", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?\Z"
_Loader.add_implicit_resolver(f"{_TAG}int", re.compile(_INT), list("-+0123456789"))
_Loader.add_implicit_resolver(f"{_TAG}float", re.compile(_FLOAT), list("-+.0123456789"))
