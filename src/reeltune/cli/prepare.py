"""``reeltune prepare``: turns ratings into a prepared folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from reeltune.errors import ConfigError

if TYPE_CHECKING:
    from reeltune.data.settings import SplitSettings

DEFAULT_OUTPUT: Final = Path("data/movielens_qwen3")

HELP: Final = "\n\n".join(  # one paragraph each: the help keeps line breaks inside them
    (
        "Turn MovieLens ratings into training data.",
        "Every rating with enough earlier ratings of the same user becomes an example: the films "
        "rated before it, the film to predict, and the answer, Yes if the rating reaches the "
        "threshold.",
        "Reads the CSV, :: and tab layouts of all editions, from a folder or a zip. Writes "
        "timelines and items (parquet, what training reads), meta.json (settings and counts), and "
        "for people and other tools train.json, eval.json and test_raw.jsonl.",
        "The user split trains on the beginning of each user's ratings and tests on their end. The "
        "time split has the same cuts in time for all users, so nothing of the test period is "
        "learned.",
    )
)

_INPUT = "Input"
_EXAMPLES = "Examples"
_SPLIT = "Split"
_OUTPUT = "Output"


def prepare(
    *,
    ratings_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            show_default="data/raw/EDITION",
            help="Folder or zip with the ratings.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    edition: Annotated[
        str | None,
        typer.Option(
            show_default="ml-latest-small, or the name of the folder in --ratings-dir",
            help="ml-latest-small, ml-100k, ml-1m, ml-10m, ml-20m, ml-25m, ml-32m or ml-latest.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    download: Annotated[
        bool | None,
        typer.Option(
            "--download/--no-download",
            show_default="download unless --ratings-dir is given",
            help="Whether the edition may be downloaded when data/raw/EDITION is missing.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    skip_bad_rows: Annotated[
        bool,
        typer.Option(
            "--skip-bad-rows",
            help="Drop bad rows and list them in meta.json, instead of stopping at the first.",
            rich_help_panel=_INPUT,
        ),
    ] = False,
    history_len: Annotated[
        int, typer.Option(help="Films shown before the one to predict.", rich_help_panel=_EXAMPLES)
    ] = 15,
    min_history: Annotated[
        int | None,
        typer.Option(
            show_default="--history-len",
            help="Fewest films shown; below --history-len, a user's first ratings become examples "
            "too, with shorter histories.",
            rich_help_panel=_EXAMPLES,
        ),
    ] = None,
    rating_threshold: Annotated[
        float, typer.Option(help="Lowest rating that counts as liked.", rich_help_panel=_EXAMPLES)
    ] = 4.0,
    genres: Annotated[
        bool,
        typer.Option(
            "--genres",
            help="Show genres in the exported prompts; training follows prompt.genres.",
            rich_help_panel=_EXAMPLES,
        ),
    ] = False,
    split: Annotated[
        Literal["user", "time"],
        typer.Option(
            help="Hold out the end of each timeline, or of the whole period.",
            rich_help_panel=_SPLIT,
        ),
    ] = "user",
    val_fraction: Annotated[
        float | None,
        typer.Option(
            show_default="0.05", help="Share of examples in validation.", rich_help_panel=_SPLIT
        ),
    ] = None,
    test_fraction: Annotated[
        float | None,
        typer.Option(
            show_default="0.10", help="Share of examples in test.", rich_help_panel=_SPLIT
        ),
    ] = None,
    val_from: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="Time split: validation begins here (UTC), as 2015-01-31 or 2015-01-31T12:00.",
            rich_help_panel=_SPLIT,
        ),
    ] = None,
    test_from: Annotated[
        str | None,
        typer.Option(
            metavar="DATE", help="Time split: test begins here (UTC).", rich_help_panel=_SPLIT
        ),
    ] = None,
    output_dir: Annotated[
        Path,
        typer.Option(
            help="Folder to write; an earlier prepared folder there is replaced.",
            rich_help_panel=_OUTPUT,
        ),
    ] = DEFAULT_OUTPUT,
    no_json: Annotated[
        bool,
        typer.Option(
            "--no-json",
            help="Skip the JSON files: training does not read them, and they take tens of "
            "gigabytes for a large edition.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    form: Annotated[
        Literal["chat", "alpaca"] | None,
        typer.Option(
            "--format",
            show_default="chat",
            help="Format of train.json and eval.json: chat messages, or Alpaca's instruction, "
            "input and output.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
) -> None:
    """Prepare ratings and print a summary."""
    from reeltune.data.settings import PrepareSettings

    if no_json and form is not None:
        raise ConfigError(
            "--format has no effect with --no-json",
            code="format_without_json",
            hint="Leave one of them out",
        )
    settings = PrepareSettings(
        output=output_dir,
        edition=edition,
        history_len=history_len,
        min_history=min_history,
        rating_threshold=rating_threshold,
        split=_split_settings(split, val_fraction, test_fraction, val_from, test_from),
        genres=genres,
        skip_bad_rows=skip_bad_rows,
        export=None if no_json else form or "chat",
    )

    from rich.console import Console

    from reeltune.data.output import check_replaceable
    from reeltune.data.prepare import prepare as run
    from reeltune.data.report import print_report
    from reeltune.data.source import find_ratings

    check_replaceable(output_dir)  # before a download, not after
    source = find_ratings(ratings_dir, edition, download=download, notify=typer.echo)
    print_report(run(source, settings, notify=typer.echo), Console())


def _split_settings(
    kind: Literal["user", "time"],
    val_fraction: float | None,
    test_fraction: float | None,
    val_from: str | None,
    test_from: str | None,
) -> SplitSettings:
    from reeltune.data.settings import (
        DEFAULT_TEST_FRACTION,
        DEFAULT_VAL_FRACTION,
        SplitSettings,
        parse_time,
    )

    dates = val_from is not None or test_from is not None
    if kind == "time" and dates and (val_fraction is not None or test_fraction is not None):
        raise ConfigError(
            "dates and shares are both given",
            code="bad_split_dates",
            hint="Leave out --val-fraction and --test-fraction, or --val-from and --test-from",
        )
    return SplitSettings(
        kind=kind,
        val_fraction=DEFAULT_VAL_FRACTION if val_fraction is None else val_fraction,
        test_fraction=DEFAULT_TEST_FRACTION if test_fraction is None else test_fraction,
        val_from=parse_time("--val-from", val_from),
        test_from=parse_time("--test-from", test_from),
    )
