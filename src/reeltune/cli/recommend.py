"""``reeltune recommend``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from reeltune.cli.options import DEFAULT_CONFIG, AdapterOption, ConfigOption, SetOption
from reeltune.cli.recommend_flags import Format, adapter_of, limit_of, shape_of
from reeltune.errors import ConfigError

if TYPE_CHECKING:
    from reeltune.data.folder import PreparedFolder
    from reeltune.data.history import History
    from reeltune.recommend.catalogue import Catalogue
    from reeltune.recommend.listing import Listing
    from reeltune.recommend.render import Origin

_WHY = 3
"""How many ratings are named where nobody says how many."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(cls=_Command)(recommend)


class _Command(TyperCommand):
    """Lets ``--why`` stand without its number, which typer has no option for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line, the number left out filled in."""
        told: list[str] = []
        for word, following in zip(args, [*args[1:], ""], strict=True):
            told.append(word)
            if word == "--why" and not following.lstrip("-").isdecimal():
                told.append(str(_WHY))
        return super().parse_args(ctx, told)


def recommend(
    config: ConfigOption = DEFAULT_CONFIG,
    override: SetOption = None,
    adapter: AdapterOption = None,
    base_only: Annotated[
        bool, typer.Option("--base-only", help="Ask the base model, without any adapter.")
    ] = False,
    user: Annotated[
        int | None, typer.Option("--user", help="For a user of the prepared data, by id.")
    ] = None,
    rated: Annotated[
        list[str] | None,
        typer.Option(
            "--rated",
            metavar="TITLE=STARS",
            help='For somebody who rated "Heat (1995)=4.5", or #6=4.5 by id; oldest first. Can be '
            "given many times.",
        ),
    ] = None,
    rated_file: Annotated[
        Path | None,
        typer.Option("--rated-file", help="Ratings in a CSV or JSON file: title, rating."),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many films to name.")] = 10,
    history: Annotated[
        int | None,
        typer.Option(
            "--history",
            min=1,
            help="How many of the newest ratings to show the model; by default as many as the "
            "data were prepared with.",
        ),
    ] = None,
    genre: Annotated[
        list[str] | None,
        typer.Option("--genre", help="Only films of this genre, or of one of several."),
    ] = None,
    without_genre: Annotated[
        list[str] | None, typer.Option("--without-genre", help="No films of this genre.")
    ] = None,
    year_from: Annotated[
        int | None, typer.Option("--year-from", help="The earliest year of a film.")
    ] = None,
    year_to: Annotated[
        int | None, typer.Option("--year-to", help="The latest year of a film.")
    ] = None,
    min_ratings: Annotated[
        int, typer.Option("--min-ratings", min=0, help="Only films with so many ratings.")
    ] = 0,
    max_ratings: Annotated[
        int | None,
        typer.Option("--max-ratings", min=0, help="Only films with no more ratings than that."),
    ] = None,
    candidates: Annotated[
        str | None,
        typer.Option(
            "--candidates",
            metavar="N|all",
            help="Judge only the most often rated films that fit; by default all on a CUDA "
            "device, and 300 elsewhere.",
        ),
    ] = None,
    why: Annotated[
        int | None,
        typer.Option(
            "--why",
            min=1,
            metavar="[N]",
            help=f"Name the N ratings that moved each verdict most; without a number, {_WHY}.",
        ),
    ] = None,
    base: Annotated[
        bool, typer.Option("--base", help="Show the verdicts of the base model beside.")
    ] = False,
    output_format: Annotated[
        Format | None,
        typer.Option(
            "--format", help="By default what --output ends with says, and a table otherwise."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write to a file, not to the terminal.")
    ] = None,
) -> None:
    """Name the films somebody is likeliest to like, with the chance of each."""
    import contextlib
    import sys

    from reeltune.asking.judge import Judge
    from reeltune.asking.subject import load_subject
    from reeltune.cli.scoring_progress import scoring_progress
    from reeltune.config import load_config
    from reeltune.data.folder import PreparedFolder
    from reeltune.recommend.candidates import choose_candidates, unrated
    from reeltune.recommend.catalogue import Catalogue
    from reeltune.recommend.filters import Filters
    from reeltune.recommend.listing import Wanted, make_listing
    from reeltune.recommend.render import Origin, history_text
    from reeltune.runs.log import LOGGER, logging_to

    # Whatever is wrong with the request is told before a model is loaded.
    shape, limit = shape_of(output_format, output), limit_of(candidates)
    resolved = load_config(config, override or ())
    run = adapter_of(resolved, adapter, base_only, base)
    folder = PreparedFolder.open(resolved.data.prepared_dir)
    catalogue = Catalogue.of(folder)
    person = _person(folder, catalogue, user, rated, rated_file)
    filters = Filters(
        tuple(genre or ()), tuple(without_genre or ()), year_from, year_to, min_ratings, max_ratings
    )
    rows = unrated(catalogue, filters, person)
    # Whatever is said on the way must not mix with JSON.
    with contextlib.redirect_stdout(sys.stderr), logging_to(None):
        subject = load_subject(resolved, run)
        judge = Judge(subject, history)
        chosen = choose_candidates(catalogue, rows, limit, subject.base.choices.device.value.type)
        shown = history_text(folder.items, person.last(judge.history_len))
        LOGGER.info("shown to the model, oldest first: %s", shown)
        LOGGER.info(chosen.sentence)
        with scoring_progress() as progress:
            wanted = Wanted(top, base, why or 0)
            listing = make_listing(judge, person, chosen, wanted, progress)
    model, calibration = subject.config.model.name_or_path, subject.config.scoring.calibration
    origin = Origin(user, model, str(run) if run else None, calibration if run else "none")
    _tell(listing, origin, shape, output)


def _person(
    folder: PreparedFolder,
    catalogue: Catalogue,
    user: int | None,
    rated: list[str] | None,
    rated_file: Path | None,
) -> History:
    """Return the ratings to recommend from.

    Raises:
        ConfigError: There are none, or a user's and others.
        RequestError: The user, a film or stars are not to be had.
    """
    from reeltune.recommend.candidates import user_history
    from reeltune.recommend.ratings_file import read_ratings_file
    from reeltune.recommend.user_ratings import rated_history, typed_entry

    given = bool(rated) or rated_file is not None
    if (user is not None) == given:
        raise ConfigError(
            "a user and ratings are both given"
            if given
            else "neither a user nor ratings are given",
            code="user_or_ratings",
            hint='Give --user ID, or ratings: --rated "Heat (1995)=4.5" or --rated-file FILE',
        )
    if user is not None:
        return user_history(folder.ratings, user)
    kept = read_ratings_file(rated_file) if rated_file is not None else []
    typed = [typed_entry(text) for text in rated or ()]
    return rated_history(catalogue, folder.prompt_settings, kept, typed)


def _tell(listing: Listing, origin: Origin, shape: Format, output: Path | None) -> None:
    """Print or write the list; notes go to standard error."""
    from rich.console import Console

    from reeltune.files import atomic_file
    from reeltune.recommend.render import file_text, table

    for note in listing.notes:
        typer.echo(f"Note: {note}", err=True)
    if output is not None:
        with atomic_file(output) as temporary:
            temporary.write_text(file_text(listing, origin, shape), encoding="utf-8", newline="")
        typer.echo(f"written to {output}", err=True)
    elif shape == "table":
        Console().print(table(listing, origin))
    else:
        typer.echo(file_text(listing, origin, shape), nl=False)
