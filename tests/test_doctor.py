"""``reeltune doctor``: every check by a simulated machine, and exit codes."""

from __future__ import annotations

import json
import platform
import shutil
from importlib import metadata
from types import SimpleNamespace

import psutil
import pytest
import requests
import torch

from reeltune.cli import main
from reeltune.doctor import Finding, diagnose


@pytest.fixture(autouse=True)
def hub(monkeypatch):
    """A hub whose status a test sets; no request leaves the machine."""
    answer = SimpleNamespace(status_code=200, error=None, calls=0)

    def head(*_args, **_options):
        answer.calls += 1
        if answer.error is not None:
            raise answer.error
        return answer

    monkeypatch.setattr(requests, "head", head)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return answer


def found(name: str) -> Finding:
    (finding,) = [each for each in diagnose() if each.name == name]
    return finding


def run(capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(["doctor", *flags])
    return int(left.value.code or 0), capsys.readouterr().out


def set_versions(monkeypatch: pytest.MonkeyPatch, **versions: str | None) -> None:
    """Change the installed version of packages; None uninstalls."""
    installed = metadata.version

    def version(package: str) -> str:
        changed = versions.get(package, installed(package))
        if changed is None:
            raise metadata.PackageNotFoundError(package)
        return changed

    monkeypatch.setattr(metadata, "version", version)


def test_a_tested_installation_is_healthy(capsys):
    code, out = run(capsys, "--json")
    content = json.loads(out)
    assert (code, content["healthy"]) == (0, True)
    findings = {each["name"]: each for each in content["findings"]}
    assert findings["python"]["value"] == platform.python_version()
    assert findings["torch build"]["value"].startswith(torch.__version__)
    assert all(each["meaning"] for each in findings.values())
    code, out = run(capsys)
    assert code == 0
    assert all(f"{name} " in out for name in findings)


@pytest.mark.parametrize(
    ("versions", "named"), [({"polars": "1.9.9"}, "1.9.9"), ({"polars": None}, "polars")]
)
def test_an_old_or_missing_core_package_is_a_problem(monkeypatch, capsys, versions, named):
    set_versions(monkeypatch, **versions)
    finding = found("packages")
    assert (finding.status, named in finding.value) == ("problem", True)
    assert finding.remedy is not None
    assert "pip install" in finding.remedy
    code, out = run(capsys, "--json")
    assert (code, json.loads(out)["healthy"]) == (1, False)


def test_a_missing_extra_is_a_note_with_its_remedy(monkeypatch, capsys):
    set_versions(monkeypatch, trl=None, datasets="1.0")
    finding = found("extra train")
    assert finding.status == "note"
    assert "trl" in finding.value
    assert "datasets 1.0" in finding.value
    assert 'pip install --upgrade "reeltune[train]"' in str(finding.remedy)
    assert run(capsys)[0] == 0


def test_an_old_python_is_a_problem(monkeypatch):
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.4")
    assert (found("python").status, found("python").value) == ("problem", "3.10.4")


@pytest.mark.parametrize("bfloat16", [True, False])
def test_a_gpu_is_shown_with_its_number_types(monkeypatch, bfloat16):
    properties = SimpleNamespace(name="A GPU", major=7, minor=5, total_memory=16 << 30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bfloat16)
    gpu = found("gpu 0")
    assert gpu.value == "A GPU, 16.0 GiB, compute capability 7.5"
    assert gpu.meaning.endswith("not bfloat16") is not bfloat16


def test_a_missing_compiler_is_a_note(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert (found("compiler").status, found("compiler").value) == ("note", "none")
    assert found("compiler").remedy is not None


def test_little_space_and_memory_are_notes(monkeypatch):
    usage = SimpleNamespace(total=100 << 30, used=99 << 30, free=1 << 30)
    memory = SimpleNamespace(total=8 << 30, available=2 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    for name, figure in (("disk here", "1.0"), ("disk of models", "1.0"), ("memory", "2.0 of 8.0")):
        finding = found(name)
        assert (finding.status, finding.value.startswith(figure)) == ("note", True)
        assert finding.remedy is not None


def test_the_hub_answers_refuses_or_is_offline(monkeypatch, hub, capsys):
    assert found("model hub").status == "ok"
    hub.status_code = 403
    assert (found("model hub").status, "403" in found("model hub").value) == ("note", True)
    hub.error = requests.ConnectionError("no route")
    finding = found("model hub")
    assert (finding.status, "ConnectionError" in finding.value) == ("note", True)
    assert run(capsys)[0] == 0


def test_the_hub_is_not_called_in_offline_mode(monkeypatch, hub):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in found("model hub").value
    assert hub.calls == 0
