"""Ratings and items files in every layout, damaged, then prepared."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import ClassVar

from reeltune.data.prepare import prepare
from reeltune.data.settings import PrepareSettings, SplitSettings
from tests.fuzz.campaign import Case, Kind
from tests.fuzz.damage import Damaged, damage_bytes, damage_lines, damage_path, pick
from tests.fuzz.editions import HISTORY_LEN, LAYOUTS, random_edition, read_prepared, read_simply

USUAL = re.compile(r"(Reading|Sorting|Writing) .*")
"""Lines that every preparation prints; all others are warnings."""


def settings_for(output: Path, skip: bool) -> PrepareSettings:
    """Settings with which the undamaged editions can be prepared."""
    return PrepareSettings(
        output=output,
        history_len=HISTORY_LEN,
        split=SplitSettings(val_fraction=0.2, test_fraction=0.2),
        skip_bad_rows=skip,
        export=None,
    )


class Tables(Kind):
    """The answer is compared with a second reading of the damaged files."""

    name: ClassVar[str] = "tables"

    def make(self, random: Random, folder: Path) -> Case:
        layout_name = random.choice(("csv", "csv", "csv", "1m", "10m", "100k"))
        layout, raw = LAYOUTS[layout_name], folder / "raw"
        random_edition(random, raw, layout_name)
        skip = random.random() < 0.4
        path = raw / random.choice((layout.ratings_file, layout.ratings_file, layout.items_file))
        is_ratings = path.name == layout.ratings_file
        before, original = path.read_bytes(), read_simply(raw, layout)
        assert original is not None
        way = random.choice(("bytes", "lines", "lines", "truncated", "text", "text", "meaning"))
        neutral, must_warn, cut_line = False, "", False
        if way == "bytes":
            description, damaged = damage_bytes(random, before)
        elif way == "truncated":
            cut = len(before) - random.choice((1, 2, 3, 5, 8, 12, random.randrange(len(before))))
            description, damaged = f"truncated to {cut} bytes", before[:cut]
            cut_line = before[cut : cut + 1] not in (b"\n", b"") and before[cut - 1 : cut] != b"\n"
        elif way == "lines":
            text = before.decode("latin-1")
            separator = layout.separator if is_ratings or layout_name != "100k" else "|"
            description, lines = damage_lines(random, text.split("\n")[:-1], separator)
            damaged = "".join(f"{line}\n" for line in lines).encode("latin-1", "replace")
        elif way == "text":
            description, damaged = self._rewrite(random, before, layout_name == "csv")
            neutral = not description.startswith("!")
        else:
            description, damaged = self._change_meaning(random, before, layout_name, is_ratings)
            must_warn = description if description.startswith("!") else ""
        path.write_bytes(damaged)
        if random.random() < 0.03:
            other = raw / (layout.files[is_ratings])
            description, neutral, must_warn = damage_path(random, path, other), False, ""

        def run(warned: list[str]) -> str | None:
            notes: list[str] = []
            prepared = prepare(raw, settings_for(folder / "prepared", skip), notify=notes.append)
            warned += [note for note in notes if not USUAL.fullmatch(note)]
            reading = read_simply(raw, layout)
            if reading is None:
                return "prepared, although the files cannot be read"
            answer = read_prepared(prepared.path, prepared.meta)
            fault = reading.fault_of(answer)
            if fault is None and not skip and (answer.dropped or answer.items_dropped):
                fault = "rows dropped without --skip-bad-rows"
            if fault or warned:
                return fault
            if cut_line and not answer.dropped + answer.items_dropped:
                return "the last line is cut, and nothing says so"
            if must_warn.startswith("!genres") and all(
                set(film.genres) == original.genres_of(item) for item, film in answer.items.items()
            ):
                return None
            return must_warn or None

        flag = " (--skip-bad-rows)" if skip else ""
        return Case(f"{path.name}: {description}{flag}", run, neutral)

    def _rewrite(self, random: Random, before: bytes, is_csv: bool) -> Damaged[bytes]:
        """Write the same text in another way; a description with ! is one that may be refused."""
        text = before.decode("utf-8" if is_csv else "latin-1")
        encoding = "utf-8" if is_csv else "latin-1"
        lines = text.split("\n")[:-1]
        header, rows = (lines[:1], lines[1:]) if is_csv else ([], lines)
        random.shuffle(rows)
        whole = "\n".join([*header, *rows]) + "\n"

        def quoted() -> Damaged[bytes]:
            if not is_csv:
                return "rows in another order", whole.encode(encoding)
            out = io.StringIO(newline="")
            writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writerows(csv.reader(lines))
            return "every field in quotes", out.getvalue().encode()

        def with_columns() -> Damaged[bytes]:
            if not is_csv:
                return "rows in another order", whole.encode(encoding)
            table = list(csv.reader(lines))
            order = list(range(len(table[0]) + 1))
            random.shuffle(order)
            extra = random.choice(("x", "a, b", 'said "hi"', "", "1"))
            wide = [[*row, "note" if number == 0 else extra] for number, row in enumerate(table)]
            out = io.StringIO(newline="")
            csv.writer(out, lineterminator="\n").writerows(
                [[row[i] for i in order] for row in wide]
            )
            return f"columns in another order, and one more ({extra!r})", out.getvalue().encode()

        return pick(
            random,
            (
                lambda: ("line ends CRLF", text.replace("\n", "\r\n").encode(encoding)),
                lambda: ("!line ends CR", text.replace("\n", "\r").encode(encoding)),
                lambda: ("!mixed line ends", text.replace("\n", "\r\n", 5).encode(encoding)),
                lambda: ("!BOM", b"\xef\xbb\xbf" + text.encode("utf-8")),
                lambda: ("!UTF-16", text.encode("utf-16")),
                lambda: ("!Latin-1", text.encode("latin-1")),
                lambda: ("blank lines", text.replace("\n", "\n\n", 3).encode(encoding)),
                lambda: ("rows in another order", whole.encode(encoding)),
                lambda: ("unchanged", before),
                lambda: ("!blanks at ends of lines", text.replace("\n", "  \n").encode(encoding)),
                lambda: ("!semicolons", text.replace(",", ";").encode(encoding)),
                lambda: ("!tabs", text.replace(",", "\t").encode(encoding)),
                lambda: ("!without its first line", "\n".join(lines[1:]).encode(encoding)),
                quoted,
                with_columns,
                with_columns,
            ),
        )

    def _change_meaning(
        self, random: Random, before: bytes, layout: str, is_ratings: bool
    ) -> Damaged[bytes]:
        """Write values in other units or notations; a description with ! must not pass silently."""
        if layout != "csv":
            return damage_bytes(random, before)
        rows = list(csv.reader(io.StringIO(before.decode(), newline="")))
        header, body = rows[0], rows[1:]

        def written(table: list[list[str]], names: list[str] = header) -> bytes:
            out = io.StringIO(newline="")
            csv.writer(out, lineterminator="\n").writerows([names, *table])
            return out.getvalue().encode()

        def with_column(column: int, change: Callable[[str], str]) -> bytes:
            return written(
                [[*row[:column], change(row[column]), *row[column + 1 :]] for row in body]
            )

        if not is_ratings:

            def as_list(text: str) -> str:
                return str(text.split("|"))

            return pick(
                random,
                (
                    lambda: ("!genres as lists", with_column(2, as_list)),
                    lambda: ("!genres with commas", with_column(2, lambda g: g.replace("|", ", "))),
                    lambda: ("!genres with slashes", with_column(2, lambda g: g.replace("|", "/"))),
                    lambda: ("ids doubled", with_column(0, lambda i: str(int(i) * 2))),
                    lambda: ("titles emptied", with_column(1, lambda _: "")),
                    lambda: (
                        "title and genres swapped",
                        written(body, [header[0], *header[:0:-1]]),
                    ),
                ),
            )
        return pick(
            random,
            (
                lambda: ("!ratings from 1 to 10", with_column(2, lambda r: f"{float(r) * 2:g}")),
                lambda: (
                    "!ratings from 0 to 10",
                    with_column(2, lambda r: f"{float(r) * 2 - 1:g}"),
                ),
                lambda: ("!ratings from 1 to 100", with_column(2, lambda r: f"{float(r) * 20:g}")),
                lambda: ("ratings from 0 to 1", with_column(2, lambda r: f"{float(r) / 5:g}")),
                lambda: ("ratings with commas", with_column(2, lambda r: r.replace(".", ","))),
                lambda: ("times in milliseconds", with_column(3, lambda t: f"{t}000")),
                lambda: ("times with decimals", with_column(3, lambda t: f"{t}.0")),
                lambda: ("times as dates", with_column(3, lambda _: "2001-09-09 01:46:40")),
                lambda: ("ids with decimals", with_column(0, lambda i: f"{i}.0")),
                lambda: ("ids with zeros", with_column(0, lambda i: f"00{i}")),
                lambda: (
                    "users and items swapped",
                    written(body, [header[1], header[0], *header[2:]]),
                ),
                lambda: (
                    "a column named twice",
                    written(body, [header[0], header[0], *header[2:]]),
                ),
            ),
        )
