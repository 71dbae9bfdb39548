"""Domains by the name of a preset, or from a YAML file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from reeltune.config.bounded_yaml import parse_yaml
from reeltune.config.load import read_yaml
from reeltune.domain import FILM, Domain
from reeltune.domain.words import problems_of
from reeltune.errors import ConfigError, Problem

_FILE: Final = Path(__file__).with_name("domains.yaml")


def domain_presets() -> dict[str, Domain]:
    """Return the packaged domains by name."""
    presets = parse_yaml(_FILE.read_text(encoding="utf-8"))
    return {name: Domain.from_dict(words) for name, words in presets.items()}


def find_domain(named: str | os.PathLike[str] | Mapping[str, str] | None) -> Domain:
    """Return the domain of a preset's name, of a YAML file, or of words by key; None for films.

    Raises:
        ConfigError: There is no such file, or some words cannot be used; each key is named.
    """
    if named is None:
        return FILM
    if isinstance(named, Mapping):
        where, values = "domain", dict(named)
    else:
        where, presets = str(named), domain_presets()
        if where in presets:
            return presets[where]
        values = read_yaml(Path(named), f"Name a YAML file, or one of {', '.join(presets)}")
    problems = [
        Problem(key, "invalid_domain", problem, "docs/DATA.md lists the words of a domain")
        for key, problem in problems_of(values)
    ]
    if problems:
        raise ConfigError.of(problems, where)
    return Domain.from_dict(values)
