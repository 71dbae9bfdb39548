"""``reeltune check``: its lines, its JSON and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reeltune.cli import main
from reeltune.errors import ConfigError, DataError, LeakError
from reeltune.leakage.outcomes import NONE, Check, Finding, Offenders
from tests.errors import error_code
from tests.leakage.plant import failing, named, read_events, row_of, write_events


def check(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Run ``reeltune check``: exit code, output and error output."""
    with pytest.raises(SystemExit) as left:
        main(["check", *map(str, args)])
    shown = capsys.readouterr()
    return int(left.value.code or 0), shown.out, shown.err


@pytest.fixture
def leaking(folder: Path) -> Path:
    rows = read_events(folder)
    rows[30]["liked"] = not rows[30]["liked"]
    write_events(folder, rows)
    return folder


def test_valid_data_print_one_line_per_check(capsys: pytest.CaptureFixture[str], folder: Path):
    code, out, err = check(capsys, folder)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 24
    assert all(line.startswith(("ok ", "not applicable ")) for line in lines)
    assert ["ok", "labels"] in [line.split()[:2] for line in lines]


def test_leak_has_its_exit_code_and_row(capsys: pytest.CaptureFixture[str], leaking: Path):
    code, out, err = check(capsys, leaking)
    user, item, event = row_of(leaking, 30)
    assert code == LeakError.exit_code == 9
    assert f"    user {user}, item {item}, event {event}: " in out
    assert error_code(err) == "leak_found"
    assert len(err.splitlines()) == 1
    for fact in (str(leaking), "1 of 24", "(labels)"):
        assert fact in err


def test_json_of_a_leak(capsys: pytest.CaptureFixture[str], leaking: Path):
    code, out, _ = check(capsys, leaking, "--json")
    found = json.loads(out)
    assert (code, found["ok"], len(found["checks"])) == (9, False, 24)
    (labels,) = [check for check in found["checks"] if check["status"] == "failed"]
    assert labels["check"] == "labels"
    (row,) = labels["offenders"]["first"]
    named_by_check = named(failing(leaking)["labels"])
    assert [(row["user_id"], row["item_id"], row["event"])] == named_by_check
    assert labels["offenders"]["count"] == 1
    assert labels["hint"]


def test_json_of_valid_data(capsys: pytest.CaptureFixture[str], folder: Path):
    code, out, _ = check(capsys, folder, "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)


def test_folder_without_data_is_a_data_error(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    code, _, err = check(capsys, tmp_path)
    assert (code, DataError.exit_code) == (4, 4)
    assert error_code(err) == "nothing_to_check"


def test_data_flag_with_prepared_data_is_a_config_error(
    capsys: pytest.CaptureFixture[str], folder: Path
):
    assert check(capsys, folder, "--data", folder)[0] == ConfigError.exit_code


def test_further_offenders_are_counted():
    findings = [Finding("wrong", event=event) for event in range(1_234)]
    lines = list(Check("rows", "Fix it").result("all", Offenders.of(findings)).lines())
    assert lines[0].split() == ["failed", "rows", "all"]
    assert lines[1:3] == ["    event 0: wrong", "    event 1: wrong"]
    assert lines[-2:] == ["    and 1,229 more", "    hint: Fix it"]
    assert len(list(Check("rows", "Fix it").result("all", NONE).lines())) == 1


@pytest.mark.slow
def test_checking_loads_no_model_library(folder: Path):
    code = (
        "import sys\n"
        "from reeltune.cli import main\n"
        "try:\n"
        f"    main(['check', {str(folder)!r}])\n"
        "finally:\n"
        "    print([m for m in ('torch', 'transformers', 'datasets') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
