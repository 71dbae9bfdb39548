"""Tables of one's own: each is prepared with exactly its ratings, or refused with its code."""

from __future__ import annotations

import gzip
import json
import shlex
from hashlib import sha256
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

import reeltune
from reeltune.data import table_files
from reeltune.data.folder import PreparedFolder
from reeltune.errors import ConfigError, DataError
from tests.errors import raises_error

from .editions import items, timeline, write_edition

START = 1_400_000_000
DAY = 86_400
SMALL = {"min_history": 1, "history_len": 3, "val_fraction": 0.2, "test_fraction": 0.2}

Row = tuple[str, str, str, int]
ROWS: list[Row] = [
    (f"u-{user}", f"{item:03d}X", str(1 + (3 * user + item) % 5), START + DAY * item + user)
    for user in range(3)
    for item in range(6)
]
HEADER = ("user", "item", "rating", "timestamp")


def table(rows=ROWS, separator=",", header=HEADER, end="\n", quote="") -> str:
    """Return rows as delimited text."""
    lines = [header, *rows] if header else list(rows)
    return "".join(
        separator.join(f"{quote}{value}{quote}" for value in line) + end for line in lines
    )


def timed(times) -> str:
    """Return the rows with other texts for their times."""
    return table([(*row[:3], times(row[3])) for row in ROWS])


def rated(ratings) -> list[Row]:
    """Return the rows with other ratings, by the index of the row."""
    return [(*row[:2], str(ratings(n)), row[3]) for n, row in enumerate(ROWS)]


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return sink.getvalue().to_pybytes()


def jsonl(rows=ROWS) -> str:
    return "".join(
        json.dumps({"user": u, "item": i, "rating": int(r), "timestamp": t}) + "\n"
        for u, i, r, t in rows
    )


def iso(seconds: int, zone: str = "Z", shift: int = 0) -> str:
    return str(pl.select(pl.from_epoch(pl.lit(seconds + shift))).item()).replace(" ", "T") + zone


UUID = "6f9619ff-8b86-d011-b42d-{:012d}".format
HUGE = [(str(2**63 + n // 6), str(-(n % 6)), *row[2:]) for n, row in enumerate(ROWS)]
NUMBERS = [(str(2**62 + n // 6), str(10 + n % 6), *row[2:]) for n, row in enumerate(ROWS)]
LIKES = rated(lambda n: n % 2)
TWICE = [*ROWS, ("u-0", "000X", "5", START + 99 * DAY)]
NO_TIME = [(*row[:3], n) for n, row in enumerate(ROWS)]

ORDINARY: dict[str, tuple[str | bytes, dict, list[Row]]] = {
    "commas": (table(), {}, ROWS),
    "tabs": (table(separator="\t"), {}, ROWS),
    "semicolons": (table(separator=";"), {}, ROWS),
    "bars": (table(separator="|"), {}, ROWS),
    "double colons": (table(separator="::"), {}, ROWS),
    "BOM": ("\ufeff" + table(), {}, ROWS),
    "CRLF": (table(end="\r\n"), {}, ROWS),
    "quotes": (table(quote='"', separator=";"), {}, ROWS),
    "no last line end": (table()[:-1], {}, ROWS),
    "blank lines": (table(end="\n\n"), {}, ROWS),
    "blanks": (table(separator=" , "), {}, ROWS),
    "JSON Lines": (jsonl(), {}, ROWS),
    "gzip": (gzip.compress(table().encode()), {}, ROWS),
    "zstd": (zstd(jsonl().encode()), {}, ROWS),
    "RecBole": (
        table(
            separator="\t", header=("user_id:token", "item_id:token", "rating:float", "time:float")
        ),
        {},
        ROWS,
    ),
    "usual names": (table(header=("reviewerID", "asin", "overall", "unixReviewTime")), {}, ROWS),
    "own names": (
        table(header=("who", "what", "how much", "when")),
        {"columns": "user=who,item=what,rating=how much,time=when"},
        ROWS,
    ),
    "no header": (table(header=()), {"columns": "user=1,item=2,rating=3,time=4"}, ROWS),
    "milliseconds": (timed(lambda t: t * 1000 + 999), {}, ROWS),
    "microseconds": (timed(lambda t: t * 10**6), {}, ROWS),
    "nanoseconds": (timed(lambda t: t * 10**9), {}, ROWS),
    "decimal seconds": (timed(lambda t: f"{t}.0"), {}, ROWS),
    "ISO": (timed(iso), {}, ROWS),
    "ISO with zones": (timed(lambda t: iso(t, "+05:30", 19_800)), {}, ROWS),
    "order": (table([row[:3] for row in ROWS], header=HEADER[:3]), {}, NO_TIME),
    "64-bit ids": (table(NUMBERS), {}, NUMBERS),
    "larger ids": (table(HUGE), {}, HUGE),
    "UUIDs": (
        table([(UUID(n // 6), *row[1:]) for n, row in enumerate(ROWS)]),
        {},
        [(UUID(n // 6), *row[1:]) for n, row in enumerate(ROWS)],
    ),
    "likes": (table(LIKES), {}, LIKES),
    "thumbs": (table(rated(lambda n: ("down", "up")[n % 2])), {}, LIKES),
    "0 to 10": (table(rated(lambda n: n % 11)), {}, rated(lambda n: n % 11)),
    "tenths": (
        table(rated(lambda n: n / 10)),
        {"scale": "0:2:0.1"},
        rated(lambda n: n / 10),
    ),
    "unsorted": (table(ROWS[::-1]), {}, ROWS),
    "kept last": (table(TWICE), {"keep": "last"}, [row for row in TWICE if row != ROWS[0]]),
}


def events(folder: PreparedFolder) -> list[tuple]:
    """Return user, item, rating and time of all events, with ids as they were given."""
    ratings, items = folder.ratings, folder.items
    users = folder.user_ids.ids(ratings.user_id)
    return [
        (str(user), str(items[item].item_id), round(rating, 4), time)
        for user, item, rating, time in zip(
            users,
            ratings.item_idx.tolist(),
            ratings.rating.tolist(),
            ratings.timestamp.tolist(),
            strict=True,
        )
    ]


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_table_is_prepared_exactly(tmp_path, name):
    content, options, rows = ORDINARY[name]
    data = content.encode() if isinstance(content, str) else content
    file = tmp_path / "mine.txt"
    file.write_bytes(data)
    said: list[str] = []
    folder = reeltune.prepare(
        file, tmp_path / "out", export=None, notify=said.append, **SMALL, **options
    )
    folder = PreparedFolder.open(folder.path)
    found = events(folder)
    wanted = [(user, item, float(rating), time) for user, item, rating, time in rows]
    if folder.meta["tables"]["times"] == "order of rows":
        found = [(*event[:3], n) for n, event in enumerate(sorted(found, key=lambda e: e[3]))]
    assert sorted(found) == sorted(wanted)
    assert folder.counts["users"] == len({row[0] for row in rows})
    assert folder.counts["items"] == len({row[1] for row in rows})
    assert any(line.startswith("Columns of mine.txt: user=") for line in said)


def test_guesses_are_printed(tmp_path):
    (tmp_path / "mine.csv").write_text(table(rated(lambda n: n % 10 + 1)))
    said: list[str] = []
    folder = reeltune.prepare(tmp_path / "mine.csv", tmp_path / "out", notify=said.append, **SMALL)
    text = "\n".join(said)
    assert "user=user, item=item, rating=rating, time=timestamp" in text
    assert "Scale: 1 to 10 in steps of 1, guessed from 18 ratings" in text
    assert "Liked: 5 or higher" in text  # 10 of 18; from 6 on it is 8 of 18, as near
    assert "6 of 6 items have no title" in text
    assert folder.prompt_settings.scale.max == 10
    assert folder.prompt_settings.threshold == 5
    said.clear()
    (tmp_path / "votes.csv").write_text(table(LIKES))
    reeltune.prepare(tmp_path / "votes.csv", tmp_path / "likes", notify=said.append, **SMALL)
    assert any(line.startswith("Scale: dislikes (0) and likes (1), guessed") for line in said)
    assert any(line.startswith("Liked: 1: ") for line in said)


def test_the_first_odd_year_is_that_of_the_first_item(tmp_path):
    rows = [(*row, f"in {row[1]}") for row in ROWS]
    (tmp_path / "mine.csv").write_text(table(rows, header=(*HEADER, "year")))
    said: list[str] = []
    reeltune.prepare(tmp_path / "mine.csv", tmp_path / "out", notify=said.append, **SMALL)
    assert any("6 items have a year that is none, such as 'in 000X'" in line for line in said)


HOSTILE: dict[str, tuple[str | bytes, dict, str, list[object]]] = {
    "no user": (table(header=("x", *HEADER[1:])), {}, "missing_columns", ["user", "x, item"]),
    "no rating": (table(header=("user", "item", "x", "time")), {}, "missing_columns", ["rating"]),
    "two users": (
        table([(*row, "n") for row in ROWS], header=(*HEADER, "user_id")),
        {},
        "ambiguous_column",
        ["user, user_id", "--columns user="],
    ),
    "column that is not there": (
        table(),
        {"columns": "item=isbn"},
        "missing_columns",
        ["isbn", "user, item, rating"],
    ),
    "unknown role": (table(), {"columns": "reader=user"}, "bad_columns", ["reader"]),
    "Latin-1": (table().replace("X", "\xe9").encode("latin-1"), {}, "not_utf8", ["line 2"]),
    "UTF-16": (table().encode("utf-16"), {}, "not_utf8", ["UTF-16"]),
    "NUL": (table().replace("X", "\0"), {}, "nul_byte", []),
    "Mac": (table(end="\r"), {}, "old_mac_line_ends", []),
    "empty": ("", {}, "empty_file", []),
    "header alone": (table([]), {}, "no_ratings", []),
    "likes alone": (table(rated(lambda n: 1)), {}, "one_label", []),
    "fives alone": (table(rated(lambda n: 5)), {}, "one_label", []),
    "odd scale": (table(rated(lambda n: n * 0.37)), {}, "unclear_scale", ["0.37", "--scale"]),
    "little evidence": (table(rated(lambda n: 9 + n % 2)), {}, "unclear_scale", ["9, 10"]),
    "no scale": (table(), {"scale": "10:1"}, "bad_scale", ["10:1"]),
    "off the scale": (table(), {"scale": "1:4"}, "bad_row", ["line 6", "1 to 4", "--scale"]),
    "threshold off the scale": (table(), {"rating_threshold": 9.0}, "one_label", []),
    "decimal comma": (
        table([*ROWS[:-1], ("u", "i", "3,5", START)], separator=";"),
        {},
        "bad_row",
        ["'3,5'", "line 19"],
    ),
    "duplicates": (table(TWICE), {}, "bad_row", ["line 20", "line 2", "--keep last"]),
    "no id": (table([*ROWS, ("", "1", "3", START)]), {}, "bad_row", ["line 20", "user is empty"]),
    "day or month": (timed(lambda t: "01/02/2015"), {}, "bad_row", ["01/02/2015", "line 2"]),
    "two units": (
        table([*ROWS[:-1], (*ROWS[-1][:3], START * 1000)]),
        {},
        "bad_row",
        ["line 19", "2100"],
    ),
    "seconds among milliseconds": (
        table([(*row[:3], row[3] * (1000 if n else 1)) for n, row in enumerate(ROWS)]),
        {},
        "bad_row",
        ["line 2", "another unit"],
    ),
    "too few fields": (table([*ROWS, ("u-9", "1")]), {}, "bad_row", ["line 20"]),
    "open quote": (table().replace("u-2", '"u-2', 1), {}, "bad_csv", ["line 14"]),
    "cut off": (table()[:-12], {}, "file_cut_off", ["line 19", "'u-2,005X,2'"]),
    "cut off after a bad row": (table()[:-12].replace(",1,", ",,", 1), {}, "file_cut_off", []),
    "no last line break, and bad dates": (
        table([(*row[:3], "01/01/2014") for row in ROWS])[:-1],
        {},
        "bad_row",
        ["line 2", "the first of 18"],
    ),
    "no last line break, and a comma too many": (
        table([(*row, "") for row in ROWS], header=("user", "item", "rating", "time"))[:-1],
        {},
        "bad_row",
        ["line 2", "the first of 18"],
    ),
    "two delimiters": (
        table(
            [(f"{u};{i}", f"{r};{t}") for u, i, r, t in ROWS], header=("user;item", "rating;time")
        ),
        {},
        "missing_columns",
        [],
    ),
    "decimal commas": (
        table(rated(lambda n: f"{n % 4},5"), separator=";"),
        {},
        "bad_row",
        ["line 2", "'0,5'", "decimal comma"],
    ),
    "decimal commas on a scale": (
        table(rated(lambda n: f"{n % 4},5"), separator=";"),
        {"scale": "0.5:5"},
        "bad_row",
        ["line 2", "decimal comma"],
    ),
    "decimal commas among whole ratings": (
        table(rated(lambda n: f"{n % 4},5" if n % 2 else 1 + n % 4 * 2), separator=";"),
        {},
        "bad_row",
        ["line 3", "'1,5'", "decimal comma"],
    ),
    "no rating is given": (table(rated(lambda _: "")), {}, "bad_row", ["line 2", "empty"]),
    "no rating is on the scale": (
        table(rated(lambda n: 50 + n % 5)),
        {"scale": "1:5"},
        "bad_row",
        ["line 2", "50 is no rating"],
    ),
    "JSON list": (json.dumps([1, 2]), {}, "unreadable_table", ["jq"]),
    "half a character": (jsonl().replace("000X", "\\ud800"), {}, "bad_row", ["line 1"]),
    "broken JSON": (jsonl() + '{"user": \n', {}, "bad_row", ["line 19"]),
    "ratings that are lists": (
        jsonl().replace('"rating": 2', '"rating": [2]'),
        {},
        "bad_row",
        ["expected a number"],
    ),
    "users that are objects": (
        jsonl().replace('"u-1"', '{"name": "u-1"}'),
        {},
        "unsupported_column_type",
        ["line 7", "user"],
    ),
    "items that are lists": (
        jsonl().replace('"000X"', '["000X"]'),
        {},
        "unsupported_column_type",
        ["line 1", "item"],
    ),
    "a long field": (
        table([*ROWS, ("u", f'"{"i" * 140_000}"', 1, START)]),
        {},
        "bad_csv",
        ["131072"],
    ),
    "broken gzip": (gzip.compress(table().encode())[:-20], {}, "unreadable_table", []),
    "spreadsheet": (b"PK\x03\x04" + bytes(40), {}, "unreadable_table", ["CSV"]),
    "broken Parquet": (b"PAR1" + bytes(40), {}, "unreadable_table", []),
}


ODD = ("Leser", "Die Signatur", "Note", "Wann")
ODD_ITEMS = "Die Signatur,Titel\n" + "".join(f"{item:03d}X,Item {item}\n" for item in range(6))


@pytest.mark.parametrize("named", [None, "user=Leser", "time=Wann,rating=Note"])
def test_one_error_names_all_missing_columns_with_a_line_to_copy(tmp_path, named):
    (tmp_path / "mine.csv").write_text(table(header=ODD))
    (tmp_path / "books.csv").write_text(ODD_ITEMS)
    tables = {"ratings": tmp_path / "mine.csv", "items": tmp_path / "books.csv", **SMALL}
    with raises_error(
        DataError, "missing_columns", figures=["mine.csv", "books.csv", *ODD]
    ) as error:
        reeltune.prepare(output=tmp_path / "out", columns=named, **tables)
    words = shlex.split(str(error.value).partition("--columns ")[2])
    prepared = reeltune.prepare(output=tmp_path / "out", columns=words[0].strip(";"), **tables)
    assert prepared.meta["tables"]["columns"] == dict(
        zip(("user", "item", "rating", "time"), ODD, strict=True)
    )
    assert prepared.meta["tables"]["item_columns"] == {"item": ODD[1], "title": "Titel"}


def test_the_line_to_copy_numbers_the_columns_of_a_file_without_a_header(tmp_path):
    rows = [(user, item, rating, str(time)) for user, item, rating, time in ROWS]
    (tmp_path / "mine.csv").write_text(table(rows, header=()))
    with raises_error(DataError, "missing_columns", figures=["user=1,item=2,rating=3,time=4"]):
        reeltune.prepare(tmp_path / "mine.csv", tmp_path / "out", **SMALL)


def test_an_item_of_two_names_is_no_line_to_copy(tmp_path):
    (tmp_path / "mine.csv").write_text(table(header=ODD))
    (tmp_path / "books.csv").write_text(ODD_ITEMS.replace("Die Signatur", "Signatur"))
    with raises_error(DataError, "missing_columns", figures=["one name in both tables"]):
        reeltune.prepare(
            tmp_path / "mine.csv", tmp_path / "out", items=tmp_path / "books.csv", **SMALL
        )


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_table_is_refused(tmp_path, name):
    content, options, code, figures = HOSTILE[name]
    (tmp_path / "mine.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    kind = ConfigError if code in ("bad_columns", "bad_scale") else DataError
    with raises_error(kind, code, figures=figures):
        reeltune.prepare(tmp_path / "mine.csv", tmp_path / "out", **SMALL, **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_missing_line_break_at_the_end_is_one_warning(tmp_path, caplog, end):
    (tmp_path / "mine.csv").write_bytes(table(end=end).removesuffix(end).encode())
    reeltune.prepare(tmp_path / "mine.csv", tmp_path / "out", **SMALL)
    assert sum("line break" in record.getMessage() for record in caplog.records) == 1


def test_an_edition_read_as_tables_gives_the_same_bytes(tmp_path):
    ratings = [rating for user in range(1, 5) for rating in timeline(user, 30, start=10**9 * user)]
    folder = write_edition(tmp_path / "in", ratings, items(30))
    edition = reeltune.prepare(folder, tmp_path / "edition", **SMALL)
    tables = reeltune.prepare(
        folder / "ratings.csv",
        tmp_path / "tables",
        items=folder / "movies.csv",
        scale="0.5:5",
        rating_threshold=4.0,
        **SMALL,
    )
    for name in ("timelines.parquet", "items.parquet", "train.json", "test_raw.jsonl"):
        assert (tables.path / name).read_bytes() == (edition.path / name).read_bytes()


def test_more_values_than_a_scale_has(tmp_path):
    rows = [(f"u{n % 9}", f"i{n}", str(n), START + n) for n in range(150)]
    (tmp_path / "mine.csv").write_text(table(rows))
    with raises_error(DataError, "unclear_scale", figures=[150]):
        reeltune.prepare(tmp_path / "mine.csv", tmp_path / "out", **SMALL)


def test_archive_without_bound_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(table_files, "_LEAST_ALLOWED", 1 << 10)
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(table().encode() + bytes(1 << 20)))
    with raises_error(DataError, "archive_expands_too_far", where="bomb.csv.gz"):
        reeltune.prepare(tmp_path / "bomb.csv.gz", tmp_path / "out", **SMALL)


def test_missing_file_is_named(tmp_path):
    with raises_error(DataError, "table_not_found", where="mine.csv"):
        reeltune.prepare(tmp_path / "mine.csv", tmp_path / "out")


@pytest.mark.parametrize("split", ["time", "items"])
def test_a_split_in_time_needs_times(tmp_path, split):
    (tmp_path / "mine.csv").write_text(table([row[:3] for row in ROWS], header=HEADER[:3]))
    with raises_error(ConfigError, "split_without_times", where="mine.csv"):
        reeltune.prepare(tmp_path / "mine.csv", tmp_path / "out", split=split)


def test_options_of_tables_need_a_table(tmp_path):
    with raises_error(ConfigError, "options_need_a_table", figures=["--scale"]):
        reeltune.prepare(tmp_path, tmp_path / "out", scale="1:10")


ITEMS = "isbn,Book-Title,Year-Of-Publication,author,categories\n" + "".join(
    f'{n:03d}X,"Nine, the ""{n}""\nnovel (1987)",{year},A,Crime|Love\n'
    for n, year in enumerate((1987, 1990, 0, "", "2001.0", 1987))
)


def test_items_with_line_breaks_years_and_genres(tmp_path):
    (tmp_path / "r.csv").write_text(table())
    (tmp_path / "i.csv").write_text(ITEMS)
    said: list[str] = []
    folder = reeltune.prepare(
        tmp_path / "r.csv", tmp_path / "out", items=tmp_path / "i.csv", notify=said.append, **SMALL
    )
    novel = 'Nine, the "{}"\nnovel'
    titles = [(item.title, item.year, item.genres) for item in folder.items]
    assert titles[0] == (novel.format(0), 1987, ("Crime", "Love"))
    assert titles[1] == (novel.format(1) + " (1987)", 1990, ("Crime", "Love"))
    assert [year for _, year, _ in titles] == [1987, 1990, 1987, 1987, 2001, 1987]
    assert any("1 items have a year that is none, such as '0'" in line for line in said)


@pytest.mark.parametrize(
    ("rows", "figures"),
    [
        ("000X,,1999,A,B\n", ["i.csv, line 14", "no title"]),
        (",Nameless,1999,A,B\n", ["i.csv, line 14", "no id"]),
        ("000X,Again,1999,A,B\n", ["i.csv, line 14", "already in line 2"]),
        ("006X,Two fields\n", ["i.csv, line 14", "fields"]),
    ],
)
def test_bad_item_stops_or_is_dropped_and_counted(tmp_path, rows, figures):
    (tmp_path / "r.csv").write_text(table())
    (tmp_path / "i.csv").write_text(ITEMS + rows)
    tables = {"ratings": tmp_path / "r.csv", "items": tmp_path / "i.csv", **SMALL}
    with raises_error(DataError, "bad_row", figures=figures):
        reeltune.prepare(output=tmp_path / "out", **tables)
    folder = reeltune.prepare(output=tmp_path / "out", skip_bad_rows=True, **tables)
    assert (folder.counts["items"], folder.counts["items_dropped"]) == (6, 1)


def test_rating_of_an_unknown_item_is_a_bad_row(tmp_path):
    (tmp_path / "r.csv").write_text(table([*ROWS, ("u-0", "x", "3", START)]))
    (tmp_path / "i.csv").write_text(ITEMS)
    tables = {"ratings": tmp_path / "r.csv", "items": tmp_path / "i.csv", **SMALL}
    with raises_error(DataError, "bad_row", where="r.csv, line 20", figures=["item x", "i.csv"]):
        reeltune.prepare(output=tmp_path / "out", **tables)
    folder = reeltune.prepare(output=tmp_path / "out", skip_bad_rows=True, **tables)
    assert folder.meta["dropped"]["unknown_item"]["count"] == 1
    assert len(folder.ratings) == 18


def test_titles_may_be_columns_of_the_ratings(tmp_path):
    rows = [(*row, f"Title {row[1]} (1999)" if int(row[1][:3]) else "") for row in ROWS]
    (tmp_path / "mine.tsv").write_text(table(rows, "\t", (*HEADER, "title")))
    folder = reeltune.prepare(tmp_path / "mine.tsv", tmp_path / "out", **SMALL)
    found = [(item.item_id, item.title, item.year) for item in folder.items[:2]]
    assert found == [("000X", "000X", None), ("001X", "Title 001X", 1999)]


def test_skipped_rows_are_counted_by_reason(tmp_path):
    bad = [("u-0", "000X", "9", START), ("u-9", "1", "x", START), ("u-9", "", "3", START)]
    (tmp_path / "mine.csv").write_text(table([*ROWS * 1, *bad]))
    folder = reeltune.prepare(
        tmp_path / "mine.csv", tmp_path / "out", scale="1:5", skip_bad_rows=True, **SMALL
    )
    assert {name: d["count"] for name, d in folder.meta["dropped"].items()} == {
        "empty_value": 1,
        "not_a_number": 1,
        "rating_off_scale": 1,
    }
    assert folder.counts["ratings_in_source"] == folder.counts["events"] + 3
    assert folder.counts["users"] == 3  # u-9 has no good rating


def test_replaced_ratings_are_counted(tmp_path):
    (tmp_path / "mine.csv").write_text(table(TWICE))
    folder = reeltune.prepare(tmp_path / "mine.csv", tmp_path / "out", keep="last", **SMALL)
    assert folder.meta["dropped"]["replaced_rating"]["count"] == 1
    assert folder.meta["dropped"]["replaced_rating"]["first"][0]["line"] == 2


FRAME = pl.DataFrame(
    {
        "user": [n // 6 for n in range(18)],
        "item": [f"{n % 6:03d}X" for n in range(18)],
        "rating": pl.Series([n % 5 + 1 for n in range(18)], dtype=pl.Float32),
        "date": pl.from_epoch(pl.Series([START + n for n in range(18)])),
    }
)


def test_frames_keep_their_types(tmp_path):
    folder = reeltune.prepare(FRAME, tmp_path / "out", **SMALL)
    assert folder.meta["ids"] == {"user": "number", "item": "text"}
    assert events(folder)[0] == ("0", "000X", 1.0, START)
    assert sorted(time for *_, time in events(folder)) == [START + n for n in range(18)]


def test_ratings_with_decimals_are_those_of_the_scale(tmp_path):
    wanted = [(10 + 37 * n % 91) / 10 for n in range(18)]
    stored = [rating + (-1) ** n * 4e-6 for n, rating in enumerate(wanted)]
    frame = FRAME.with_columns(pl.Series("rating", stored))
    folder = reeltune.prepare(frame, tmp_path / "out", scale="1:10:0.1", **SMALL)
    raw = [json.loads(line) for line in (folder.path / "test_raw.jsonl").read_text().splitlines()]
    assert raw and all(row["rating"] in wanted for row in raw)
    assert {r for row in raw for r in row["history"]["rating"]} <= set(wanted)


def test_parquet_and_csv_of_one_frame_are_prepared_alike(tmp_path):
    FRAME.write_parquet(tmp_path / "a.parquet")
    FRAME.write_csv(tmp_path / "a.csv")
    tables = [
        reeltune.prepare(tmp_path / name, tmp_path / f"out-{name}", **SMALL).path
        for name in ("a.parquet", "a.csv")
    ]
    first, second = (Path(path, "timelines.parquet").read_bytes() for path in tables)
    assert first == second


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("user", [n / 2 for n in range(18)]),
        ("user", [n > 3 for n in range(18)]),
        ("rating", [[n] for n in range(18)]),
        ("date", [b"x"] * 18),
    ],
)
def test_columns_of_other_types_are_refused(tmp_path, column, values):
    frame = FRAME.with_columns(pl.Series(column, values))
    with raises_error(DataError, "unsupported_column_type", figures=[column]):
        reeltune.prepare(frame, tmp_path / "out", **SMALL)


def test_missing_value_of_a_frame_names_its_row(tmp_path):
    frame = FRAME.with_columns(pl.Series("item", [None, *FRAME["item"][1:]]))
    with raises_error(DataError, "bad_row", where="ratings, row 1", figures=["item is empty"]):
        reeltune.prepare(frame, tmp_path / "out", **SMALL)


def test_whole_users_and_items_with_ids_of_text_are_held_out(tmp_path):
    rows = [(f"u-{u}", f"{i:03d}X", str(1 + i % 5), START + i) for u in range(10) for i in range(6)]
    (tmp_path / "a.csv").write_text(table(rows))
    many = {**SMALL, "export": None}
    users = reeltune.prepare(tmp_path / "a.csv", tmp_path / "users", split="users", **many)
    by_hash = sorted(
        {user for user, *_ in rows}, key=lambda u: sha256(f"held-out users: {u}".encode()).digest()
    )
    t = users.timelines
    for split, expected in (("validation", by_hash[-4:-2]), ("test", by_hash[-2:])):
        assert set(users.user_ids.ids(t.user_id[t.split == split])) == set(expected)
    items = reeltune.prepare(tmp_path / "a.csv", tmp_path / "items", split="items", **many)
    t = items.timelines
    for split, expected in (("validation", "004X"), ("test", "005X")):
        assert set(items.item_ids.ids(items.rated_item_id[t.split == split])) == {expected}
