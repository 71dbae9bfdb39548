"""``reeltune prepare``: turns ratings into a prepared folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from reeltune.errors import ConfigError

DEFAULT_OUTPUT: Final = Path("data/movielens_qwen3")

HELP: Final = "\n\n".join(  # one paragraph each: the help keeps line breaks inside them
    (
        "Turn ratings into training data: a MovieLens edition, or a table of your own.",
        "Every rating with enough earlier ratings of the same user becomes an example: the items "
        "rated before it, the item to predict, and the answer, Yes if the rating reaches the "
        "threshold.",
        "Reads the CSV, :: and tab layouts of all editions, from a folder or a zip; and with "
        "--ratings any CSV, TSV, JSON Lines or Parquet file, also as .gz or .zst. Writes "
        "timelines and items (parquet, what training reads), meta.json (settings and counts), and "
        "for people and other tools train.json, eval.json and test_raw.jsonl.",
        "The user split trains on the beginning of each user's ratings and tests on their end. The "
        "time split has the same cuts in time for all users, so nothing of the test period is "
        "learned. The items split holds out the newest items, the users split whole users.",
    )
)

_input, _examples, _split, _output = (
    partial(typer.Option, rich_help_panel=panel)
    for panel in ("Input", "Examples", "Split", "Output")
)


def prepare(
    *,
    ratings_dir: Annotated[
        Path | None,
        _input(
            metavar="PATH", show_default="data/raw/EDITION", help="Folder or zip with the ratings."
        ),
    ] = None,
    ratings: Annotated[
        Path | None,
        _input(
            metavar="FILE",
            help="A table of ratings of your own: a row per rating, with user, item, rating and "
            "time. Columns, scale and threshold are guessed, and printed.",
        ),
    ] = None,
    items: Annotated[
        Path | None,
        _input(metavar="FILE", help="With --ratings: a table of the items, with id and title."),
    ] = None,
    columns: Annotated[
        str | None,
        _input(
            metavar="ROLE=NAME,...",
            show_default="guessed from usual names",
            help="Columns of the tables: user, item, rating, time, title, year, genres.",
        ),
    ] = None,
    scale: Annotated[
        str | None,
        _input(
            metavar="LOW:HIGH[:STEP]",
            show_default="guessed from the ratings",
            help="Scale of the ratings in --ratings, as 1:10 or 0.5:5:0.5; like for 0 and 1.",
        ),
    ] = None,
    keep: Annotated[
        Literal["last"] | None,
        _input(
            show_default="stop",
            help="Of several ratings of one item by one user, keep the last in time.",
        ),
    ] = None,
    edition: Annotated[
        str | None,
        _input(
            show_default="ml-latest-small, or the name of the folder in --ratings-dir",
            help="ml-latest-small, ml-100k, ml-1m, ml-10m, ml-20m, ml-25m, ml-32m or ml-latest.",
        ),
    ] = None,
    download: Annotated[
        bool | None,
        _input(
            "--download/--no-download",
            show_default="download unless --ratings-dir is given",
            help="Whether the edition may be downloaded when data/raw/EDITION is missing.",
        ),
    ] = None,
    skip_bad_rows: Annotated[
        bool,
        _input(
            "--skip-bad-rows",
            help="Drop bad rows and list them in meta.json, instead of stopping at the first.",
        ),
    ] = False,
    history_len: Annotated[int, _examples(help="Items shown before the one to predict.")] = 15,
    min_history: Annotated[
        int | None,
        _examples(
            show_default="--history-len",
            help="Fewest items shown; below --history-len, a user's first ratings become examples "
            "too, with shorter histories. With 0, also the very first, without any.",
        ),
    ] = None,
    rating_threshold: Annotated[
        float | None,
        _examples(
            show_default="4.0; with --ratings the one with a share of likes nearest to one half",
            help="Lowest rating that counts as liked.",
        ),
    ] = None,
    genres: Annotated[
        bool,
        _examples(
            "--genres", help="Show genres in the exported prompts; training follows prompt.genres."
        ),
    ] = False,
    domain: Annotated[
        str | None,
        _examples(
            metavar="NAME|FILE.yaml",
            show_default="film",
            help="What prompts and pages call items and ratings: film, book, game, product, song, "
            "or a YAML file of your own words.",
        ),
    ] = None,
    item_text: Annotated[
        str,
        _examples(
            metavar="COLUMNS",
            show_default="none",
            help="Columns of the items file whose text prompts show under an item, as genres or "
            "author,description.",
        ),
    ] = "",
    split: Annotated[
        Literal["user", "time", "items", "users"],
        _split(
            help="Hold out the end of each timeline, of the whole period, the newest items, or "
            "some users."
        ),
    ] = "user",
    val_fraction: Annotated[
        float | None,
        _split(show_default="0.05", help="Share of examples, items or users in validation."),
    ] = None,
    test_fraction: Annotated[
        float | None,
        _split(show_default="0.10", help="Share of them in test."),
    ] = None,
    val_from: Annotated[
        str | None,
        _split(
            metavar="DATE",
            help="Time split: validation begins here (UTC), as 2015-01-31 or 2015-01-31T12:00.",
        ),
    ] = None,
    test_from: Annotated[
        str | None,
        _split(metavar="DATE", help="Time split: test begins here (UTC)."),
    ] = None,
    signals_from: Annotated[
        Path | None,
        _split(
            metavar="PREPARED",
            help="Prepared ratings of the same items by others, as of a larger edition: those to "
            "train on join the statistics behind the signals.",
        ),
    ] = None,
    no_fit: Annotated[
        bool,
        _split(
            "--no-fit",
            help="Keep the shipped hyperparameters of the signal expected, instead of fitting them "
            "to the training rows.",
        ),
    ] = False,
    output_dir: Annotated[
        Path,
        _output(help="Folder to write; an earlier prepared folder there is replaced."),
    ] = DEFAULT_OUTPUT,
    no_json: Annotated[
        bool,
        _output(
            "--no-json",
            help="Skip the JSON files: training does not read them, and they take tens of "
            "gigabytes for a large edition.",
        ),
    ] = False,
    form: Annotated[
        Literal["chat", "alpaca"] | None,
        _output(
            "--format",
            show_default="chat",
            help="Format of train.json and eval.json: chat messages, or Alpaca's instruction, "
            "input and output.",
        ),
    ] = None,
) -> None:
    """Prepare ratings and print a summary."""
    if no_json and form is not None:
        raise ConfigError(
            "--format has no effect with --no-json",
            code="format_without_json",
            hint="Leave one of them out",
        )
    if ratings is not None and (ratings_dir is not None or download is not None):
        raise ConfigError(
            "--ratings is given with --ratings-dir, --download or --no-download",
            code="two_sources_of_ratings",
            hint="Give --ratings FILE for a table, or --ratings-dir for an edition",
        )
    from rich.console import Console

    from reeltune.api.data import prepare as run
    from reeltune.data.meta import print_report

    folder = run(
        ratings_dir if ratings is None else ratings,
        output_dir,
        items=items,
        columns=columns,
        scale=scale,
        keep=keep,
        edition=edition,
        download=download,
        history_len=history_len,
        min_history=min_history,
        rating_threshold=rating_threshold,
        genres=genres,
        domain=domain,
        item_text=[column.strip() for column in item_text.split(",")] if item_text else (),
        split=split,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        val_from=val_from,
        test_from=test_from,
        signals_from=signals_from,
        fit=not no_fit,
        skip_bad_rows=skip_bad_rows,
        export=None if no_json else form or "chat",
        notify=typer.echo,
    )
    print_report(folder, Console())
