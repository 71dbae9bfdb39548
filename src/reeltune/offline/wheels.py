"""Pinned PyPI wheels, downloaded by pip with the user's index, proxy and certificates.

A wheel from any source must have the pinned SHA-256.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reeltune.errors import FetchError
from reeltune.files import file_digest
from reeltune.zips import check_members, copy_member, open_zip

_LINES_SHOWN: Final = 4


@dataclass(frozen=True)
class PinnedWheel:
    """One release of one package, with the SHA-256 and the size of its wheel."""

    package: str
    version: str
    sha256: str
    megabytes: int

    @property
    def requirement(self) -> str:
        """The pin in pip's form: ``package==version``."""
        return f"{self.package}=={self.version}"

    @property
    def hint(self) -> str:
        """How to get the wheel by other means."""
        return (
            f"Or download {self.requirement} elsewhere (pip download --no-deps {self.requirement}) "
            "and give the file with --from"
        )


def run_pip(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run pip and capture its output."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


def get_wheel(wheel: PinnedWheel, scratch: Path, local: Path | None = None) -> Path:
    """Return the verified wheel: ``local``, or a download to ``scratch``.

    Raises:
        FetchError: pip failed, or the wheel is not the pinned one.
    """
    path = local or _download(wheel, scratch)
    if not path.is_file():
        raise FetchError("no such wheel", code="path_not_found", where=str(path), hint=wheel.hint)
    actual = file_digest(path)
    if actual != wheel.sha256:
        raise FetchError(
            f"SHA-256 is {actual}, {wheel.requirement} has {wheel.sha256}",
            code="checksum_mismatch",
            where=str(path),
            hint=wheel.hint,
        )
    return path


def extract_member(archive: Path, member: str, target: Path) -> None:
    """Write one member of a wheel to ``target``.

    Raises:
        FetchError: The wheel cannot be read or has no such member.
    """
    with open_zip(archive, FetchError, "not_a_wheel") as opened:
        if member not in opened.namelist():
            raise FetchError(f"holds no {member}", code="wheel_member_missing", where=str(archive))
        check_members(archive, [opened.getinfo(member)])
        copy_member(opened, opened.getinfo(member), target)


def _download(wheel: PinnedWheel, scratch: Path) -> Path:
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as requirements:
        requirements.write(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
        requirements.flush()
        done = run_pip(
            [
                *(sys.executable, "-m", "pip", "download"),
                *("--no-deps", "--only-binary=:all:", "--no-input", "--progress-bar=off"),
                *("--require-hashes", "--requirement", requirements.name),
                *("--dest", str(scratch)),
            ]
        )
    if done.returncode != 0:
        raise _pip_error(wheel, done)
    wheels = list(scratch.glob("*.whl"))
    if len(wheels) != 1:
        raise FetchError(
            f"pip reported success but left {len(wheels)} wheels instead of one",
            code="pip_left_no_wheel",
            where=wheel.requirement,
            hint=wheel.hint,
        )
    return wheels[0]


def _pip_error(wheel: PinnedWheel, done: subprocess.CompletedProcess[str]) -> FetchError:
    lines = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return FetchError(
            "this environment has no pip",
            code="pip_missing",
            where=sys.executable,
            hint=f"Run: {sys.executable} -m ensurepip. {wheel.hint}",
        )
    output = " | ".join(lines[-_LINES_SHOWN:]) or "no output"
    return FetchError(
        f"pip could not download it (exit code {done.returncode}): {output}",
        code="pip_failed",
        where=wheel.requirement,
        hint=f"Check the network or pip's index settings (pip config list). {wheel.hint}",
    )
