"""What the system and libraries raise about files becomes one line with a code and the path."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file
from tokenizers import Tokenizer

import reeltune
from reeltune.boundary import disk_full, translate, translated_errors
from reeltune.cli import main
from reeltune.errors import DataError, FileError, ReeltuneError, RunError
from reeltune.files import atomic_file
from reeltune.runs.folder import RunFolder
from reeltune.runs.log import LOGGER, logging_to
from tests.errors import error_code, raises_error

MUCH = np.random.default_rng(0).random(100_000)
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full device is Linux's")


def caught(action: Callable[[Path], object], path: Path) -> Exception:
    with pytest.raises(Exception) as raised:  # each library's own
        action(path)
    return raised.value


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", MUCH.tobytes())


WRITERS = {
    "bytes": lambda path: path.write_bytes(MUCH.tobytes()),
    "numpy": lambda path: np.save(path.open("wb"), MUCH),
    "polars": lambda path: pl.DataFrame({"a": MUCH}).write_parquet(path),
    "polars sink": lambda path: pl.LazyFrame({"a": MUCH}).sink_parquet(path),
    "pyarrow": lambda path: pq.write_table(pa.table({"a": MUCH}), path),
    "torch": lambda path: torch.save(torch.tensor(MUCH), path),
    "zip": write_zip,
}


@needs_full
@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_named_whatever_library_writes(writer, tmp_path):
    path = tmp_path / "out.bin"
    path.symlink_to("/dev/full")
    error = translate(caught(WRITERS[writer], path))
    assert isinstance(error, FileError)
    assert error.code == "disk_full"
    assert error.where == str(path)


@pytest.mark.parametrize(
    "text",
    [
        "I/O error: No space left on device (os error 28)",
        "basic_ios::clear: iostream error",
        "(sqlite3.OperationalError) database or disk is full",
        "4000 requested and 0 written",
        "[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0",
    ],
)
def test_a_full_disk_is_known_from_what_libraries_say(text):
    error = translate(RuntimeError(text))
    assert error is not None
    assert error.code == "disk_full"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_known_from_the_cause_of_another_error(number, tmp_path):
    def fail(path: Path) -> None:
        try:
            raise OSError(number, os.strerror(number), str(path))
        except OSError as error:
            raise ValueError("nothing was written") from error

    error = translate(caught(fail, tmp_path / "a"))
    assert error is not None
    assert (error.code, error.where) == ("disk_full", str(tmp_path / "a"))


def test_the_space_is_shown_where_it_is_known(tmp_path):
    text = str(disk_full(str(tmp_path / "not" / "yet"), needed=1_500_000))
    assert re.search(r" 1\.50 MB .* of [\d,.]+ MB\b", text)


def test_a_temporary_has_the_name_it_was_to_get(tmp_path):
    def fail(path: Path) -> None:
        with atomic_file(path) as temporary:
            raise OSError(errno.EIO, "Input/output error", str(temporary))

    error = translate(caught(fail, tmp_path / "table.parquet"))
    assert error is not None
    assert error.where == str(tmp_path / "table.parquet")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENAMETOOLONG, errno.EMFILE])
def test_an_error_of_the_system_keeps_its_words(number, tmp_path):
    error = translate(OSError(number, os.strerror(number), str(tmp_path)))
    assert error is not None
    assert (error.code, error.where) == ("os_error", str(tmp_path))
    assert error.message == os.strerror(number)
    assert isinstance(error, OSError)


READERS = {
    "parquet with polars": pl.read_parquet,
    "parquet with pyarrow": pq.read_table,
    "zip": zipfile.ZipFile,
    "npz": np.load,
    "torch": lambda path: torch.load(path, weights_only=True),
    "safetensors": load_file,
    "tokenizer": lambda path: Tokenizer.from_file(str(path)),
    "json": lambda path: json.loads(path.read_text()),
    "yaml": lambda path: yaml.safe_load(path.read_text()),
    "text": lambda path: path.read_text(encoding="utf-8"),
}
CONTENTS = {
    "cut": b'PK\x03\x04{"a":',
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize: [3\n",
    "latin-1": b'"caf\xe9"',
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_file_is_one_line(reader, content, tmp_path):
    path = tmp_path / "damaged"
    path.write_bytes(CONTENTS[content])
    if reader == "text" and content != "latin-1":
        return
    error = translate(caught(READERS[reader], path))
    assert isinstance(error, FileError)
    assert error.code == "file_damaged"
    assert "\n" not in str(error)
    assert error.where in (str(path), None)
    if reader in ("parquet with polars", "parquet with pyarrow", "zip", "torch", "safetensors"):
        assert error.where == str(path)


def test_a_page_that_pyarrow_cannot_decode_is_damage_and_no_error_of_the_system(tmp_path):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"a": MUCH}), path, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[4:40] = b"\x0f" * 36
    path.write_bytes(content)
    error = translate(caught(lambda p: pq.ParquetFile(p).read(), path))
    assert error is not None
    assert error.code == "file_damaged"
    assert str(error).isprintable()


def test_an_empty_file_of_torch_is_no_abort(tmp_path):
    path = tmp_path / "optimizer.pt"
    path.touch()
    error = translate(caught(READERS["torch"], path))
    assert error is not None
    assert (error.code, error.where) == ("file_damaged", str(path))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't allocate memory: 9 bytes")])
def test_too_little_memory_is_no_bug(error):
    translated = translate(error)
    assert translated is not None
    assert translated.code == "out_of_memory"


def test_bugs_and_our_errors_are_left_as_they_are():
    ours = DataError("bad", code="bad_row")
    for error in (KeyError("a"), ValueError("b"), ours):
        with pytest.raises(type(error)) as raised, translated_errors():
            raise error
        assert raised.value is error
    assert (translate(ours), translate(BrokenPipeError())) == (ours, None)


class HalfBuilt(str):
    """What a frame may hold: reading anything of it fails."""

    __slots__ = ()

    def __len__(self) -> int:
        raise AttributeError("not built yet")


class Lost:
    @property
    def __dict__(self) -> dict[str, object]:  # type: ignore[override]
        raise RuntimeError("the connection is closed")


def fail_in_a_path(_: Path) -> None:
    Path(5)  # type: ignore[arg-type]


def fail_in_odd_frames(given: Path) -> None:
    def inner(self: object, path: object, file: Path) -> None:
        json.loads(f"{{{self is path}")

    inner(Lost(), HalfBuilt("a/b"), given)


def test_what_frames_hold_never_hides_the_error(tmp_path):
    with pytest.raises(TypeError, match="expected str"), translated_errors():
        fail_in_a_path(tmp_path)
    error = translate(caught(fail_in_odd_frames, tmp_path))
    assert error is not None
    assert (error.code, error.where) == ("file_damaged", str(tmp_path))


@pytest.mark.parametrize("given", [{"ratings": 5}, {"output": None}])
def test_an_argument_of_another_type_is_no_error_of_the_translator(given):
    with pytest.raises((TypeError, ReeltuneError)):
        reeltune.prepare(**given)


def test_functions_of_the_api_raise_errors_of_files(monkeypatch):
    def fail(*_: object) -> None:
        raise EOFError("Ran out of input")

    monkeypatch.setattr("reeltune.api.runs.as_config", fail)
    with raises_error(FileError, "file_damaged"):
        reeltune.train()


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(args)
    return int(left.value.code or 0), capsys.readouterr().err


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("reeltune.config.load_config", fail)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EOFError("Ran out of input"), "file_damaged"),
        (pl.exceptions.ComputeError("not parquet"), "file_damaged"),
        (OSError(errno.ENOSPC, "No space left on device", "a"), "disk_full"),
        (MemoryError(), "out_of_memory"),
    ],
)
def test_a_command_shows_one_line(error, code, capsys, monkeypatch):
    failing(monkeypatch, error)
    exit_code, err = run(capsys, "config", "show")
    assert (exit_code, error_code(err), len(err.splitlines())) == (1, code, 1)


def test_a_bug_is_one_line_and_keeps_its_traceback_in_a_file(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    failing(monkeypatch, KeyError("lost"))
    exit_code, err = run(capsys, "config", "show")
    assert (exit_code, error_code(err), len(err.splitlines())) == (1, "unexpected_error", 1)
    (file,) = tmp_path.iterdir()
    assert str(file) in err
    assert file.read_text().splitlines()[-1] == "KeyError: 'lost'"
    assert run(capsys, "config", "show", "--debug")[1].startswith("Traceback")


def test_aborted_is_for_ctrl_c(capsys, monkeypatch):
    failing(monkeypatch, KeyboardInterrupt())
    assert run(capsys, "config", "show") == (130, "Aborted.\n")


def test_an_error_in_a_thread_is_one_line(capsys):
    before = threading.excepthook
    try:
        run(capsys, "--version")
        thread = threading.Thread(target=Path("absent").read_text)
        thread.start()
        thread.join()
        err = capsys.readouterr().err
    finally:
        threading.excepthook = before
    assert re.fullmatch(r"warning\[os_error\]: absent: .*\n", err)


@needs_full
def test_a_full_standard_output_is_one_line(capfd, monkeypatch):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as left:
            main(["config", "show"])
        monkeypatch.undo()
        with pytest.raises(OSError, match="space"):
            full.flush()
            full.write("x")
            full.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
    assert left.value.code == 1
    assert error_code(capfd.readouterr().err) == "disk_full"


@needs_full
def test_a_log_that_cannot_be_written_is_one_warning(capsys, tmp_path):
    log = tmp_path / "training.log"
    log.symlink_to("/dev/full")
    with logging_to(log):
        for step in range(3):
            LOGGER.info("step %d", step)
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if line.startswith("step ")] == [
        "step 0",
        "step 1",
        "step 2",
    ]
    assert out.count(str(log)) == 1
    assert err == ""


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"status": "fini',
        "[1]",
        "{}",
        '{"config": 3}',
        '{"config": {"train": 3}}',
        '{"config": {}, "resumed_from": 3}',
        '{"config": {}, "data": {"files": {"items.parquet": "x"}}}',
        "\0" * 40,
        "[" * 100_000,
        "é".encode("latin-1"),
    ],
)
def test_a_damaged_record_is_named(content, tmp_path):
    file = tmp_path / "run.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with raises_error(RunError, "run_file_damaged", where=str(file)):
        RunFolder(tmp_path).config()
    (tmp_path / "metrics.json").write_bytes(file.read_bytes()[:10])
    if content != "{}":
        with raises_error(RunError, "run_file_damaged", where=str(tmp_path / "metrics.json")):
            RunFolder(tmp_path).metrics()
