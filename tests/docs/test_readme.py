"""What the documents tell people to type exists, and what they link to is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from reeltune.cli import app
from reeltune.config import Config, key_paths
from reeltune.data.folder import TRAIN_EXPORT
from reeltune.fetch.editions import EDITIONS
from reeltune.models.prompt_record import PROMPT_FILE
from tests.docs.pages import (
    DATA,
    ERRORS,
    PAGES,
    README,
    ROOT,
    TOP_PAGES,
    TROUBLES,
    blocks,
    relative_links,
    snippets,
    spans,
    table,
    text_of,
)

MISSION = (
    "python scripts/prepare_movielens.py --output-dir data/movielens_qwen3 --history-len 15 "
    "--rating-threshold 4.0",
    "python scripts/check_seq_len.py --config configs/qwen3_movielens_qlora.yaml "
    "--percentiles 50,90,95,99,100",
    "python scripts/finetune_lora.py --config configs/qwen3_movielens_qlora.yaml",
    "python scripts/infer_lora.py",
)
CHAR_ONLY = (
    "python scripts/check_seq_len.py --config configs/qwen3_movielens_qlora.yaml --char-only"
)
OTHER_TOOLS = {
    *("--no-build-isolation", "--no-deps", "--target", "--logdir"),
    *("--head", "--enable-lora", "--lora-modules", "--max-model-len"),
}
"""Flags of pip, TensorBoard, Ray and vLLM."""
FILES = (TRAIN_EXPORT, PROMPT_FILE, "model.gguf")
"""Files whose names look like keys."""
MACHINE_PATHS = tuple(f"/{top}/" for top in ("work", "tmp", "root", "home", "mnt"))

_SPAN = re.compile(r"`([^`]+)`")
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_DECLARED = re.compile(r'add_argument\(\s*"(--[a-z][a-z0-9-]*)"')
_BENCHMARK = re.compile(r"\bbenchmarks\.(\w+)")
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")
_KEY = re.compile(r"([a-z]\w*\.\w+)(?:=.*)?")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def commands() -> dict[str, Any]:
    """Every command by its full name, ``config show`` included; the root is the empty name."""
    root: Any = typer.main.get_command(app)
    found = {"": root}
    for name, command in root.commands.items():
        found[name] = command
        for child, leaf in getattr(command, "commands", {}).items():
            found[f"{name} {child}"] = leaf
    return found


def flags_of(command: Any) -> set[str]:
    named = [option for param in command.params for option in (*param.opts, *param.secondary_opts)]
    return {option for option in named if option.startswith("-")} | {"--help"}


def script_command(script: str) -> str:
    """The command a script stands for."""
    found = re.search(r'main\(\["(\w+)"', (ROOT / script).read_text(encoding="utf-8"))
    assert found, script
    return found[1]


def called(snippet: str) -> tuple[str, list[str]] | None:
    """The command a snippet calls and what follows it; None when it calls something else."""
    words = snippet.split()
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words.pop(0)
    if words[:1] == ["python"] and len(words) > 1 and words[1].startswith("scripts/"):
        return script_command(words[1]), shlex.split(" ".join(words[2:]))
    if words[:1] != ["reeltune"]:
        return None
    words = shlex.split(" ".join(words[1:]))
    name = " ".join(words[:2]) if words[:1] == ["config"] and len(words) > 1 else words[0]
    return name, words[len(name.split()) :]


def test_the_readme_has_the_four_commands_verbatim():
    lines = [line for block in blocks(README) for line in block.splitlines()]
    places = [lines.index(command) for command in MISSION]
    assert places == sorted(places)
    assert CHAR_ONLY in spans(README)


@every_page
def test_links_point_at_files(page: Path):
    for target in relative_links(page):
        assert (page.parent / target).exists(), target


def test_every_document_can_be_reached_from_the_readme():
    linked = {(ROOT / target).resolve() for target in relative_links(README)}
    assert {page.resolve() for page in TOP_PAGES} <= linked
    linked = {(page.parent / target).resolve() for page in PAGES for target in relative_links(page)}
    assert {page.resolve() for page in PAGES if page != README} <= linked


@every_page
def test_commands_and_their_flags_exist(page: Path):
    known = commands()
    for snippet in snippets(page):
        if (call := called(snippet)) is None:
            continue
        name, rest = call
        assert name in known or name.startswith("-"), snippet
        flags = {word.split("=")[0] for word in rest if word.startswith("--")}
        assert flags <= flags_of(known[name if name in known else ""]), snippet


def test_every_code_explained_is_an_error_code():
    known = {row[0].strip("`") for row in table(ERRORS, "code") if row[0]}
    explained = [code for row in table(TROUBLES, "Code") for code in _SPAN.findall(row[0])]
    assert len(explained) >= len(table(TROUBLES, "Code")) > 5
    assert set(explained) <= known


def test_the_documents_call_every_command():
    shown = {call[0] for page in PAGES for s in snippets(page) if (call := called(s))}
    leaves = {name for name, command in commands().items() if not hasattr(command, "commands")}
    assert leaves <= shown


def benchmark_flags() -> set[str]:
    """Every flag that some benchmark declares."""
    files = (ROOT / "benchmarks").glob("*.py")
    return {flag for file in files for flag in _DECLARED.findall(text_of(file))}


@every_page
def test_every_flag_is_known_to_some_command(page: Path):
    known = {flag for command in commands().values() for flag in flags_of(command)}
    assert set(_FLAG.findall(text_of(page))) <= known | OTHER_TOOLS | benchmark_flags()


@every_page
def test_every_benchmark_named_exists(page: Path):
    for name in _BENCHMARK.findall("\n".join(snippets(page))):
        assert (ROOT / "benchmarks" / f"{name}.py").is_file(), name


@every_page
def test_every_key_named_exists(page: Path):
    keys = set(key_paths())
    named = [word for snippet in snippets(page) for word in snippet.split()]
    for word in named:
        match = _KEY.fullmatch(word)
        if match and match[1].split(".")[0] in Config.model_fields and word not in FILES:
            assert match[1] in keys, word


@every_page
def test_make_targets_exist(page: Path):
    makefile = ROOT / "Makefile"
    if not makefile.is_file():
        pytest.skip("there is no Makefile beside the documents")
    targets = set(re.findall(r"^([a-z]+):", makefile.read_text(encoding="utf-8"), re.MULTILINE))
    named = {match[1] for s in snippets(page) if (match := re.match(r"make (\w+)", s))}
    assert named <= targets


def test_the_table_of_editions_is_the_code_s():
    rows = {row[0].split()[0].strip("`"): row for row in table(DATA, "Edition")}
    assert list(rows) == [edition.name for edition in EDITIONS]
    for edition in EDITIONS:
        _, users, ratings, passed_on = rows[edition.name]
        written = (edition.users, edition.ratings)
        expected = tuple("changes" if n is None else f"{n:,}" for n in written)
        assert (users, ratings) == expected
        assert passed_on.startswith("yes") == any("may be passed on" in t for t in edition.terms)


@every_page
def test_no_path_of_the_machine_it_was_written_on(page: Path):
    for path in MACHINE_PATHS:
        assert path not in text_of(page)


def test_the_readme_stays_short():
    assert len(text_of(README).splitlines()) <= 130
