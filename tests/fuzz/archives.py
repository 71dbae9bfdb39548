"""Zip files of an edition, damaged or built in odd ways, then prepared and fetched."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import ClassVar

from reeltune.data.prepare import prepare
from reeltune.fetch.editions import find_edition
from reeltune.fetch.install import FetchOptions, fetch_edition
from tests.fuzz.campaign import Case, Kind
from tests.fuzz.damage import Damaged, damage_bytes, pick
from tests.fuzz.editions import Prepared, random_edition, read_prepared
from tests.fuzz.tables import settings_for
from tests.fuzz.workplace import Workplace

EDITION = "ml-latest"
"""Has no fixed checksum, so that any zip file may be it."""

NAMES = ("ratings.csv", "movies.csv")
Members = list[tuple[zipfile.ZipInfo, bytes]]


class Archives(Kind):
    """The answer is what the undamaged files give: checksums guard the content of a zip file."""

    name: ClassVar[str] = "archives"

    def __init__(self, workplace: Workplace) -> None:
        super().__init__(workplace)
        self._answers: dict[int, Prepared] = {}

    def make(self, random: Random, folder: Path) -> Case:
        raw = random_edition(random, folder / "raw" / EDITION, "csv")
        (raw / "README.txt").write_text("read me\n" * 20)
        path = folder / "box" / f"{random.choice((EDITION, 'download'))}.zip"
        path.parent.mkdir()
        inside = random.choice((f"{EDITION}/", f"{EDITION}/", ""))
        method = random.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED))
        members: Members = []
        for file in sorted(raw.iterdir()):
            info = zipfile.ZipInfo(f"{inside}{file.name}")
            info.compress_type = method
            members.append((info, file.read_bytes()))
        neutral = False
        if random.random() < 0.45:
            description, data = damage_bytes(random, _zip(members))
            path.write_bytes(data)
        else:
            description, data = self._structure(random, members, inside)
            neutral = not description.startswith("!")
            path.write_bytes(data)
        fetch = random.random() < 0.5
        use = self._fetched if fetch else self._prepared
        return Case(
            f"{description} ({'fetch' if fetch else 'prepare'})",
            lambda _: use(path, raw, folder),
            neutral,
        )

    def _prepared(self, path: Path, raw: Path, folder: Path) -> str | None:
        before = set(folder.rglob("*"))
        output = folder / "prepared"
        try:
            prepared = prepare(path, settings_for(output, skip=False))
        finally:
            stray = {p for p in folder.rglob("*") if not p.is_relative_to(output)} - before
        if stray:
            return f"written outside of its folder: {sorted(stray)[:3]}"
        right = prepare(raw, settings_for(folder / "right", skip=False))
        same = read_prepared(output, prepared.meta) == read_prepared(right.path, right.meta)
        return None if same else "other ratings or items than in the undamaged zip file"

    def _fetched(self, path: Path, raw: Path, folder: Path) -> str | None:
        before, into = set(folder.rglob("*")), folder / "fetched"
        options = FetchOptions(allow_other_checksum=True)
        try:
            fetch_edition(find_edition(EDITION), into, local_path=path, options=options)
        finally:
            stray = {p for p in folder.rglob("*") if not p.is_relative_to(into)} - before
        if stray := stray | {p for p in into.rglob("*") if p.is_symlink()}:
            return f"written outside of its folder: {sorted(stray)[:3]}"
        for name in NAMES:
            if (into / EDITION / name).read_bytes() != (raw / name).read_bytes():
                return f"{name} is not that of the undamaged zip file"
        return None

    def _structure(self, random: Random, members: Members, inside: str) -> Damaged[bytes]:
        """Build the zip file in an odd way; a description with ! is one that may be refused."""
        at = random.randrange(len(members))
        info, _ = members[at]
        ratings = next(n for n, (i, _) in enumerate(members) if i.filename.endswith(NAMES[0]))

        def rename(name: str) -> Damaged[bytes]:
            old = info.filename
            info.filename = name
            return f"!{old} is called {name!r}", _zip(members)

        def extra(
            name: str, data: bytes, description: str, change: Callable[[zipfile.ZipInfo], None]
        ) -> Damaged[bytes]:
            added = zipfile.ZipInfo(name)
            added.compress_type = zipfile.ZIP_DEFLATED
            change(added)
            place = random.randrange(len(members) + 1)
            members.insert(place, (added, data))
            return f"!{description}: {name!r}", _zip(members)

        def plain(added: zipfile.ZipInfo) -> None:
            del added

        def link(added: zipfile.ZipInfo) -> None:
            added.external_attr = (stat.S_IFLNK | 0o777) << 16

        def with_method(method: int) -> Damaged[bytes]:
            for member, _ in members:
                member.compress_type = method
            return f"compression {method}", _zip(members)

        def patched(field: int, width: str, value: int, description: str) -> Damaged[bytes]:
            """Change a field of a member's entry in the central directory."""
            data = bytearray(_zip(members))
            place = -1
            for _ in range(at + 1):
                place = data.index(b"PK\x01\x02", place + 1)
            struct.pack_into(width, data, place + field, value)
            return f"!{info.filename}: {description} {value}", bytes(data)

        def doubled(data: bytes, description: str) -> Damaged[bytes]:
            return extra(members[ratings][0].filename, data, description, plain)

        name = info.filename
        fewer = members[ratings][1][: len(members[ratings][1]) // 2]
        escapes = ("../", "/", "//", "./", "a//", "C:\\", "..\\", "x/../", "~/", "\\\\host\\")
        return pick(
            random,
            (
                lambda: ("unchanged", _zip(members)),
                lambda: ("members in another order", _zip(random.sample(members, len(members)))),
                lambda: ("!with a preamble", b"#!/bin/sh\nexit\n" + _zip(members)),
                lambda: ("with a comment", _zip(members, comment=b"a comment")),
                lambda: ("!with a long comment", _zip(members, comment=b"PK\x05\x06" * 9000)),
                lambda: rename(random.choice(escapes) + name),
                lambda: rename(random.choice(escapes) + name.rpartition("/")[2]),
                lambda: rename(name.upper()),
                lambda: rename(name.replace(".", "\0.")),
                lambda: rename(
                    name + random.choice((" ", ".", "/", "é", "\n", "\u202e", "x" * 300))
                ),
                lambda: rename(random.choice(("a/" * 60, "b/", "a/b/", "CON/")) + name),
                lambda: extra(random.choice(escapes) + "x.csv", b"x", "one more member", plain),
                lambda: extra(random.choice(escapes) + NAMES[0], fewer, "one more member", plain),
                lambda: extra(f"{inside}x", b"/etc/passwd", "a link", link),
                lambda: extra(f"{inside}{NAMES[0]}/x", b"x", "a file below a file", plain),
                lambda: extra(f"{inside}{NAMES[1]}/", b"", "a folder named as a file", plain),
                lambda: extra(f"{inside}zeros", bytes(200 << 20), "a bomb", plain),
                lambda: extra(f"b/{NAMES[0]}", fewer, "a second ratings file", plain),
                lambda: extra("__MACOSX/._ratings.csv", b"x", "what macOS adds", plain),
                lambda: doubled(fewer, "the ratings twice, different"),
                lambda: doubled(members[ratings][1], "the ratings twice, equal"),
                lambda: patched(8, "<H", 1, "encrypted, flags"),
                lambda: patched(8, "<H", random.randrange(1 << 16), "flags"),
                lambda: patched(10, "<H", random.randrange(100), "compression method"),
                lambda: patched(16, "<I", random.randrange(1 << 32), "CRC"),
                lambda: patched(20, "<I", random.randrange(1 << 32), "packed size"),
                lambda: patched(24, "<I", random.choice((0, 1, 2**31, 2**32 - 1)), "size"),
                lambda: patched(38, "<I", random.randrange(1 << 32), "attributes"),
                lambda: patched(42, "<I", random.randrange(4000), "offset"),
                lambda: with_method(zipfile.ZIP_BZIP2),
                lambda: with_method(zipfile.ZIP_LZMA),
                lambda: with_method(zipfile.ZIP_STORED),
                lambda: ("!a member missing", _zip(members[:at] + members[at + 1 :])),
                lambda: ("!empty", _zip([])),
                lambda: ("!a zip in a zip", _zip([(zipfile.ZipInfo("a.zip"), _zip(members))])),
                lambda: ("!two zips in a row", _zip(members) + _zip(members[:1])),
            ),
        )


def _zip(members: Members, comment: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for info, content in members:
            # A name that zipfile itself would refuse or change is put in its place afterwards.
            archive.writestr(info, content)
        archive.comment = comment[:65_535]
    return stream.getvalue()
