"""Exported files hold the rows of their split: a row of another one is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reeltune.check.guards import check_target
from reeltune.check.target import find_target
from reeltune.data.folder import PreparedFolder
from reeltune.data.settings import ExportFormat
from tests.check.plant import (
    change_meta,
    export,
    failing,
    named,
    read_events,
    row_of,
    sign,
    write_events,
)

FORMS: tuple[ExportFormat, ...] = ("chat", "alpaca")


def read_lines(folder: Path, name: str) -> list[str]:
    """The rows of a file, a line of JSON each."""
    lines = (folder / name).read_text(encoding="utf-8").split("\n")
    return [line.removesuffix(",") for line in lines if line not in ("[", "]", "")]


def write_lines(folder: Path, name: str, lines: list[str]) -> None:
    """Write rows as ``prepare`` does, and sign the file."""
    text = "\n".join(lines) if name.endswith("jsonl") else "[\n" + ",\n".join(lines) + "\n]"
    (folder / name).write_text(text + "\n", encoding="utf-8")
    sign(folder)


def event_of(folder: Path, split: str, row: int) -> int:
    return int(PreparedFolder.open(folder).examples(split).target[row])


@pytest.mark.parametrize("form", FORMS)
def test_sound_exports_pass(folder: Path, form: ExportFormat):
    export(folder, form)
    outcomes = {outcome.guard: outcome for outcome in check_target(find_target(folder))}
    assert not [name for name, outcome in outcomes.items() if outcome.status == "failed"]
    counts = PreparedFolder.open(folder).meta["counts"]
    texts, facts = outcomes["exported texts"], outcomes["exported facts"]
    assert texts.status == facts.status == "ok"
    assert texts.about.startswith(f"{counts['train'] + counts['validation']:,} rows")
    assert facts.about.startswith(f"{counts['test']:,} rows")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "other"), [("train", "eval"), ("eval", "train")])
def test_a_row_of_another_split_is_named(folder: Path, form: ExportFormat, name: str, other: str):
    export(folder, form)
    split = {"train": "train", "eval": "validation"}[other]
    planted = read_lines(folder, f"{other}.json")[4]
    write_lines(folder, f"{name}.json", [planted, *read_lines(folder, f"{name}.json")])
    failed = failing(folder)
    assert list(failed) == ["exported texts"]
    assert named(failed["exported texts"]) == [row_of(folder, event_of(folder, split, 4))]
    assert f"row 0 of {name}.json is this {split} row" in str(
        failed["exported texts"].offenders.first[0]
    )


def test_a_test_row_among_the_training_texts_is_named(folder: Path):
    export(folder)
    rows, event = read_events(folder), event_of(folder, "test", 2)
    given = [row["split"] for row in rows]
    for row in rows:
        row["split"] = "train" if row["split"] != "context" else "context"
    write_events(folder, rows)
    export(folder)  # every example as a training text
    texts = read_lines(folder, "train.json")
    for row, split in zip(rows, given, strict=True):
        row["split"] = split
    write_events(folder, rows)
    export(folder)
    leaked = texts[sum(split != "context" for split in given[:event])]
    write_lines(folder, "train.json", [*read_lines(folder, "train.json"), leaked])
    failed = failing(folder)
    assert list(failed) == ["exported texts"]
    assert named(failed["exported texts"]) == [row_of(folder, event)]
    assert "is this test row" in str(failed["exported texts"].offenders.first[0])


def test_a_row_that_stands_twice_and_one_that_is_missing_are_named(folder: Path):
    export(folder)
    lines = read_lines(folder, "train.json")
    write_lines(folder, "train.json", [*lines[:3], lines[0], *lines[4:]])
    failed = failing(folder)
    assert list(failed) == ["exported texts"]
    twice, missing = failed["exported texts"].offenders.first
    assert (twice.event, missing.event) == tuple(event_of(folder, "train", i) for i in (0, 3))
    assert "row 3 of train.json is this train row once more" in twice.message
    assert missing.message == "is missing from train.json"


def test_a_text_with_another_answer_is_no_example(folder: Path):
    export(folder)
    lines = read_lines(folder, "eval.json")
    row = json.loads(lines[5])
    turn = row["messages"][1]
    turn["content"] = {"Yes": "No", "No": "Yes"}[turn["content"]]
    write_lines(folder, "eval.json", [*lines[:5], json.dumps(row), *lines[6:]])
    failed = failing(folder)
    assert list(failed) == ["exported texts"]
    assert "row 5 of eval.json is no example" in str(failed["exported texts"].offenders.first[0])


@pytest.mark.parametrize("line", ["not json", '{"text": 1}', '{"messages": [1, 2]}', "[]", '"Yes"'])
def test_a_row_that_prepare_does_not_write_is_named(folder: Path, line: str):
    export(folder)
    write_lines(folder, "train.json", [*read_lines(folder, "train.json")[:6], line])
    (found,) = failing(folder)["exported texts"].offenders.first
    assert found.message.startswith("train.json: row 6 cannot be read")


def test_texts_in_the_words_of_another_version_are_judged_by_what_they_show(folder: Path):
    export(folder)
    change_meta(folder, lambda meta: meta["prompt"].update(version="1"))
    lines = read_lines(folder, "train.json")
    reworded = [line.replace("Yes or No?", "Will the user like it?") for line in lines]
    write_lines(folder, "train.json", reworded)
    assert lines != reworded
    assert failing(folder) == {}


def test_texts_in_unknown_words_are_not_judged(folder: Path):
    export(folder)
    change_meta(folder, lambda meta: meta["prompt"].update(version="0"))
    for name in ("train.json", "eval.json"):
        lines = read_lines(folder, name)
        write_lines(folder, name, [line.replace("Film to judge:", "Judge:") for line in lines])
    outcomes = {outcome.guard: outcome for outcome in check_target(find_target(folder))}
    assert outcomes["exported texts"].status == "not applicable"
    assert "prompt version 0" in outcomes["exported texts"].about


def facts(folder: Path, row: int) -> dict[str, Any]:
    return json.loads(read_lines(folder, "test_raw.jsonl")[row])


@pytest.mark.parametrize(
    "change",
    [{"label": "Maybe"}, {"stars": 0.25}, {"timestamp": 1}, {"history": {}}],
    ids=["label", "stars", "time", "history"],
)
def test_other_facts_of_a_test_row_are_named(folder: Path, change: dict[str, Any]):
    export(folder)
    lines = read_lines(folder, "test_raw.jsonl")
    lines[1] = json.dumps(facts(folder, 1) | change)
    write_lines(folder, "test_raw.jsonl", lines)
    failed = failing(folder)
    assert list(failed) == ["exported facts"]
    if change != {"history": {}}:
        row = row_of(folder, event_of(folder, "test", 1))
        assert named(failed["exported facts"]) == [row, row]  # one too many, one missing


def test_a_history_that_reaches_the_candidate_is_named(folder: Path):
    export(folder)
    row = facts(folder, 3)
    row["history"]["item_id"][-1] = row["item_id"]
    row["history"]["stars"][-1] = row["stars"]
    lines = read_lines(folder, "test_raw.jsonl")
    write_lines(folder, "test_raw.jsonl", [*lines[:3], json.dumps(row), *lines[4:]])
    failed = failing(folder)
    assert list(failed) == ["exported facts"]
    found = failed["exported facts"].offenders.first[0]
    assert found.event == event_of(folder, "test", 3)
    assert "row 3 of test_raw.jsonl differs from the event" in found.message


@pytest.mark.parametrize("split", ["train", "validation"])
def test_facts_of_a_row_of_another_split_are_named(folder: Path, split: str):
    export(folder)
    row, event = facts(folder, 0), event_of(folder, split, 0)
    user, item, _ = row_of(folder, event)
    line = json.dumps(row | {"user_id": user, "item_id": item})
    lines = read_lines(folder, "test_raw.jsonl")
    write_lines(folder, "test_raw.jsonl", [*lines, line])
    failed = failing(folder)
    assert list(failed) == ["exported facts"]
    assert named(failed["exported facts"]) == [(user, item, event)]
    assert f"is this {split} row" in failed["exported facts"].offenders.first[0].message


def test_facts_of_nobody_are_named(folder: Path):
    export(folder)
    line = json.dumps(facts(folder, 0) | {"user_id": 999})
    write_lines(folder, "test_raw.jsonl", [*read_lines(folder, "test_raw.jsonl"), line])
    (found,) = failing(folder)["exported facts"].offenders.first
    assert (found.user_id, found.event) == (999, None)


def test_exports_of_unsound_events_are_not_judged(folder: Path):
    export(folder)
    rows = read_events(folder)
    rows[9]["liked"] = not rows[9]["liked"]
    write_events(folder, rows)
    assert list(failing(folder)) == ["labels"]
