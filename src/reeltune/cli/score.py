"""``reeltune score``."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reeltune.cli import options
from reeltune.errors import ConfigError
from reeltune.extras import require

if TYPE_CHECKING:
    from reeltune.bulk.input_table import InputTable
    from reeltune.bulk.lookup import Lookup
    from reeltune.bulk.score import MakeTask, Outcome
    from reeltune.data.folder import PreparedFolder
    from reeltune.recommend.candidates import Filters


def score(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[IN] OUT",
            help="The table to score (CSV, TSV, JSON Lines, Parquet), and the folder to write to. "
            "With --top, IN is optional.",
            show_default=False,
        ),
    ],
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE=NAME,...",
            show_default="guessed from usual names",
            help="Columns of IN: user, item, time; with --top only user.",
        ),
    ] = None,
    config: options.ConfigOption = options.DEFAULT_CONFIG,
    override: options.SetOption = None,
    adapter: options.AdapterOption = None,
    base: options.BaseOption = None,
    domain_shift: options.DomainShiftOption = False,
    no_fusion: options.NoFusionOption = False,
    base_only: options.BaseOnlyOption = False,
    history: options.HistoryOption = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top", min=1, help="Recommend this many items to every user, or to those in IN."
        ),
    ] = None,
    genre: options.GenreOption = None,
    without_genre: options.WithoutGenreOption = None,
    year_from: options.YearFromOption = None,
    year_to: options.YearToOption = None,
    min_ratings: options.MinRatingsOption = None,
    max_ratings: options.MaxRatingsOption = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            "--candidates",
            min=1,
            help="Number of items to score per user, the most rated first. Default: all.",
        ),
    ] = None,
    rows_per_shard: Annotated[
        int, typer.Option("--rows-per-shard", min=1, help="Number of rows per file.")
    ] = 100_000,
    skip_unknown: Annotated[
        bool,
        typer.Option(
            "--skip-unknown",
            help="Keep rows that cannot be scored, without a p_yes, and count them.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove earlier predictions in OUT and start again.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Score on a Ray cluster: local, auto or HOST:6379."),
    ] = None,
) -> None:
    """Score a table of users and items, or recommend to every user, in resumable shards."""
    if ray:
        require("cluster")
    from contextlib import ExitStack

    with options.importing():
        from reeltune.bulk.cluster import connect
        from reeltune.bulk.input_file import open_input
        from reeltune.bulk.output import Output
        from reeltune.bulk.score import Job, Options
        from reeltune.bulk.score import score as score_all
        from reeltune.data.table_columns import ITEM, TIME, USER, parse_columns
        from reeltune.progress import show_progress
        from reeltune.runs.log import logging_to

    _check_paths(paths, top, columns)
    named = parse_columns(columns, (USER, ITEM, TIME) if top is None else (USER,))
    output = Output(paths[-1])
    if top is None:
        _refuse_filters(
            {
                "--genre": genre,
                "--without-genre": without_genre,
                "--year-from": year_from,
                "--year-to": year_to,
                "--min-ratings": min_ratings,
                "--max-ratings": max_ratings,
                "--candidates": candidates,
            }
        )
    filters = options.make_filters(
        genre, without_genre, year_from, year_to, min_ratings, max_ratings
    )
    resolved = options.resolve_config(
        config, override, base=base, domain_shift=domain_shift, no_fusion=no_fusion
    )
    run = options.adapter_of(resolved, adapter, base_only)
    chosen = Options(history, skip_unknown, overwrite)
    with (
        logging_to(None),
        show_progress("users" if top else "rows") as progress,
        ExitStack() as resources,
    ):
        cluster = resources.enter_context(connect(ray)) if ray else None
        table = None
        if paths[1:]:
            table = open_input(paths[0], output.path, resources, named, pairs=top is None)
        make_task = _make_task(table, top, filters, candidates, rows_per_shard)
        open_job = partial(Job.open, resolved, run, make_task, output, chosen)
        outcome = score_all(open_job, progress, cluster)
    _print_outcome(outcome, output.path)


def _check_paths(paths: list[Path], top: int | None, columns: str | None) -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "the processes of accelerate launch and torchrun no longer share the shards",
            code="launched_score",
            where="WORLD_SIZE",
            hint="Run: reeltune score --ray local ...",
        )
    if len(paths) > 2:
        raise ConfigError(
            f"{len(paths)} paths are given, the third is {paths[2]}",
            code="too_many_paths",
            hint="Call: reeltune score IN OUT",
        )
    if len(paths) == 1 and (top is None or columns is not None):
        raise ConfigError(
            f"no input table: only {paths[0]} is given",
            code="missing_input_table",
            hint="Call: reeltune score IN OUT, or reeltune score --top 20 OUT without --columns",
        )


def _refuse_filters(flags: dict[str, object]) -> None:
    if given := [flag for flag, value in flags.items() if value is not None]:
        raise ConfigError(
            f"{given[0]} chooses items, and the input table names them already",
            code="filter_without_top",
            hint="Leave it out, or give --top as well",
        )


def _make_task(
    table: InputTable | None,
    top_k: int | None,
    filters: Filters,
    candidates: int | None,
    rows_per_shard: int,
) -> MakeTask:
    from reeltune.bulk.tasks import Pairs, Top
    from reeltune.recommend.catalogue import Catalogue
    from reeltune.runs.log import LOGGER

    def make(folder: PreparedFolder, lookup: Lookup) -> Pairs | Top:
        if top_k is None:
            return Pairs(table, lookup, rows_per_shard)
        users = max(1, rows_per_shard // top_k)
        task = Top(table, lookup, users, Catalogue.of(folder), filters, top_k, candidates)
        LOGGER.info(
            "scoring up to %s per user", task.catalogue.words.domain.count(task.max_candidates)
        )
        return task

    return make


def _print_outcome(outcome: Outcome, output: Path) -> None:
    record = outcome.record
    if outcome.already_done:
        typer.echo(f"nothing to do: finished at {record['finished']}")
    rows, without = record["rows"], record["without_p_yes"]
    if without:
        typer.echo(f"{without:,} of {rows:,} rows could not be scored and have no p_yes")
    if short := record["short_histories"]:
        typer.echo(
            f"{short:,} predictions are from shorter histories than any in training: less reliable"
        )
    typer.echo(f"{rows:,} rows in {record['shards']:,} shards are in {output}")
