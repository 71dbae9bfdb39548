"""Guard: each exported file holds the examples of its own split, each once, and no other row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from reeltune.check.events import UNKNOWN, Events, Ints
from reeltune.check.export_rows import (
    facts_of_examples,
    key_of_facts,
    key_of_text,
    keys_of_examples,
    read_rows,
)
from reeltune.check.findings import NONE, SHOWN, Finding, Guard, Offenders, Outcome
from reeltune.check.multiset import surplus
from reeltune.data.columns import EXAMPLE_SPLITS, TEST, TRAIN, VALIDATION
from reeltune.data.folder import EVAL_EXPORT, TEST_EXPORT, TRAIN_EXPORT
from reeltune.domain import PROMPT_VERSION

_MEND: Final = "Write the files again with: reeltune prepare"
TEXTS: Final = Guard("exported texts", _MEND)
FACTS: Final = Guard("exported facts", _MEND)

_TEXT_FILES: Final = {TRAIN_EXPORT: TRAIN, EVAL_EXPORT: VALIDATION}


@dataclass(frozen=True)
class _Expected:
    """Every example with its number."""

    events: Events

    @cached_property
    def keys(self) -> dict[str, Ints]:
        """Numbers of the examples of each split, in timeline order."""
        folder = self.events.folder
        return {s: keys_of_examples(self.events, folder.examples(s)) for s in EXAMPLE_SPLITS}

    def event(self, key: int) -> int:
        """Return an event with a number, or :data:`UNKNOWN`."""
        for split, keys in self.keys.items():
            found = np.flatnonzero(keys == key)
            if len(found):
                return int(self.events.folder.examples(split).target[found[0]])
        return UNKNOWN


def exported_texts(events: Events) -> Outcome:
    """``train.json`` and ``eval.json`` hold the examples of their splits and no others."""
    path = events.folder.path
    present = [name for name in _TEXT_FILES if (path / name).is_file()]
    if not present:
        return TEXTS.not_applicable(f"there is no {' and no '.join(_TEXT_FILES)}")
    expected, offenders, rows, known = _Expected(events), NONE, 0, 0
    for name in present:
        try:
            found = _read(events, name, key_of_text)
        except ValueError as error:
            offenders += Offenders.of([Finding(f"{name}: {error}")])
            continue
        rows += len(found)
        known += int(np.isin(found, np.concatenate(list(expected.keys.values()))).sum())
        offenders += _compare(expected, name, found)
    version = events.folder.prompt_settings.version
    if rows and not known and version != PROMPT_VERSION:
        return TEXTS.not_applicable(
            f"written in the words of prompt version {version}, this version reads {PROMPT_VERSION}"
        )
    return TEXTS.judge(f"{rows:,} rows of {' and '.join(present)}", offenders)


def exported_facts(events: Events) -> Outcome:
    """``test_raw.jsonl`` holds the test examples with their histories, and no others."""
    path = events.folder.path / TEST_EXPORT
    if not path.is_file():
        return FACTS.not_applicable(f"there is no {TEST_EXPORT}")
    try:
        found = _read(events, TEST_EXPORT, key_of_facts)
    except ValueError as error:
        return FACTS.judge(TEST_EXPORT, Offenders.of([Finding(f"{TEST_EXPORT}: {error}")]))
    examples = events.folder.examples(TEST)
    wanted = facts_of_examples(events, examples)
    extra, absent = surplus(found, wanted), surplus(wanted, found)
    shown = set(extra[:SHOWN].tolist())
    rows = ((place, row) for place, row in enumerate(read_rows(path)) if place in shown)
    first = tuple(_fact_finding(events, place, row) for place, row in rows)
    offenders = Offenders(len(extra), first)
    offenders += _missing(events, TEST_EXPORT, examples.target[absent])
    return FACTS.judge(f"{len(found):,} rows of {TEST_EXPORT}", offenders)


def _read(events: Events, name: str, key: Callable[[dict[str, Any]], int]) -> Ints:
    """Return the number of every row of a file.

    Raises:
        ValueError: Naming the first row that is not one ``prepare`` writes.
    """
    keys: list[int] = []
    try:
        for row in read_rows(events.folder.path / name):
            keys.append(key(row))
    except ValueError as error:
        raise ValueError(f"row {len(keys)} cannot be read ({error})") from error
    return np.array(keys, dtype=np.int64)


def _compare(expected: _Expected, name: str, found: Ints) -> Offenders:
    """Name rows that are not the split's, and examples of the split that are not in the file."""
    events, split = expected.events, _TEXT_FILES[name]
    extra, absent = surplus(found, expected.keys[split]), surplus(expected.keys[split], found)
    first = (_text_finding(expected, name, int(row), int(found[row])) for row in extra[:SHOWN])
    missing = _missing(events, name, events.folder.examples(split).target[absent])
    return Offenders(len(extra), tuple(first)) + missing


def _text_finding(expected: _Expected, name: str, row: int, key: int) -> Finding:
    events, event = expected.events, expected.event(key)
    if event == UNKNOWN:
        return Finding(f"row {row} of {name} is no example of these data")
    split = events.timelines.split[event]
    again = " once more" if split == _TEXT_FILES[name] else ""
    return events.name(event, f"row {row} of {name} is this {split} row{again}")


def _fact_finding(events: Events, row: int, facts: dict[str, Any]) -> Finding:
    user, item = int(facts["user_id"]), int(facts["item_id"])
    event = int(events.find(np.array([user]), np.array([item]))[0])
    if event == UNKNOWN:
        return Finding(f"row {row} of {TEST_EXPORT} is no event of these data", user, item)
    split = events.timelines.split[event]
    if split != TEST:
        return events.name(event, f"row {row} of {TEST_EXPORT} is this {split} row")
    return events.name(
        event, f"row {row} of {TEST_EXPORT} differs from the event, or is there twice"
    )


def _missing(events: Events, name: str, absent: Ints) -> Offenders:
    gone = np.zeros(len(events), dtype=np.bool_)
    gone[absent] = True
    return events.offenders(gone, lambda _: f"is missing from {name}")
