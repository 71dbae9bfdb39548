"""Prepare ratings for training."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from reeltune.boundary import translated_errors
from reeltune.data.folder import PreparedFolder
from reeltune.data.settings import PrepareSettings, SplitKind, SplitSettings, parse_time
from reeltune.errors import ConfigError

DEFAULT_OUTPUT = Path("data/movielens_qwen3")


@translated_errors()
def prepare(
    ratings: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] = DEFAULT_OUTPUT,
    *,
    edition: str | None = None,
    download: bool | None = None,
    history_len: int = 15,
    min_history: int | None = None,
    rating_threshold: float = 4.0,
    genres: bool = False,
    domain: str | os.PathLike[str] | Mapping[str, str] | None = None,
    item_text: Sequence[str] = (),
    split: SplitKind = "user",
    val_fraction: float | None = None,
    test_fraction: float | None = None,
    val_from: str | None = None,
    test_from: str | None = None,
    skip_bad_rows: bool = False,
    export: Literal["chat", "alpaca"] | None = "chat",
    notify: Callable[[str], None] = lambda _: None,
) -> PreparedFolder:
    """Turn MovieLens ratings into a prepared folder, as ``reeltune prepare`` does.

    Args:
        ratings: Folder or zip with the ratings; by default that of ``edition`` in ``data/raw``.
        output: Folder to write; an earlier prepared folder there is replaced.
        edition: Name of the edition; by default ml-latest-small, or the name of the folder.
        download: Whether a missing edition may be downloaded; None allows it without ``ratings``.
        history_len: Most events shown before a candidate.
        min_history: Fewest events shown; by default ``history_len``.
        rating_threshold: Lowest rating that counts as liked.
        genres: Whether the exported prompts show genres.
        domain: What prompts and pages call items and ratings: the name of a preset (``film``, the
            default, ``book``, ``game``, ``product``, ``song``), a YAML file, or its words by key.
        item_text: Columns of the films file whose text prompts show under a film.
        split: Hold out the end of each timeline (``user``), the end of the whole period (``time``),
            the newest items (``items``), or some users (``users``).
        val_fraction: Share of examples, items or users in validation; by default 0.05.
        test_fraction: Share of them in test; by default 0.10.
        val_from: First day of validation, an ISO date, for the time split; excludes shares.
        test_from: First day of test.
        skip_bad_rows: Drop and count bad rows instead of stopping at the first.
        export: Format of the JSON files for other tools; None writes none.
        notify: Receives progress, one line at a time.

    Returns:
        The prepared folder, with its ``path``, ``counts`` and ``meta``.

    Raises:
        ConfigError: Arguments contradict each other.
        DataError: The ratings are missing or bad.
        FetchError: The edition could not be downloaded.

    >>> from tempfile import TemporaryDirectory
    >>> from reeltune.offline.synthetic import make_synthetic
    >>> with TemporaryDirectory() as work:
    ...     count = make_synthetic(Path(work, "raw"), users=20, items=60, ratings_per_user=30)
    ...     folder = prepare(Path(work, "raw"), Path(work, "prepared"), history_len=5)
    >>> folder.counts["users"], folder.counts["test"] > 0
    (20, True)
    """
    from reeltune.config.domains import find_domain
    from reeltune.data.prepare import check_replaceable
    from reeltune.data.prepare import prepare as prepare_ratings
    from reeltune.data.source import find_ratings

    dates = val_from is not None or test_from is not None
    shares = val_fraction is not None or test_fraction is not None
    if split == "time" and dates and shares:
        raise ConfigError(
            "dates and shares are both given",
            code="bad_split_dates",
            hint="Leave out --val-fraction and --test-fraction, or --val-from and --test-from",
        )
    default = SplitSettings()
    settings = PrepareSettings(
        output=Path(output),
        edition=edition,
        history_len=history_len,
        min_history=min_history,
        rating_threshold=rating_threshold,
        split=SplitSettings(
            kind=split,
            val_fraction=default.val_fraction if val_fraction is None else val_fraction,
            test_fraction=default.test_fraction if test_fraction is None else test_fraction,
            val_from=parse_time("--val-from", val_from),
            test_from=parse_time("--test-from", test_from),
        ),
        genres=genres,
        item_text=tuple(item_text),
        skip_bad_rows=skip_bad_rows,
        export=export,
        domain=find_domain(domain),
    )
    check_replaceable(settings.output)  # before a download, not after
    given = None if ratings is None else Path(ratings)
    source = find_ratings(given, edition, download=download, notify=notify)
    return prepare_ratings(source, settings, notify=notify)
