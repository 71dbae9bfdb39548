"""Checks of the prepared folder itself: invariants of its rows, counts, checksums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from reeltune.data.columns import TEST, TRAIN, VALIDATION
from reeltune.data.folder import (
    EVAL_EXPORT,
    ITEMS_FILE,
    META_FILE,
    TEST_EXPORT,
    TIMELINES_FILE,
    TRAIN_EXPORT,
    PreparedFolder,
)
from reeltune.data.invariants import INVARIANTS, EventTable
from reeltune.data.meta import count_tables
from reeltune.leakage.outcomes import (
    NONE,
    PREPARE_AGAIN,
    Check,
    Finding,
    Offenders,
    Outcome,
    event_finding,
)

COUNTS: Final = Check("counts", PREPARE_AGAIN)
CHECKSUMS: Final = Check("checksums", PREPARE_AGAIN)

_EXPORTS: Final = {TRAIN_EXPORT: TRAIN, EVAL_EXPORT: VALIDATION, TEST_EXPORT: TEST}


def check_invariants(table: EventTable) -> Iterator[Outcome]:
    """Yield the outcome of every invariant of prepared data, with the rows that break it."""
    for invariant in INVARIANTS:
        offenders = NONE
        for events, explain in invariant.violations(table):
            offenders += Offenders.of_rows(
                events, lambda event, explain=explain: event_finding(table, event, explain(event))
            )
        yield Check(invariant.name, PREPARE_AGAIN).result(invariant.statement, offenders)


def counts_agree(table: EventTable) -> Outcome:
    """Counts, label rates, span and rows per file in ``meta.json`` are those of the tables."""
    meta, sections = table.folder.meta, count_tables(table)
    counts = sections["counts"]
    findings = [
        Finding(f"{section}.{name} is {meta[section].get(name)} in {META_FILE}, but {value}")
        for section, values in sections.items()
        for name, value in values.items()
        if meta[section].get(name) != value
    ]
    written = meta["counts"]
    if written["ratings_in_source"] != written["dropped"] + written["events"]:
        findings.append(
            Finding(
                f"{written['ratings_in_source']} ratings in the source are not "
                f"{written['dropped']} dropped and {written['events']} events"
            )
        )
    rows = {TIMELINES_FILE: len(table), ITEMS_FILE: counts["items"]}
    rows |= {name: counts[split] for name, split in _EXPORTS.items() if name in meta["files"]}
    findings += [
        Finding(f"{name} has {meta['files'][name]['rows']} rows in {META_FILE}, but {expected}")
        for name, expected in rows.items()
        if meta["files"][name]["rows"] != expected
    ]
    return COUNTS.result(f"{len(table):,} events", Offenders.of(findings))


def checksums_agree(folder: PreparedFolder) -> Outcome:
    """The files are byte for byte those that ``prepare`` wrote.

    A removed export is no fault, since nothing reads it.
    """
    files: dict[str, dict[str, Any]] = folder.meta["files"]
    present = [name for name in files if (folder.path / name).is_file()]
    findings = [
        Finding(f"{name} is not the file that was prepared") for name in folder.changed(present)
    ]
    findings += [
        Finding(f"{name} exists, but was not prepared with these data")
        for name in _EXPORTS
        if name not in files and (folder.path / name).is_file()
    ]
    return CHECKSUMS.result(", ".join(present), Offenders.of(findings))
