"""Where the ratings are: where the user says, or in an edition fetched earlier or right now."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from reeltune.data.layouts import edition_name
from reeltune.errors import ConfigError, DataError

EDITIONS_FOLDER: Final = Path("data/raw")
DEFAULT_EDITION: Final = "ml-latest-small"


def find_ratings(
    ratings_dir: Path | None,
    edition: str | None,
    *,
    download: bool | None,
    say: Callable[[str], None],
) -> Path:
    """Return the folder or zip to read, after fetching the edition if need be.

    Args:
        ratings_dir: Folder or zip the user names; taken as it is.
        edition: The edition wanted otherwise.
        download: Whether an edition that is not there may be fetched. None allows it, but does not
            ask for it when ``ratings_dir`` is given.
        say: Told where the ratings come from when they are fetched.

    Raises:
        ConfigError: ``ratings_dir`` is missing and ``download`` asks to fetch it.
        DataError: The edition is not there and may not be fetched.
        FetchError: There is no such edition, or it could not be had.
    """
    if ratings_dir is not None:
        if download and not ratings_dir.exists():
            raise ConfigError(
                f"{ratings_dir} does not exist, and --download fetches into {EDITIONS_FOLDER} only",
                code="ratings_dir_missing",
                hint="Leave out --ratings-dir to download, or correct it",
            )
        return ratings_dir
    wanted = edition or DEFAULT_EDITION
    folder = EDITIONS_FOLDER / edition_name(wanted)
    if folder.exists():
        return folder
    if download is False:
        raise DataError(
            "no such folder, and --no-download forbids fetching it",
            code="edition_not_downloaded",
            where=str(folder),
            hint=f"Run: reeltune fetch {wanted}, or say with --ratings-dir where the ratings are",
        )
    return _fetch(wanted, folder, say)


def _fetch(wanted: str, folder: Path, say: Callable[[str], None]) -> Path:
    from reeltune.fetch import OFFICIAL_BASE_URL, FetchOptions, fetch_edition, find_edition

    edition = find_edition(wanted)
    say(f"{folder} is missing, so {edition.name} is downloaded (--no-download forbids it)")
    options = FetchOptions(
        base_url=os.environ.get("REELTUNE_MOVIELENS_URL", OFFICIAL_BASE_URL),
        notify=say,
        show_progress=True,
    )
    fetched = fetch_edition(edition, folder.parent, options=options)
    for line in (f"verified: {fetched.verified}", *edition.terms):
        say(line)
    return fetched.folder
