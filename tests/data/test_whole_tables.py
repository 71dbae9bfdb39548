"""Tables that are valid row by row and not as a whole: refused, warned of or read right."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reeltune.data import layouts
from reeltune.data.folder import PreparedFolder
from reeltune.data.prepare import prepare
from reeltune.data.settings import PrepareSettings, SplitSettings
from reeltune.errors import DataError
from tests.errors import raises_error

from .editions import ItemRow, Rating, items, timeline, write_edition

SPLIT = SplitSettings(val_fraction=0.2, test_fraction=0.2)
START = 1_141_508_306  # in 2006
RATINGS = [
    rating for user in (1, 2) for rating in timeline(user, 30, start=START + 10_000_000 * user)
]
HEADER = "userId,movieId,rating,timestamp"


def run(folder: Path, *, skip: bool = False) -> PreparedFolder:
    settings = PrepareSettings(
        folder.parent / "out", history_len=2, split=SPLIT, export=None, skip_bad_rows=skip
    )
    return prepare(folder, settings)


@pytest.fixture
def edition(tmp_path) -> Callable[..., Path]:
    """Write an edition of 60 ratings, each changed by a function."""

    def write(change: Callable[[Rating], Rating] = lambda rating: rating, **options) -> Path:
        return write_edition(tmp_path / "in", map(change, RATINGS), items(30), **options)

    return write


def edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def test_a_plausible_table_has_no_warning(edition) -> None:
    assert run(edition()).meta["warnings"] == []


@pytest.mark.parametrize(
    ("time", "seen"),
    [
        (lambda rating: 20190101 + rating.item // 10, ["20190102", "1970-08-22"]),
        (lambda rating: 1990 + rating.item // 10, ["1991", "2020", "1970-01-01"]),
        (lambda rating: rating.time // 86_400, ["1970-01-01"]),
        (lambda rating: rating.time + 2_500_000_000, ["2085"]),
        (lambda rating: rating.user, ["same timestamp"]),
        (lambda rating: START + rating.user, ["same timestamp"]),
        (lambda rating: 11 if rating.item == 20 else rating.time, ["2 of 60", "film 20", "11"]),
        (
            lambda rating: 4_000_000_000 if rating[:2] == (2, 30) else rating.time,
            ["1 of 60", "film 30 by user 2", "2096"],
        ),
    ],
)
def test_impossible_times_are_warned_of(edition, caplog, time, seen) -> None:
    warnings = run(edition(lambda row: row._replace(time=time(row)))).meta["warnings"]
    assert all(fact in " ".join(warnings) for fact in seen), warnings
    assert all(warning in caplog.text for warning in warnings)


@pytest.mark.parametrize(("rating", "highest"), [("4", "4"), ("2.5", "2.5"), ("3", "3")])
def test_training_rows_of_one_label_are_warned_of(edition, rating, highest) -> None:
    (warning,) = run(edition(lambda row: row._replace(rating=rating))).meta["warnings"]
    assert f"to {highest}." in warning
    assert "--rating-threshold" in warning


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(
    ("rating", "figures"),
    [
        (lambda n: n % 11, ["0 to 10", "divide by 2"]),
        (lambda n: n % 7 + 1, ["1 to 7", "divide by 1.4"]),
        (lambda n: n % 2, ["0 to 1"]),
        (lambda n: int(n > 2), ["0 to 1"]),  # few dislikes, and all of them off the scale
        (lambda n: n % 2 * 2 - 1, ["-1 to 1"]),
        (lambda n: 6 if n % 4 == 0 else 5, ["5 to 6"]),
    ],
)
def test_another_scale_is_named_and_never_dropped(edition, rating, figures, skip) -> None:
    source = edition(lambda row: row._replace(rating=str(rating(row.item // 10))))
    with raises_error(DataError, "bad_row", where="ratings.csv", figures=figures) as caught:
        run(source, skip=skip)
    assert "--skip-bad-rows" not in str(caught.value)


@pytest.mark.parametrize("skip", [False, True])
def test_a_large_share_is_never_dropped(edition, skip) -> None:
    source = edition()
    lines = (source / "movies.csv").read_text().splitlines(keepends=True)
    (source / "movies.csv").write_text("".join(lines[:25]))
    with raises_error(DataError, "bad_row", where="ratings.csv", figures=["12 of 60"]) as caught:
        run(source, skip=skip)
    assert "--skip-bad-rows" not in str(caught.value)


def test_duplicates_may_be_dropped_however_many(edition) -> None:
    source = edition()
    edit(source / "ratings.csv", lambda text: text + text.partition(b"\n")[2])
    assert run(source, skip=True).meta["counts"]["dropped"] == len(RATINGS)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("missing", range(2, 15))
def test_a_last_line_cut_anywhere_is_refused(edition, missing, skip) -> None:
    source = edition()
    edit(source / "ratings.csv", lambda text: text[:-missing])
    with raises_error(DataError, "file_cut_off", where="ratings.csv, line 61"):
        run(source, skip=skip)


@pytest.mark.parametrize("missing", [2, 3, 4, 8, 9, 12, 20])
def test_a_films_file_cut_anywhere_in_its_last_line_is_refused(edition, missing) -> None:
    source = edition()
    edit(source / "movies.csv", lambda text: text[:-missing])
    with raises_error(DataError, "file_cut_off", where="movies.csv, line 31"):
        run(source, skip=True)


@pytest.mark.parametrize("name", ["ratings.csv", "movies.csv"])
def test_a_fault_of_every_row_is_not_that_of_the_last_one(edition, name) -> None:
    source = edition()
    edit(source / name, lambda text: text.replace(b"\n", b",\n").replace(b",\n", b"\n", 1)[:-1])
    with raises_error(DataError, "bad_row", where=f"{name}, line 2"):
        run(source)


def test_complete_files_without_a_last_line_break_are_read(edition) -> None:
    source = edition()
    for name in ("ratings.csv", "movies.csv"):
        edit(source / name, lambda text: text[:-1])
    assert run(source).counts["events"] == len(RATINGS)


@pytest.mark.parametrize(
    ("change", "code", "line"),
    [
        (lambda text: text.replace(b"\n", b"\r"), "old_mac_line_ends", 1),
        (lambda text: text.replace(b"\n", b"\r").replace(b"\r", b"\n", 7), "old_mac_line_ends", 8),
        (lambda text: text.decode().encode("utf-16"), "not_utf8", 1),
        (lambda text: text.decode().encode("utf-16-le"), "nul_byte", 1),
        (lambda text: text + bytes(512), "nul_byte", 62),
        (lambda text: text + b'3,10,"4.0,1141508306\n', "bad_csv", 62),
        (lambda text: text.replace(b"\n", b',"a\nb"\n'), "bad_csv", 1),
    ],
)
@pytest.mark.parametrize("skip", [False, True])
def test_files_that_are_no_lines_of_text_are_refused(edition, change, code, line, skip) -> None:
    source = edition()
    edit(source / "ratings.csv", change)
    with raises_error(DataError, code, where=f"ratings.csv, line {line}"):
        run(source, skip=skip)


def with_column(text: bytes, value: bytes) -> bytes:
    """Add a column before the rating."""
    header, *lines = text.splitlines()
    rows = [header.replace(b"rating", b"note,rating")]
    for line in lines:
        user, item, *rest = line.split(b",")
        rows.append(b",".join([user, item, value, *rest]))
    return b"".join(row + b"\n" for row in rows)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: with_column(text, b'"very, very good"'),
        lambda text: with_column(text, b'"say ""so"", twice"'),
        lambda text: with_column(text, b'""'),
        lambda text: with_column(text, b"x").replace(b"x", b"x" * 200_000, 1),
        lambda text: with_column(text, b'"x"').replace(b"x", b"x,y" * 100_000, 1),
        lambda text: b'"' + text.strip().replace(b",", b'","').replace(b"\n", b'"\n"') + b'"\n',
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text[:200].replace(b"\n", b"\r\n") + text[200:],
        lambda text: text.replace(b"\n", b"\r\r\n"),
        lambda text: text + b"\n \n\n",
        lambda text: text.replace(b"userId,movieId,rating", b"User_ID, MOVIEID ,Rating"),
    ],
)
def test_unusual_but_valid_files_are_read_right(edition, tmp_path, change) -> None:
    source = edition()
    expected = run(source).ratings
    edit(source / "ratings.csv", change)
    found = run(source).ratings
    for name in ("user_id", "item_idx", "rating", "timestamp"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()


@pytest.mark.parametrize(
    ("line", "figures"),
    [
        ('3,10,"4,5",1141508306', ["'4,5'"]),
        ("3,10,4\x1b[31m,1141508306", [r"\x1b"]),
        (HEADER, ["header"]),
        ("3,10,4," + "9" * 5000, ["'999"]),
        ("3,10,4," + "0" * 5000, ["timestamp 000"]),
    ],
)
def test_bad_rows_are_named_for_what_they_are(edition, line, figures) -> None:
    source = edition()
    edit(source / "ratings.csv", lambda text: text + line.encode() + b"\n")
    with raises_error(DataError, "bad_row", where="line 62", figures=figures) as caught:
        run(source)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("digits", "divisor"), [(3, 10**3), (6, 10**6), (9, 10**9)])
def test_the_unit_of_large_times_is_named(edition, digits, divisor) -> None:
    source = edition(lambda row: row._replace(time=row.time * 10**digits))
    with raises_error(DataError, "bad_row", where="line 2", figures=[f" {divisor} ", "60 of 60"]):
        run(source)


@pytest.mark.parametrize("time", [20190102, 201901021200, 20190102120000, 637_134_336_000_000_000])
def test_no_division_is_advised_where_it_would_not_give_seconds(edition, time) -> None:
    try:
        warnings = run(edition(lambda row: row._replace(time=time + row.item))).meta["warnings"]
    except DataError as error:
        warnings = [str(error)]
    assert "since 1970" in warnings[0]
    assert "Divide" not in warnings[0]


def test_a_column_named_twice_is_refused(edition) -> None:
    source = edition()
    edit(source / "ratings.csv", lambda text: text.replace(b"userId", b"rating,userId"))
    with raises_error(DataError, "missing_columns", where="line 1", figures=["column rating"]):
        run(source)


@pytest.mark.parametrize(
    "genres",
    [
        "['Action', 'Drama']",
        '["Action", "Drama"]',
        "['Action' 'Drama']",
        "[Action, Drama]",
        "[{'id': 28, 'name': 'Action'}, {'id': 18, 'name': 'Drama'}]",
        "Action, Drama",
        "Action; Drama",
        " Action |Drama|",
    ],
)
def test_lists_of_genres_are_split(tmp_path, genres) -> None:
    rows = [ItemRow(10 * n, f"Film {n}", genres) for n in range(1, 31)]
    folder = run(write_edition(tmp_path / "in", RATINGS, rows))
    assert folder.items[0].genres == ("Action", "Drama")
    assert folder.meta["warnings"] == []


@pytest.mark.parametrize("genres", ["Action/Drama", "{Action}", "(Action, Drama]|x"])
def test_genres_that_look_like_lists_are_warned_of(tmp_path, genres) -> None:
    rows = [ItemRow(10 * n, f"Film {n}", genres) for n in range(1, 31)]
    (warning,) = run(write_edition(tmp_path / "in", RATINGS, rows)).meta["warnings"]
    assert "Action" in warning


def test_a_separator_in_a_title_belongs_to_it(tmp_path) -> None:
    rows = [*items(29), ItemRow(300, "Solo :: A :: Life (1999)")]
    folder = run(write_edition(tmp_path / "in", RATINGS, rows, "10m"))
    assert folder.items[-1][1:4] == ("Solo :: A :: Life", 1999, ("Drama",))
    edit(tmp_path / "in" / "movies.dat", lambda text: text.replace(b"Drama\n", b"Drama::\n", 1))
    with raises_error(DataError, "bad_row", where="movies.dat, line 1", figures=[4, 3]):
        run(tmp_path / "in")


def test_a_file_without_a_line_break_at_its_end_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "movies.csv"
    for content, warnings in ((b"a\n", 0), (b"a\r\n", 0), (b"a", 1)):
        path.write_bytes(content)
        assert layouts.check_text(path)[1] == (warnings == 0)
        assert sum(path.name in record.getMessage() for record in caplog.records) == warnings
