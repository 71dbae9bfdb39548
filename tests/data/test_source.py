"""Editions are recognised in folders and zips, and zips cannot write elsewhere."""

import sys
import zipfile
from pathlib import Path

import polars as pl
import pytest

from reeltune.data.folder import PreparedFolder
from reeltune.data.layouts import CSV, DAT_1M, DAT_10M, EDITIONS, TAB_100K, edition_name, recognise
from reeltune.data.prepare import prepare
from reeltune.data.settings import PrepareSettings, SplitSettings
from reeltune.data.source import open_source
from reeltune.errors import ConfigError, DataError
from tests.errors import raises_error

from .editions import ItemRow, items, read_timelines, timeline, write_edition, write_zip

ALL = SplitSettings(val_fraction=0.25, test_fraction=0.25)
RATINGS = [*timeline(7, 8), *timeline(3, 6, start=500)]
ITEMS = [*items(8), ItemRow(5, "Am\u00e9lie (2001)", "Comedy|Romance")]
LAYOUTS = ("csv", "1m", "10m", "100k")


def settings(output: Path, **changes) -> PrepareSettings:
    return PrepareSettings(output, history_len=2, split=ALL, **changes)


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> pl.DataFrame:
    folder = tmp_path_factory.mktemp("expected")
    prepare(write_edition(folder / "ml-25m", RATINGS, ITEMS), settings(folder / "out"))
    return read_timelines(folder / "out")


def test_timelines_are_sorted_by_user_and_time(expected: pl.DataFrame) -> None:
    assert expected["user_id"].to_list() == [3] * 6 + [7] * 8
    assert expected["position"].to_list() == [*range(6), *range(8)]
    assert expected["timestamp"].to_list() == [
        *range(501, 507),
        *range(1_000_001, 1_000_009),
    ]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("layout", "encoding"),
    [
        *((layout, encoding) for layout in LAYOUTS for encoding in ("utf-8", "utf-8-sig")),
        *((layout, "latin-1") for layout in LAYOUTS if layout != "csv"),
    ],
)
def test_layouts_agree(tmp_path, expected, layout, encoding, newline) -> None:
    source = write_edition(
        tmp_path / "in", RATINGS, ITEMS, layout, encoding=encoding, newline=newline
    )
    report = prepare(source, settings(tmp_path / "out"))
    assert read_timelines(tmp_path / "out").equals(expected)
    assert report.meta["layout"] == layout
    amelie = PreparedFolder.open(tmp_path / "out").items[0]
    assert amelie[:4] == (5, "Am\u00e9lie", 2001, ("Comedy", "Romance"))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("inside", ["", "ml-inside/", "a/b/"])
def test_zip_equals_folder(tmp_path, expected, layout, inside) -> None:
    source = write_edition(tmp_path / "in", RATINGS, ITEMS, layout)
    archive = write_zip(tmp_path / "ml-zipped.zip", source, inside)
    report = prepare(archive, settings(tmp_path / "out"))
    assert read_timelines(tmp_path / "out").equals(expected)
    assert (
        report.meta["edition"] == {"": "ml-zipped", "ml-inside/": "ml-inside", "a/b/": "b"}[inside]
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "ml-zipped.zip", "out"]


def test_edition_in_a_folder_below(tmp_path, expected) -> None:
    write_edition(tmp_path / "in" / "ml-10M100K", RATINGS, ITEMS, "10m")
    report = prepare(tmp_path / "in", settings(tmp_path / "out"))
    assert report.meta["edition"] == "ml-10m"
    assert read_timelines(tmp_path / "out").equals(expected)


def test_quotes_extra_columns_blank_lines_and_no_last_line_break(tmp_path, expected) -> None:
    source = write_edition(tmp_path / "in", [], ITEMS)
    rows = [f'"{r.time}",{r.item},x,"{r.rating}", {r.user} \n\n' for r in RATINGS]
    text = "timestamp,movieId,device,rating,userId\n" + "".join(rows)
    (source / "ratings.csv").write_text(text.rstrip("\n"))
    prepare(source, settings(tmp_path / "out"))
    assert read_timelines(tmp_path / "out").equals(expected)


def test_titles_with_quotes_commas_line_breaks_and_accents(tmp_path) -> None:
    titles = ['He said "no", twice', "One\ntwo", "\u00c9t\u00e9, L'", "a::b|c"]
    rows = [ItemRow(n, f"{title} (1999)") for n, title in enumerate(titles)]
    source = write_edition(tmp_path / "in", timeline(1, 8), [*rows, *items(8)])
    prepare(source, settings(tmp_path / "out"))
    found = PreparedFolder.open(tmp_path / "out").items[: len(titles)]
    assert [item.title for item in found] == titles


@pytest.mark.parametrize(("scale", "layout"), [((1.0, 5.0), "1m"), ((0.5, 5.0), "10m")])
def test_scale_of_the_edition_reaches_the_prompt(tmp_path, scale, layout) -> None:
    prepare(write_edition(tmp_path / "in", RATINGS, ITEMS, layout), settings(tmp_path / "out"))
    prompt = PreparedFolder.open(tmp_path / "out").prompt_settings
    assert (prompt.scale_min, prompt.scale_max) == scale


def test_dat_files_alone_need_a_hint(tmp_path) -> None:
    source = write_edition(tmp_path / "in", RATINGS, ITEMS, "1m")
    (source / "users.dat").unlink()
    with raises_error(
        DataError, "ambiguous_edition", where="in", figures=["--edition ml-1m", "--edition ml-10m"]
    ):
        prepare(source, settings(tmp_path / "out"))
    assert prepare(source, settings(tmp_path / "out", edition="10M")).meta["layout"] == "10m"
    named = source.rename(tmp_path / "ml-1m")
    assert prepare(named, settings(tmp_path / "out")).meta["layout"] == "1m"
    assert prepare(named, settings(tmp_path / "out", edition="10m")).meta["layout"] == "10m"


def test_edition_that_contradicts_the_files(tmp_path) -> None:
    source = write_edition(tmp_path / "in", RATINGS, ITEMS)
    with raises_error(ConfigError, "edition_mismatch", where="in", figures=["100k", "u.item"]):
        prepare(source, settings(tmp_path / "out", edition="100k"))


@pytest.mark.parametrize(
    ("written", "code", "named"),
    [
        ({"ratings.csv"}, "edition_incomplete", ["movies.csv missing"]),
        ({"u.item"}, "edition_incomplete", ["u.data missing"]),
        ({"movies.dat", "users.dat"}, "edition_incomplete", ["ratings.dat missing"]),
        ({"notes.txt"}, "no_edition_found", ["ratings.csv", "movies.dat", "u.item"]),
        (set(), "no_edition_found", []),
    ],
)
def test_missing_files_are_named(tmp_path, written, code, named) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in written:
        (source / name).touch()
    with raises_error(DataError, code, where=str(source), figures=named):
        prepare(source, settings(tmp_path / "out"))


def test_two_editions_below_are_ambiguous(tmp_path) -> None:
    for name in ("one", "two"):
        write_edition(tmp_path / "in" / name, RATINGS, ITEMS)
    with raises_error(DataError, "several_editions", figures=["one, two"]):
        prepare(tmp_path / "in", settings(tmp_path / "out"))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("100K", "ml-100k"),
        ("ml-10M100K", "ml-10m"),
        ("latest-small", "ml-latest-small"),
        ("x", "x"),
    ],
)
def test_edition_names(given, name) -> None:
    assert edition_name(given) == name


def test_known_editions_are_recognised_by_their_files() -> None:
    extra = {DAT_1M: {"users.dat"}, DAT_10M: {"tags.dat"}, CSV: {"tags.csv"}, TAB_100K: {"u.user"}}
    for layout in set(EDITIONS.values()):
        names = frozenset(layout.files) | extra[layout]
        assert recognise(names, "folder", None) is layout


@pytest.fixture
def archive(tmp_path):
    source = write_edition(tmp_path / "in", timeline(1, 40), items(40))
    return write_zip(tmp_path / "edition.zip", source)


@pytest.mark.parametrize("inside", ["a//", "./", "in\\", "C:\\data\\", "/etc/", "a\x1b[31m/"])
def test_odd_paths_in_a_zip_are_read(tmp_path, inside) -> None:
    source = write_edition(tmp_path / "in", timeline(1, 40), items(40))
    archive = write_zip(tmp_path / "odd.zip", source, inside)
    with open_source(archive, None, tmp_path) as opened:
        assert opened.ratings.read_bytes() == (source / "ratings.csv").read_bytes()
        assert opened.edition.isprintable()


@pytest.mark.slow
def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, archive) -> None:
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("more/tags.csv", bytes(101 << 20))  # not needed, so not unpacked
    prepare(archive, PrepareSettings(tmp_path / "out"))
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 27] = 7  # the size in the directory is now 112 MB
    archive.write_bytes(data)
    with raises_error(
        DataError, "zip_expands_too_far", where=str(archive), figures=["104,857,600"]
    ):
        prepare(archive, PrepareSettings(tmp_path / "out"))
    assert left_behind(tmp_path) == ["edition.zip", "out"]


def test_a_needed_member_that_is_there_twice_is_refused(tmp_path, archive) -> None:
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(".//ratings.csv", "another")
    with raises_error(DataError, "bad_zip", where=str(archive), figures=["ratings.csv", 2]):
        prepare(archive, PrepareSettings(tmp_path / "out"))


def test_the_name_of_an_edition_can_be_written(tmp_path) -> None:
    source = write_edition(tmp_path / "films\x1b", timeline(1, 40), items(40))
    edition = prepare(source, PrepareSettings(tmp_path / "out")).meta["edition"]
    assert edition == "films\N{REPLACEMENT CHARACTER}"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_paths_that_are_not_utf8_are_refused(tmp_path) -> None:
    source = write_edition(tmp_path / "films\udce9", timeline(1, 40), items(40))
    good = write_edition(tmp_path / "films", timeline(1, 40), items(40))
    for paths in ((source, tmp_path / "out"), (good, tmp_path / "\udce9" / "out")):
        with raises_error(DataError, "path_not_utf8", figures=["\\udce9"]):
            prepare(paths[0], PrepareSettings(paths[1]))
    assert left_behind(tmp_path) == ["films", "films\udce9"]


def left_behind(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "in")


def test_truncated_zip(tmp_path, archive) -> None:
    archive.write_bytes(archive.read_bytes()[:-30])
    with raises_error(DataError, "not_a_zip", where=str(archive)):
        prepare(archive, PrepareSettings(tmp_path / "out"))
    assert left_behind(tmp_path) == ["edition.zip"]


def test_damaged_member(tmp_path, archive) -> None:
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        offset = opened.getinfo("ratings.csv").header_offset + 60
    data[offset : offset + 20] = bytes(20)
    archive.write_bytes(data)
    with raises_error(DataError, "bad_zip", where=str(archive)):
        prepare(archive, PrepareSettings(tmp_path / "out"))
    assert left_behind(tmp_path) == ["edition.zip"]


def test_members_that_point_outside_stay_inside(tmp_path, archive) -> None:
    hostile = tmp_path / "hostile.zip"
    with zipfile.ZipFile(archive) as good, zipfile.ZipFile(hostile, "w") as bad:
        for name in good.namelist():
            bad.writestr(f"../../{name}", good.read(name))
    prepare(hostile, PrepareSettings(tmp_path / "deep" / "er" / "out"))
    assert left_behind(tmp_path) == ["deep", "edition.zip", "hostile.zip"]
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["out"]


def test_encrypted_member(tmp_path, archive) -> None:
    data = bytearray(archive.read_bytes())
    central = data.rindex(b"PK\x01\x02", 0, data.index(b"PK\x05\x06"))
    first = data.index(b"PK\x01\x02")
    for start in {first, central}:
        data[start + 8] |= 1
    archive.write_bytes(data)
    with raises_error(DataError, "encrypted_zip", where=str(archive), figures=["ratings.csv"]):
        prepare(archive, PrepareSettings(tmp_path / "out"))


def test_file_that_is_no_zip(tmp_path) -> None:
    source = write_edition(tmp_path / "in", timeline(1, 40), items(40))
    with raises_error(DataError, "not_a_zip", where="ratings.csv", figures=["--ratings-dir"]):
        prepare(source / "ratings.csv", PrepareSettings(tmp_path / "out"))


def test_no_such_path(tmp_path) -> None:
    with raises_error(DataError, "ratings_not_found", where=str(tmp_path / "nowhere")):
        prepare(tmp_path / "nowhere", PrepareSettings(tmp_path / "out"))
    assert left_behind(tmp_path) == []
