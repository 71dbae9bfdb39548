"""The output folder is whole or untouched, and never somebody else's."""

import subprocess
import sys
from pathlib import Path

import pytest

from reeltune.data import prepare as pipeline
from reeltune.data.prepare import prepare
from reeltune.data.settings import PrepareSettings
from reeltune.errors import DataError, RunError
from reeltune.fetch.network_errors import disk_errors
from reeltune.files import atomic_folder, is_temporary
from tests.errors import raises_error

from .editions import Rating, items, timeline, write_edition

FILES = ["items.parquet", "meta.json", "timelines.parquet"]

KILLED = """
import sys, time
from pathlib import Path
from reeltune.files import atomic_folder
with atomic_folder(Path(sys.argv[1])) as folder:
    (folder / "timelines.parquet").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""

FULL_DISK = """
import resource, sys
from pathlib import Path
from reeltune.data.prepare import prepare
from reeltune.data.settings import PrepareSettings
from reeltune.errors import DataError

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    prepare(Path(sys.argv[1]), PrepareSettings(Path(sys.argv[2])))
except DataError as error:
    print(error.code, error.where, error)
"""


@pytest.fixture
def source(tmp_path):
    return write_edition(tmp_path / "in", timeline(1, 60), items(60))


@pytest.fixture
def place(tmp_path):
    """A folder that holds nothing but the output."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_error_midway_leaves_the_old_folder_intact(source, place, monkeypatch) -> None:
    prepare(source, PrepareSettings(place / "out"))
    before = content(place / "out")

    def full_disk(*_args) -> None:
        raise OSError(28, "No space left on device", "train.json")

    monkeypatch.setattr(pipeline, "export_json", full_disk)
    with raises_error(
        DataError, "read_write_failed", where="train.json", figures=["No space left on device"]
    ):
        prepare(source, PrepareSettings(place / "out", history_len=10))
    assert content(place / "out") == before
    assert names(place) == ["out"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits of a process")
@pytest.mark.parametrize(("limit", "stopped"), [(100, "timelines.parquet"), (8_000, "out")])
def test_a_full_disk_is_explained_and_leaves_nothing(source, place, limit, stopped) -> None:
    """The lower limit stops the first parquet file, the higher one the JSON."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(source), str(place / "out"), str(limit)],
        capture_output=True,
        text=True,
        check=True,
    )
    code, where, _ = done.stdout.split(maxsplit=2)
    assert (code, Path(where).name) == ("read_write_failed", stopped)
    assert "File too large" in done.stdout
    assert names(place) == []


def test_an_interrupt_midway_leaves_nothing(source, place, monkeypatch) -> None:
    def interrupt(*_args) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "check_invariants", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, PrepareSettings(place / "out"))
    assert names(place) == []


def test_a_reader_that_went_away_is_no_fault_of_the_disk(source, place) -> None:
    def tell(line: str) -> None:
        raise BrokenPipeError(line)

    with pytest.raises(BrokenPipeError):
        prepare(source, PrepareSettings(place, history_len=2), notify=tell)
    with pytest.raises(BrokenPipeError), disk_errors(place):
        tell("")
    assert not any(place.iterdir())


def test_what_a_killed_run_left_is_removed_by_the_next(source, place) -> None:
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(place / "out")], stdout=subprocess.PIPE
    )
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"ready\n"
    killed.kill()
    killed.wait()
    killed.stdout.close()
    # The temporary and its lock, and the lock of the output.
    assert [is_temporary(name) for name in names(place)] == [True, True, False]
    prepare(source, PrepareSettings(place / "out"))
    assert names(place) == ["out"]


def test_folders_of_a_run_that_is_alive_are_left_alone(source, place) -> None:
    alive = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(place / "out")], stdout=subprocess.PIPE
    )
    assert alive.stdout is not None
    assert alive.stdout.readline() == b"ready\n"
    working = names(place)
    holder = f"process {alive.pid} "
    with raises_error(RunError, "folder_in_use", where=str(place / "out"), figures=[holder]):
        prepare(source, PrepareSettings(place / "out"))
    with atomic_folder(place / "other"):
        pass
    assert names(place) == [*working, "other"]
    alive.kill()
    alive.wait()
    alive.stdout.close()


def test_what_only_looks_like_a_leftover_is_kept(source, place) -> None:
    (place / ".out.mine.old").mkdir()
    (place / ".out.x.part").write_text("mine")
    prepare(source, PrepareSettings(place / "out"))
    prepare(source, PrepareSettings(place / "out"))
    assert names(place) == [".out.mine.old", ".out.x.part", "out"]


def test_symbolic_links_are_followed_and_links_to_files_refused(source, place) -> None:
    (place / "disk").mkdir()
    (place / "file").write_text("mine")
    for link, target in (("full", "disk/one"), ("dangling", "disk/two"), ("wrong", "file")):
        (place / link).symlink_to(place / target)
    prepare(source, PrepareSettings(place / "disk" / "one"))
    for link in ("full", "dangling"):
        assert prepare(source, PrepareSettings(place / link, export=None)).path == place / link
        assert (place / link).is_symlink()
    assert [names(place / "disk" / name) for name in ("one", "two")] == [FILES, FILES]
    with raises_error(DataError, "output_not_replaceable", where=str(place / "wrong")):
        prepare(source, PrepareSettings(place / "wrong"))
    assert names(place / "disk") == ["one", "two"]


def test_the_current_folder_is_refused_at_once(place, monkeypatch) -> None:
    monkeypatch.chdir(place)
    with raises_error(RunError, "folder_not_replaceable"):
        prepare(place / "no such source", PrepareSettings(Path()))


def test_prepared_folder_is_replaced(source, place) -> None:
    prepare(source, PrepareSettings(place / "out"))
    prepare(source, PrepareSettings(place / "out", export=None))
    assert names(place / "out") == FILES
    assert (place / "out").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("thesis.txt", "years of work"),
        *(("meta.json", text) for text in ("{}", "[", "[" * 100_000, "\udce9")),
    ],
)
def test_other_folders_are_not_replaced(source, place, name, text) -> None:
    (place / "out").mkdir()
    (place / "out" / name).write_text(text, errors="surrogateescape")
    with raises_error(DataError, "output_not_replaceable", where=str(place / "out")):
        prepare(source, PrepareSettings(place / "out"))
    assert (place / "out" / name).read_text(errors="surrogateescape") == text


def test_prepared_folder_with_other_files_is_not_replaced(source, place) -> None:
    prepare(source, PrepareSettings(place / "out"))
    (place / "out" / "notes.txt").write_text("mine")
    with raises_error(DataError, "output_not_replaceable", figures=["notes.txt"]):
        prepare(source, PrepareSettings(place / "out"))
    assert (place / "out" / "notes.txt").read_text() == "mine"


def test_a_file_is_not_replaced(source, place) -> None:
    (place / "out").write_text("mine")
    with raises_error(DataError, "output_not_replaceable", where=str(place / "out")):
        prepare(source, PrepareSettings(place / "out"))


def test_a_folder_prepared_in_an_older_format_is_replaced(source, place) -> None:
    folder = place / "out"
    folder.mkdir()
    for name in ("timelines.parquet", "films.parquet", "train.json"):
        (folder / name).touch()
    (folder / "meta.json").write_text('{"format_version": 1}')
    prepare(source, PrepareSettings(folder, export=None))
    assert names(folder) == FILES


def test_an_empty_folder_is_filled(source, place) -> None:
    (place / "out").mkdir()
    assert prepare(source, PrepareSettings(place / "out")).path == place / "out"
    assert (place / "out" / "meta.json").is_file()


def test_bad_rows_leave_no_folder_behind(place, tmp_path) -> None:
    source = write_edition(tmp_path / "bad", [*timeline(1, 60), Rating(2, 10, "9", 5)], items(60))
    with raises_error(DataError, "bad_row", where="line 62"):
        prepare(source, PrepareSettings(place / "below" / "out"))
    assert names(place / "below") == []
