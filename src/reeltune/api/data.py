"""Prepare ratings for training."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from reeltune.api.frames import Frame, as_table, is_frame
from reeltune.boundary import translated_errors
from reeltune.config.arguments import checked
from reeltune.data.columns import TAGS
from reeltune.data.folder import PreparedFolder
from reeltune.data.settings import PrepareSettings, SplitKind, SplitSettings, parse_time
from reeltune.errors import ConfigError, DataError, one_line

DEFAULT_OUTPUT = Path("data/movielens_qwen3")


@translated_errors()
@checked
def prepare(
    ratings: str | os.PathLike[str] | Frame | None = None,
    output: str | os.PathLike[str] = DEFAULT_OUTPUT,
    *,
    items: str | os.PathLike[str] | Frame | None = None,
    columns: Mapping[str, str] | str | None = None,
    scale: str | None = None,
    keep: Literal["last"] | None = None,
    edition: str | None = None,
    download: bool | None = None,
    history_len: int = 15,
    min_history: int | None = None,
    rating_threshold: float | None = None,
    genres: bool = False,
    domain: str | os.PathLike[str] | Mapping[str, str] | None = None,
    item_text: Sequence[str] = (),
    split: SplitKind = "user",
    val_fraction: float | None = None,
    test_fraction: float | None = None,
    val_from: str | date | datetime | None = None,
    test_from: str | date | datetime | None = None,
    signals_from: str | os.PathLike[str] | None = None,
    fit: bool = True,
    skip_bad_rows: bool = False,
    export: Literal["chat", "alpaca"] | None = "chat",
    notify: Callable[[str], None] = lambda _: None,
) -> PreparedFolder:
    """Turn ratings into a prepared folder, as ``reeltune prepare`` does.

    Args:
        ratings: A table of ratings: a file (delimited text, JSON Lines or Parquet) or a frame of
            polars or pandas. Or the folder or zip of a MovieLens edition; by default that of
            ``edition`` in ``data/raw``.
        items: A table of the items of a table of ratings, with ids and titles.
        columns: For ``user``, ``item``, ``rating``, ``time``, ``title``, ``year`` and ``genres``
            the name of the column, as a mapping or as ``user=reviewer,item=isbn``. Those that are
            left out are guessed from usual names.
        scale: ``1:10``, ``0.5:5:0.5`` (with the step) or ``like``; by default guessed.
        keep: Keep the ``last`` of several ratings of one item by one user, instead of stopping.
        output: Folder to write; an earlier prepared folder there is replaced.
        edition: Name of the edition; by default ml-latest-small, or the name of the folder.
        download: Whether a missing edition may be downloaded; None allows it without ``ratings``.
        history_len: Most events shown before a candidate.
        min_history: Fewest events shown; by default ``history_len``.
        rating_threshold: Lowest rating that counts as liked. By default 4.0 for an edition, and for
            tables the step with the share of likes nearest to one half.
        genres: Whether the exported prompts show genres.
        domain: What prompts and pages call items and ratings: the name of a preset (``film``, the
            default, ``book``, ``game``, ``product``, ``song``), a YAML file, or its words by key.
        item_text: Columns of the items file whose text prompts show under an item; ``tags`` takes
            the tags given before, from ``tags.csv``.
        split: Hold out the end of each timeline (``user``), the end of the whole period (``time``),
            the newest items (``items``), or some users (``users``).
        val_fraction: Share of examples, items or users in validation; by default 0.05.
        test_fraction: Share of them in test; by default 0.10.
        val_from: First day of validation, a date or ISO text, for the time split; excludes shares.
        test_from: First day of test.
        signals_from: A prepared folder of other people's ratings of the same items: its training
            ratings join the statistics behind all signals, and a copy is kept with the data.
        fit: Fit the hyperparameters of the signal ``expected`` to the training ratings, and use
            them if they are better on validation rows. False keeps the shipped ones.
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

    Ratings of one's own:

    >>> import polars as pl
    >>> reader, book = [r for r in "abcdefgh" for _ in range(10)], [f"b-{i}" for i in range(10)] * 8
    >>> stars = [i % 5 + 1 for i in range(80)]
    >>> books = pl.DataFrame({"reader": reader, "isbn": book, "stars": stars})
    >>> with TemporaryDirectory() as work:
    ...     shares = {"val_fraction": 0.2, "test_fraction": 0.2}
    ...     folder = prepare(books, Path(work), columns="user=reader", min_history=1, **shares)
    ...     folder.counts["users"], folder.items[0].item_id, folder.prompt_settings.threshold
    (8, 'b-0', 3.0)
    """
    from reeltune.config.domains import find_domain
    from reeltune.data.prepare import check_replaceable
    from reeltune.data.prepare import prepare as prepare_ratings
    from reeltune.data.source import find_ratings
    from reeltune.data.table_columns import check_roles, parse_columns
    from reeltune.data.table_values import parse_scale
    from reeltune.data.tables import TableSource

    dates = val_from is not None or test_from is not None
    shares = val_fraction is not None or test_fraction is not None
    if split == "time" and dates and shares:
        raise ConfigError(
            "dates and shares are both given",
            code="bad_split_dates",
            hint="Leave out --val-fraction and --test-fraction, or --val-from and --test-from",
        )
    default = SplitSettings()
    table = _is_table(ratings)
    _refuse_options_of_tables(table, items=items, columns=columns, scale=scale)
    settings = PrepareSettings(
        output=Path(output),
        edition=edition,
        history_len=history_len,
        min_history=min_history,
        rating_threshold=4.0 if rating_threshold is None else rating_threshold,
        split=SplitSettings(
            kind=split,
            val_fraction=default.val_fraction if val_fraction is None else val_fraction,
            test_fraction=default.test_fraction if test_fraction is None else test_fraction,
            val_from=parse_time("--val-from", val_from),
            test_from=parse_time("--test-from", test_from),
        ),
        genres=genres,
        item_text=tuple(sorted(item_text, key=TAGS.__eq__)),  # tags are shown last
        skip_bad_rows=skip_bad_rows,
        keep=keep,
        export=export,
        domain=find_domain(domain),
    )
    check_replaceable(settings.output)  # before a download, not after
    steps: dict[str, Any] = {"notify": notify}
    if signals_from is not None:
        from reeltune.signals.auxiliary import add_auxiliary

        other = PreparedFolder.open(Path(signals_from))
        steps["add_auxiliary"] = partial(add_auxiliary, other=other)
    if fit:
        from reeltune.signals.fit import fit_signals

        steps["fit_signals"] = fit_signals
    if not table:
        given = None if ratings is None else Path(ratings)  # type: ignore[arg-type]
        source = find_ratings(given, edition, download=download, notify=notify)
        return prepare_ratings(source, settings, **steps)
    with TemporaryDirectory(prefix="reeltune.") as scratch:
        tables = TableSource(
            _as_file(ratings, Path(scratch, "ratings")),
            None if items is None else _as_file(items, Path(scratch, "items")),
            parse_columns(columns)
            if columns is None or isinstance(columns, str)
            else check_roles(columns),
            parse_scale(scale),
            rating_threshold,
            needs_times=split in ("time", "items"),
        )
        return prepare_ratings(tables, settings, **steps)


def _is_table(ratings: object) -> bool:
    """Return whether ratings are a table, rather than the folder or the zip of an edition."""
    if ratings is None or is_frame(ratings):
        return ratings is not None
    path = Path(ratings)  # type: ignore[arg-type]
    return (
        path.suffix.lower() != ".zip"
        and not path.is_dir()
        and (path.is_file() or bool(path.suffix))
    )


def _refuse_options_of_tables(table: bool, **options: object) -> None:
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if given and not table:
        raise ConfigError(
            f"{' and '.join(given)} given without a table of ratings",
            code="options_need_a_table",
            hint="Name the table with --ratings, or leave them out",
        )


def _as_file(table: Any, target: Path) -> Path:
    """Return the path of a table; a frame is written to a Parquet file."""
    if not is_frame(table):
        return Path(table)
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.write_table(as_table(table), target)
    except pa.ArrowException as error:
        raise DataError(
            f"the frame cannot be stored as a table ({one_line(error)})",
            code="unreadable_table",
            where=target.name,
            hint="Give each column one type, ids as text or as whole numbers",
        ) from error
    return target
