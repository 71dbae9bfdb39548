"""Each kind of bad rating stops with one clear message, or is counted and listed."""

import pytest

from reeltune.data.prepare import prepare
from reeltune.data.ratings import CSV_COLUMNS
from reeltune.data.settings import PrepareSettings, SplitSettings
from reeltune.errors import DataError
from tests.errors import raises_error

from .editions import Rating, items, read_timelines, timeline, write_edition

GOOD = timeline(1, 8)
ALL = SplitSettings(val_fraction=0.25, test_fraction=0.25)


def settings(output, **changes) -> PrepareSettings:
    return PrepareSettings(output, history_len=2, split=ALL, **changes)


# The line that is put on line 4 of ratings.csv, its reason, and the figures the message carries.
CASES = [
    ("1,10,4", "field_count", [3, 4]),
    ("1,10,4,5,6", "field_count", [5, 4]),
    ("9,10,,500", "empty_value", ["rating"]),
    ("9,10,4,", "empty_value", ["timestamp"]),
    (",10,4,500", "empty_value", ["userId"]),
    ("nine,10,4,500", "not_a_number", ["userId", "'nine'"]),
    ("9,10.5,4,500", "not_a_number", ["movieId", "'10.5'"]),
    ("9,10,good,500", "not_a_number", ["rating", "'good'"]),
    ("9,10,NaN,500", "not_a_number", ["rating", "'NaN'"]),
    ("9,10,4,964982703.0", "not_a_number", ["timestamp", "'964982703.0'"]),
    ("9,10,4,1e3", "not_a_number", ["timestamp", "'1e3'"]),
    ("99999999999999999999,10,4,500", "not_a_number", ["userId", "'99999999999999999999'"]),
    ("9,10,5.5,500", "rating_off_scale", [5.5, "0.5 to 5.0"]),
    ("9,10,0,500", "rating_off_scale", ["0 is no"]),
    ("9,10,-1,500", "rating_off_scale", ["-1 is no"]),
    ("9,10,inf,500", "rating_off_scale", ["inf is no"]),
    ("9,10,3.7,500", "rating_off_scale", [3.7, "0.5 to 5.0 in steps of 0.5"]),
    ("9,10,4,0", "timestamp_not_positive", ["timestamp 0"]),
    ("9,10,4,-5", "timestamp_not_positive", ["timestamp -5"]),
    ("9,10,4,964982703000", "timestamp_too_large", [964982703000, 1000]),
    ("9,11,4,500", "unknown_item", ["item 11", "movies.csv"]),
    ("1,10,2,500", "duplicate_rating", ["user 1", "item 10", "line 2"]),
]


@pytest.fixture
def bad_edition(tmp_path):
    """An edition whose ratings.csv has one more line, line 4."""

    def write(line: str, layout: str = "csv"):
        source = write_edition(tmp_path / "in", GOOD, items(8), layout)
        path = source / ("ratings.csv" if layout == "csv" else "ratings.dat")
        lines = path.read_text().splitlines()
        lines.insert(3, line)
        path.write_text("\n".join(lines) + "\n")
        return source

    return write


@pytest.mark.parametrize(("line", "reason", "figures"), CASES)
def test_bad_row_stops(tmp_path, bad_edition, line, reason, figures) -> None:
    del reason
    with raises_error(DataError, "bad_row", where="ratings.csv, line 4", figures=figures) as caught:
        prepare(bad_edition(line), settings(tmp_path / "out"))
    assert "--skip-bad-rows" in str(caught.value.hint)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(("line", "reason"), [case[:2] for case in CASES])
def test_bad_row_is_counted_and_listed(tmp_path, bad_edition, line, reason) -> None:
    report = prepare(bad_edition(line), settings(tmp_path / "out", skip_bad_rows=True))
    assert set(report.meta["dropped"]) == {reason}
    dropped = report.meta["dropped"][reason]
    assert dropped["count"] == 1
    assert [(place["file"], place["line"]) for place in dropped["first"]] == [("ratings.csv", 4)]
    counts = report.meta["counts"]
    assert (counts["ratings_in_source"], counts["dropped"], counts["events"]) == (9, 1, 8)
    assert read_timelines(tmp_path / "out")["item_id"].to_list() == [r.item for r in GOOD]


def test_whole_star_editions_refuse_halves(tmp_path, bad_edition) -> None:
    with raises_error(DataError, "bad_row", where="ratings.dat, line 4", figures=[3.5, "1 to 5"]):
        prepare(bad_edition("9::10::3.5::500", "1m"), settings(tmp_path / "out"))


def test_first_duplicate_in_the_file_is_kept(tmp_path, bad_edition) -> None:
    prepare(bad_edition("1,10,0.5,5"), settings(tmp_path / "out", skip_bad_rows=True))
    kept = read_timelines(tmp_path / "out").row(0, named=True)
    assert (kept["item_id"], kept["rating"], kept["timestamp"]) == (10, 4.0, GOOD[0].time)


def test_third_rating_of_a_film_is_dropped_too(tmp_path) -> None:
    again = [Rating(1, 20, "5", time) for time in (3, 4)]
    source = write_edition(tmp_path / "in", [*GOOD, *again], items(8))
    report = prepare(source, settings(tmp_path / "out", skip_bad_rows=True))
    places = report.meta["dropped"]["duplicate_rating"]["first"]
    assert [place["line"] for place in places] == [10, 11]


def test_earliest_bad_row_is_named_and_the_others_are_counted(tmp_path, bad_edition) -> None:
    source = bad_edition("9,11,4,500")
    with (source / "ratings.csv").open("a") as stream:
        stream.write("9,10,7,500\n1,10,2,500\n")
    with raises_error(
        DataError, "bad_row", where="ratings.csv, line 4", figures=["item 11", "3 bad rows"]
    ):
        prepare(source, settings(tmp_path / "out"))


def test_list_of_places_is_limited_but_the_count_is_not(tmp_path) -> None:
    bad = [Rating(2, 10, "9", time) for time in range(1, 251)]
    good = [rating for user in range(10, 260) for rating in timeline(user, 10)]
    source = write_edition(tmp_path / "in", [*bad, *good], items(10))
    report = prepare(source, settings(tmp_path / "out", skip_bad_rows=True))
    dropped = report.meta["dropped"]["rating_off_scale"]
    assert dropped["count"] == 250
    assert [place["line"] for place in dropped["first"]] == list(range(2, 102))


@pytest.mark.parametrize(
    ("text", "code", "figures"),
    [
        ("", "empty_file", []),
        ("userId,movieId,rating,timestamp\n", "no_ratings", []),
        ("userId,movieId,rating,timestamp\n\n \n", "no_ratings", []),
        (
            "userId,movieId,rating\n1,10,4\n",
            "missing_columns",
            ["timestamp"],
        ),
        ("user,movieId,stars,timestamp\n1,10,4,5\n", "missing_columns", ["userId and rating"]),
        ("1,10,4,5\n1,20,4,6\n", "missing_columns", ["'1,10,4,5'"]),
        ("userId;movieId;rating;timestamp\n", "missing_columns", [",".join(CSV_COLUMNS)]),
    ],
)
def test_file_that_is_no_ratings_file(tmp_path, text, code, figures) -> None:
    source = write_edition(tmp_path / "in", GOOD, items(8))
    (source / "ratings.csv").write_text(text)
    with raises_error(DataError, code, where="ratings.csv", figures=figures):
        prepare(source, settings(tmp_path / "out", skip_bad_rows=True))


@pytest.mark.parametrize("line", [1, 3])
def test_ratings_that_are_not_utf8(tmp_path, line) -> None:
    source = write_edition(tmp_path / "in", GOOD, items(8))
    lines = (source / "ratings.csv").read_bytes().splitlines()
    lines[line - 1] = b"\xff\xfe,1"
    (source / "ratings.csv").write_bytes(b"\n".join(lines))
    with raises_error(DataError, "not_utf8", where=f"ratings.csv, line {line}"):
        prepare(source, settings(tmp_path / "out"))


def test_nothing_left_after_skipping(tmp_path) -> None:
    rows = [Rating(1, 10 * n, "4", 1_600_000_000_000 + n) for n in range(1, 9)]
    source = write_edition(tmp_path / "in", rows, items(8))
    with raises_error(DataError, "no_ratings", figures=["--skip-bad-rows"]):
        prepare(source, settings(tmp_path / "out", skip_bad_rows=True))


def test_nobody_with_enough_events(tmp_path) -> None:
    source = write_edition(tmp_path / "in", [*timeline(1, 4), *timeline(2, 7)], items(8))
    with raises_error(
        DataError, "timelines_too_short", figures=["user 2", 7, "--history-len to at most 6"]
    ):
        prepare(source, PrepareSettings(tmp_path / "out"))
    with raises_error(DataError, "timelines_too_short", figures=["--min-history to at most 6"]):
        prepare(source, PrepareSettings(tmp_path / "out", min_history=8))


def test_only_one_rating_each(tmp_path) -> None:
    source = write_edition(tmp_path / "in", [*timeline(1, 1), *timeline(2, 1)], items(1))
    with raises_error(DataError, "timelines_too_short", figures=["user 1", 1, "--min-history 0"]):
        prepare(source, PrepareSettings(tmp_path / "out", history_len=1))


def test_a_line_of_tabs_is_a_row_of_nothing_where_tabs_part_fields(tmp_path) -> None:
    source = write_edition(tmp_path / "in", GOOD, items(8), "100k")
    path = source / "u.data"
    path.write_text(path.read_text() + "\t\t\t\n \n")
    with raises_error(DataError, "bad_row", where=f"u.data, line {len(GOOD) + 1}") as caught:
        prepare(source, settings(tmp_path / "out"))
    assert "user_id" in caught.value.message
