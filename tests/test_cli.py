from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from reeltune import __version__
from reeltune.cli import main, options
from reeltune.cli.options import resolve_config
from reeltune.config import Config, config_hash, config_tree, key_paths, load_config
from reeltune.errors import ConfigError, DataError, ReeltuneError
from tests.errors import error_code

ROOT = Path(__file__).parents[1]
DEFAULT_CONFIG = ROOT / "configs/qwen3_movielens_qlora.yaml"
HEAVY = ("torch", "transformers", "polars", "pydantic", "datasets")
COMMANDS = (
    "init",
    "fetch",
    "prepare",
    "lengths",
    "train",
    "tune",
    "evaluate",
    "compare",
    "check",
    "export",
    "recommend",
    "score",
    "serve",
    "doctor",
    "config",
)


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Run ``reeltune`` in this process: exit code, output and error output."""
    with pytest.raises(SystemExit) as left:
        main(args)
    shown = capsys.readouterr()
    return int(left.value.code or 0), shown.out, shown.err


def python(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_help_loads_nothing_heavy():
    done = python(
        "import sys\n"
        "from reeltune.cli import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "finally:\n"
        f"    print('loaded:', [m for m in {HEAVY} if m in sys.modules])\n"
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert not [command for command in COMMANDS if f" {command} " not in out]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert f" {command} " in next(line for line in out.splitlines() if "Usage:" in line)


@pytest.mark.slow
def test_every_script_is_a_command_with_help():
    scripts = sorted((ROOT / "scripts").glob("*.py"))
    assert {script.stem for script in scripts} == {
        "finetune_lora",
        "prepare_movielens",
        "check_seq_len",
        "infer_lora",
    }
    done = python(
        "import runpy, sys\n"
        "for script in list(sys.argv[1:]):\n"
        "    sys.argv = [script, '--help']\n"
        "    try:\n"
        "        runpy.run_path(script, run_name='__main__')\n"
        "    except SystemExit as left:\n"
        "        print('left:', left.code)\n",
        *map(str, scripts),
    )
    assert done.stdout.count("left: 0") == len(scripts), done.stderr
    for command in ("train", "prepare", "lengths", "compare"):
        assert f" {command} [OPTIONS]" in done.stdout


def test_version(capsys: pytest.CaptureFixture[str]):
    assert run(capsys, "--version") == (0, f"reeltune {__version__}\n", "")


def test_a_negative_timeout_is_wrong_usage(capsys: pytest.CaptureFixture[str]):
    code, _, err = run(capsys, "tune", "--timeout", "-1")
    assert code == 2
    assert "--timeout" in err


def test_an_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]):
    code, _, err = run(capsys, "trian")
    assert code == 2
    assert "trian" in err


@pytest.mark.parametrize(
    ("args", "kind"),
    [
        (["config", "show", "--config", "absent.yaml"], ConfigError),
        (["lengths", "--set", "data.prepared_dir=absent"], DataError),
    ],
)
def test_an_error_is_one_line_and_the_exit_code_of_its_kind(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    args: list[str],
    kind: type[ReeltuneError],
):
    monkeypatch.chdir(ROOT)
    code, out, err = run(capsys, *args)
    assert (code, out) == (kind.exit_code, "")
    assert re.match(r"error\[\w*\]: absent", err)
    assert len(err.splitlines()) == 1


def test_a_file_the_system_refuses_is_one_line_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "data/there")

    monkeypatch.setattr("reeltune.config.load_config", refused)
    code, out, err = run(capsys, "config", "show")
    assert (code, out) == (ReeltuneError.exit_code, "")
    assert error_code(err) == "os_error"
    assert err.startswith("error[os_error]: data/there: Permission denied")
    assert len(err.splitlines()) == 1


def failing_with_debug(place: int) -> subprocess.CompletedProcess[str]:
    args = ["config", "show", "--config", "absent.yaml"]
    return python("from reeltune.cli import main; main()", *args[:place], "--debug", *args[place:])


@pytest.mark.parametrize("place", [0, 1, 4])
def test_debug_anywhere_shows_the_traceback(place: int):
    err = failing_with_debug(place).stderr
    assert err.startswith("Traceback")
    assert "reeltune.errors.ConfigError: absent.yaml: " in err


def test_debug_keeps_the_exit_code():
    assert failing_with_debug(4).returncode == ConfigError.exit_code


def test_config_show_prints_the_resolved_values(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    file = tmp_path / "config.yaml"
    file.write_text("train: {batch_size: 3}\n", encoding="utf-8")
    args = ("--config", str(file), "--set", "train.seed=7", "--set", "lora.r=4")
    code, out, _ = run(capsys, "config", "show", *args)
    expected = load_config(file, ["train.seed=7", "lora.r=4"])
    assert code == 0
    assert yaml.safe_load(out) == config_tree(expected)
    assert out.splitlines()[-1] == f"# sha256 {config_hash(expected)}"


def test_config_show_takes_the_default_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(ROOT)
    assert yaml.safe_load(run(capsys, "config", "show")[1]) == config_tree(
        load_config(DEFAULT_CONFIG)
    )


def test_config_schema_knows_every_key(capsys: pytest.CaptureFixture[str]):
    code, out, _ = run(capsys, "config", "schema")
    schema = json.loads(out)
    assert code == 0
    assert schema["additionalProperties"] is False
    found = []
    for section in schema["properties"]:
        definition = schema["$defs"][type(getattr(Config(), section)).__name__]
        assert definition["additionalProperties"] is False
        found += [f"{section}.{key}" for key in definition["properties"]]
    assert found == list(key_paths())


def test_a_flag_wins_over_an_override_of_its_key():
    key, config = "evaluation.max_examples", DEFAULT_CONFIG
    assert resolve_config(config, None, {key: None}) == load_config(config)
    assert resolve_config(config, [f"{key}=5"], {key: None}).evaluation.max_examples == 5
    assert resolve_config(config, [f"{key}=5"], {key: 7}).evaluation.max_examples == 7
    assert (
        resolve_config(config, None, {"evaluation.baselines": False}).evaluation.baselines is False
    )


def test_bars_of_libraries_are_not_drawn_in_a_log():
    done = python(
        "import sys\n"
        "from reeltune.cli import main\n"
        "try:\n"
        "    main(['--version'])\n"
        "except SystemExit:\n"
        "    from tqdm.auto import tqdm\n"
        "    list(tqdm(range(3)))\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_commands_import_is_never_searched_for_garbage(monkeypatch: pytest.MonkeyPatch):
    frozen: list[int] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(len(sys.modules)))
    with options.importing():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert frozen == []  # nothing was imported, and the objects of this process may be garbage
    with options.importing():
        for number in range(200):
            monkeypatch.setitem(sys.modules, f"imported_{number}", options)
    assert frozen == [len(sys.modules)]


def test_garbage_is_collected_again_after_an_import_that_fails():
    with pytest.raises(ModuleNotFoundError), options.importing():
        import_module("reeltune.that_is_not_there")
    assert gc.isenabled()
