"""Damage that needs no knowledge of a format: to bytes, to lines, to files and to JSON values."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")
Damaged = tuple[str, T]
"""What was damaged, in words, and the result."""

ODD_VALUES: Sequence[Any] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308),
    *(float("nan"), float("inf"), "", "x", "4", "\0", "\ud800", "é" * 300, "../../x"),
    *([], [1], {}, {"x": 1}, [[]], "2026-13-45", "null", "nan", "0x10", "1_0", "٣"),
)


def pick(random: Random, options: Sequence[Callable[[], T]]) -> T:
    """Return what one of the functions returns."""
    return random.choice(options)()


def damage_bytes(random: Random, data: bytes) -> Damaged[bytes]:
    """Flip bits, or truncate, overwrite, swap, repeat, remove or add a block."""
    if not data:
        return "a byte added to nothing", b"x"
    size = len(data)
    start = random.randrange(size)
    end = min(size, start + random.choice((1, 4, 16, 64, 512)))
    block = data[start:end]
    other = random.randrange(size)
    rest = data[:start] + data[end:]

    def flip() -> Damaged[bytes]:
        damaged, count = bytearray(data), random.choice((1, 1, 1, 2, 8))
        places = [random.randrange(size) for _ in range(count)]
        for place in places:
            damaged[place] ^= 1 << random.randrange(8)
        return f"bits flipped at {places}", bytes(damaged)

    return pick(
        random,
        (
            flip,
            flip,
            flip,
            lambda: (f"truncated to {start} of {size} bytes", data[:start]),
            lambda: (f"truncated to {size - 1 - start % 8} bytes", data[: size - 1 - start % 8]),
            lambda: (f"zeros at {start}:{end}", data[:start] + bytes(len(block)) + data[end:]),
            lambda: (
                f"random bytes at {start}:{end}",
                data[:start] + random.randbytes(len(block)) + data[end:],
            ),
            lambda: (
                f"block {start}:{end} moved to {min(other, len(rest))}",
                rest[:other] + block + rest[other:],
            ),
            lambda: (f"block {start}:{end} repeated", data[:end] + block + data[end:]),
            lambda: (f"block {start}:{end} removed", rest),
            lambda: ("junk appended", data + random.randbytes(random.choice((1, 7, 100)))),
            lambda: ("junk before it", random.randbytes(random.choice((1, 7, 100))) + data),
            lambda: ("emptied", b""),
        ),
    )


def damage_file(random: Random, path: Path) -> str:
    """Damage the bytes of a file."""
    description, damaged = damage_bytes(random, path.read_bytes())
    path.write_bytes(damaged)
    return f"{path.name}: {description}"


def damage_path(random: Random, path: Path, other: Path) -> str:
    """Remove a file, or put something else in its place; ``other`` is a file of the same kind."""
    data = path.read_bytes()
    path.unlink()

    def put(content: bytes, description: str) -> str:
        path.write_bytes(content)
        return description

    def folder() -> str:
        path.mkdir()
        return "a folder in its place"

    def dangling() -> str:
        path.symlink_to("nowhere")
        return "a dangling link in its place"

    def loop() -> str:
        path.symlink_to(path.name)
        return "a link to itself in its place"

    def renamed() -> str:
        path.with_name(f"{path.name} (1)").write_bytes(data)
        return "renamed"

    description = pick(
        random,
        (
            lambda: "removed",
            lambda: put(other.read_bytes(), f"replaced by {other.name} of another folder"),
            lambda: put(data.replace(b"\n", b"\r\n"), "line ends CRLF"),
            lambda: put(b"<html><body>404 Not Found</body></html>", "a web page in its place"),
            lambda: put(b"version https://git-lfs.github.com/spec/v1\n", "an LFS pointer"),
            lambda: put(data[: len(data) // 2], "cut to half"),
            folder,
            dangling,
            loop,
            renamed,
        ),
    )
    return f"{path.name}: {description}"


def damage_lines(random: Random, lines: Sequence[str], separator: str) -> Damaged[list[str]]:
    """Repeat, drop, swap, split, join or edit lines; the first may be a header."""
    damaged = list(lines)
    at, other = random.randrange(len(lines)), random.randrange(len(lines))

    def edit(line: str, description: str) -> Damaged[list[str]]:
        damaged[at] = line
        return f"line {at + 1}: {description}", damaged

    def edit_field() -> Damaged[list[str]]:
        fields = damaged[at].split(separator)
        field = random.randrange(len(fields))
        fields[field] = random.choice(
            (
                *("", " ", "NaN", "nan", "inf", "-1", "0", "1.0", "1e0", "+1", "٣", "1_0", "01"),
                *("3,5", "3.5", "4.25", "5.5", "10", "9" * 19, "-0", "0x1", '"1', '1"', '"1"'),
                *("2000-01-01", "978300760000", "None", "NULL", "\\N", "\0", "1 ", "½", "4.0 "),
                *(fields[field][:-1], fields[field] + "0", fields[field][1:]),
            )
        )
        return edit(separator.join(fields), f"field {field} is now {fields[field]!r}")

    def swap_fields() -> Damaged[list[str]]:
        fields = damaged[at].split(separator)
        random.shuffle(fields)
        return edit(separator.join(fields), "fields in another order")

    def repeat() -> Damaged[list[str]]:
        damaged.insert(other, damaged[at])
        return f"line {at + 1} repeated at {other + 1}", damaged

    def drop() -> Damaged[list[str]]:
        end = at + random.choice((1, 1, 3))
        del damaged[at:end]
        return f"lines {at + 1} to {end} dropped", damaged

    def swap() -> Damaged[list[str]]:
        damaged[at], damaged[other] = damaged[other], damaged[at]
        return f"lines {at + 1} and {other + 1} swapped", damaged

    def join() -> Damaged[list[str]]:
        damaged[at : at + 2] = ["".join(damaged[at : at + 2])]
        return f"lines {at + 1} and {at + 2} joined", damaged

    def split() -> Damaged[list[str]]:
        line = damaged[at]
        cut = random.randrange(len(line) + 1)
        damaged[at : at + 1] = [line[:cut], line[cut:]]
        return f"line {at + 1} split at {cut}", damaged

    line = damaged[at]
    return pick(
        random,
        (
            edit_field,
            edit_field,
            edit_field,
            swap_fields,
            repeat,
            drop,
            swap,
            join,
            split,
            lambda: edit("", "emptied"),
            lambda: edit(f'"{line}"', "in quotes"),
            lambda: edit(line + separator, "a separator at the end"),
            lambda: edit(separator + line, "a separator at the beginning"),
            lambda: edit(line.replace(separator, ";"), "separated by semicolons"),
            lambda: edit(f"# {line}", "commented out"),
        ),
    )


def damage_json(random: Random, value: Any) -> Damaged[Any]:
    """Change one place of a JSON value: remove, rename, replace, repeat, or alter a number."""
    places = [place for place in _places(value) if place]
    if not places:
        return "replaced", random.choice(ODD_VALUES)
    *way, last = random.choice(places)
    damaged = json.loads(json.dumps(value))
    parent = damaged
    for step in way:
        parent = parent[step]
    old = parent[last]
    name = ".".join(map(str, (*way, last)))

    def replaced(new: Any) -> Damaged[Any]:
        parent[last] = new
        return f"{name}: {str(old)[:60]!r} is now {str(new)[:60]!r}", damaged

    def removed() -> Damaged[Any]:
        del parent[last]
        return f"{name} removed", damaged

    def renamed() -> Damaged[Any]:
        if not isinstance(parent, dict):
            return removed()
        parent[f"{last}_"] = parent.pop(last)
        return f"{name} renamed", damaged

    def added() -> Damaged[Any]:
        if isinstance(parent, dict):
            parent["unknown"] = 1
        else:
            parent.insert(random.randrange(len(parent) + 1), old)
        return f"added to {name}", damaged

    def altered() -> Damaged[Any]:
        if isinstance(old, bool):
            return replaced(not old)
        if isinstance(old, int | float):
            return replaced(random.choice((old + 1, old - 1, old * 2, -old, str(old), float(old))))
        if isinstance(old, str) and old:
            at = random.randrange(len(old))
            return replaced(old[:at] + chr(ord(old[at]) ^ 1) + old[at + 1 :])
        return replaced(random.choice(ODD_VALUES))

    choices = (altered, altered, altered, removed, renamed, added)
    return pick(random, (*choices, lambda: replaced(random.choice(ODD_VALUES))))


def damage_json_file(random: Random, path: Path) -> str:
    """Change one place of a JSON file."""
    description, damaged = damage_json(random, json.loads(path.read_text(encoding="utf-8")))
    path.write_text(json.dumps(damaged, indent=2) + "\n", encoding="utf-8")
    return f"{path.name}: {description}"


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value inside a JSON value."""
    inside: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))
    return [place, *(way for key, child in inside for way in _places(child, (*place, key)))]
