"""``reeltune score``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reeltune.cli.options import DEFAULT_CONFIG, AdapterOption, ConfigOption, SetOption
from reeltune.cli.recommend_flags import (
    BaseOnlyOption,
    GenreOption,
    HistoryOption,
    MaxRatingsOption,
    MinRatingsOption,
    WithoutGenreOption,
    YearFromOption,
    YearToOption,
    adapter_of,
)
from reeltune.errors import ConfigError

if TYPE_CHECKING:
    from reeltune.bulk.lookup import Lookup
    from reeltune.bulk.score import MakeTask, Outcome
    from reeltune.data.folder import PreparedFolder
    from reeltune.recommend.filters import Filters


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(score)


def score(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[IN.parquet] OUT",
            help="The rows to judge, and the folder to write to. With --top, IN may be left out.",
            show_default=False,
        ),
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    override: SetOption = None,
    adapter: AdapterOption = None,
    base_only: BaseOnlyOption = False,
    history: HistoryOption = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top", min=1, help="Give every user, or those in IN, so many films they may like."
        ),
    ] = None,
    genre: GenreOption = None,
    without_genre: WithoutGenreOption = None,
    year_from: YearFromOption = None,
    year_to: YearToOption = None,
    min_ratings: MinRatingsOption = None,
    max_ratings: MaxRatingsOption = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            "--candidates",
            min=1,
            help="Judge for each user only so many of the most often rated films that fit.",
        ),
    ] = None,
    rows_per_shard: Annotated[
        int, typer.Option("--rows-per-shard", min=1, help="How many rows a file holds.")
    ] = 100_000,
    skip_unknown: Annotated[
        bool,
        typer.Option(
            "--skip-unknown",
            help="Keep rows that cannot be judged, without a p_yes, and count them.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove earlier answers in OUT and start anew.")
    ] = False,
) -> None:
    """Judge a table of users and films, or find films for every user, in resumable shards."""
    import contextlib

    from reeltune.bulk.output import Output
    from reeltune.bulk.processes import Processes
    from reeltune.bulk.score import Job, Options
    from reeltune.bulk.score import score as score_all
    from reeltune.config import load_config
    from reeltune.progress import show_progress
    from reeltune.recommend.filters import Filters
    from reeltune.runs.log import logging_to

    _refuse_paths(paths, top)
    output = Output(paths[-1])
    if top is None:
        choosing = {
            "--genre": genre,
            "--without-genre": without_genre,
            "--year-from": year_from,
            "--year-to": year_to,
            "--min-ratings": min_ratings,
            "--max-ratings": max_ratings,
            "--candidates": candidates,
        }
        _refuse_given(choosing)
        make_task = _pairs(paths[0], rows_per_shard)
    else:
        genres, without = tuple(genre or ()), tuple(without_genre or ())
        filters = Filters(genres, without, year_from, year_to, min_ratings or 0, max_ratings)
        make_task = _top(paths[:-1], top, filters, candidates, rows_per_shard)
    resolved = load_config(config, override or ())
    run = adapter_of(resolved, adapter, base_only, base=False)
    options = Options(history, skip_unknown, overwrite)
    processes = Processes()
    with (
        logging_to(None) if processes.main else contextlib.nullcontext(),
        show_progress("users" if top else "rows", shown=processes.main) as progress,
    ):
        outcome = score_all(
            lambda: Job.open(resolved, run, make_task, output, options), processes, progress
        )
    if processes.main:
        _tell(outcome, output.path)
    processes.part()


def _refuse_paths(paths: list[Path], top: int | None) -> None:
    """Refuse more paths than two, and fewer where nothing else says whom to judge.

    Raises:
        ConfigError: That is so.
    """
    if len(paths) > 2:
        raise ConfigError(
            f"{len(paths)} paths are given, the third is {paths[2]}",
            code="too_many_paths",
            hint="Call: reeltune score IN.parquet OUT",
        )
    if len(paths) == 1 and top is None:
        raise ConfigError(
            f"nothing to judge: only {paths[0]} is given",
            code="missing_input_table",
            hint="Call: reeltune score IN.parquet OUT, or reeltune score --top 20 OUT",
        )


def _refuse_given(choosing: dict[str, object]) -> None:
    """Refuse flags that choose films where the pairs name them already.

    Raises:
        ConfigError: One of them is given.
    """
    if given := [flag for flag, value in choosing.items() if value is not None]:
        raise ConfigError(
            f"{given[0]} chooses films, and the pairs name them already",
            code="filter_without_top",
            hint="Leave it out, or give --top as well",
        )


def _pairs(given: Path, rows_per_shard: int) -> MakeTask:
    """Return what asks about pairs."""
    from reeltune.bulk.pairs import Pairs

    return lambda _, lookup: Pairs.open(given, lookup, rows_per_shard)


def _top(
    given: list[Path], count: int, filters: Filters, candidates: int | None, rows_per_shard: int
) -> MakeTask:
    """Return what asks for the films that all users, or those given, are likeliest to like."""
    from reeltune.bulk.table import Table
    from reeltune.bulk.top import Top
    from reeltune.data.columns import Columns
    from reeltune.recommend.catalogue import Catalogue
    from reeltune.runs.log import LOGGER

    def make(folder: PreparedFolder, lookup: Lookup) -> Top:
        table = Table.open(given[0], (Columns.USER,)) if given else None
        users = max(1, rows_per_shard // count)
        task = Top(table, lookup, Catalogue.of(folder), filters, count, candidates, users)
        LOGGER.info("scoring up to %s films per user", f"{task.most_candidates():,}")
        return task

    return make


def _tell(outcome: Outcome, output: Path) -> None:
    record = outcome.record
    if outcome.already:
        typer.echo(f"nothing to do: all was judged by {record['finished']}")
    rows, without = record["rows"], record["without_p_yes"]
    if without:
        typer.echo(f"{without:,} of {rows:,} rows could not be judged and have no p_yes")
    typer.echo(f"{rows:,} rows in {record['shards']:,} shards are in {output}")
