"""``reeltune recommend``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from reeltune.cli import options
from reeltune.errors import ConfigError

if TYPE_CHECKING:
    from reeltune.data.folder import PreparedFolder
    from reeltune.data.history import History
    from reeltune.domain import RatingWords
    from reeltune.recommend.catalogue import Catalogue
    from reeltune.recommend.render import Source
    from reeltune.recommend.results import Recommendations

Format = Literal["table", "json", "csv"]

_DEFAULT_REASONS = 3
"""Number of reasons for ``--why`` without a number."""


class RecommendCommand(TyperCommand):
    """Accepts ``--why`` without a number, which typer cannot; refuses the former flag --base."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, with the number filled in."""
        filled: list[str] = []
        for word, following in zip(args, [*args[1:], ""], strict=True):
            if word == "--base" and (not following or following.startswith("-")):
                raise ConfigError(
                    "--base without a path is now called --with-base",
                    code="renamed_flag",
                    where="--base",
                    hint="Use --with-base; --base PATH gives the folder of the base model",
                )
            filled.append(word)
            if word == "--why" and not following.lstrip("-").isdecimal():
                filled.append(str(_DEFAULT_REASONS))
        return super().parse_args(ctx, filled)


def recommend(
    config: options.ConfigOption = options.DEFAULT_CONFIG,
    override: options.SetOption = None,
    adapter: options.AdapterOption = None,
    base: options.BaseOption = None,
    domain_shift: options.DomainShiftOption = False,
    no_fusion: options.NoFusionOption = False,
    base_only: options.BaseOnlyOption = False,
    user: Annotated[str | None, typer.Option("--user", help="A user id of the data.")] = None,
    rated: Annotated[
        list[str] | None,
        typer.Option(
            "--rated",
            metavar="TITLE=RATING",
            help='A rating, "Heat (1995)=4.5" or #6=4.5 by id. Repeat it, oldest first.',
        ),
    ] = None,
    rated_file: Annotated[
        Path | None,
        typer.Option("--rated-file", help="A table or JSON list of ratings: title, rating."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE=NAME,...",
            show_default="guessed from usual names",
            help="Columns of --rated-file: title, item, rating, time.",
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Number of recommendations.")] = 10,
    history: options.HistoryOption = None,
    genre: options.GenreOption = None,
    without_genre: options.WithoutGenreOption = None,
    year_from: options.YearFromOption = None,
    year_to: options.YearToOption = None,
    min_ratings: options.MinRatingsOption = None,
    max_ratings: options.MaxRatingsOption = None,
    candidates: Annotated[
        str | None,
        typer.Option(
            "--candidates",
            metavar="N|all",
            help="Number of items to score, the most rated first. Default: all with a CUDA "
            "device, else 100.",
        ),
    ] = None,
    why: Annotated[
        int | None,
        typer.Option(
            "--why",
            min=1,
            metavar="[N]",
            help="Name the N ratings with the strongest effect on each recommendation. "
            f"Without a number: {_DEFAULT_REASONS}.",
        ),
    ] = None,
    with_base: Annotated[
        bool, typer.Option("--with-base", help="Also show the base model's predictions.")
    ] = False,
    output_format: Annotated[
        Format | None,
        typer.Option("--format", help="Default: by the ending of --output, else a table."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Write to this file.")] = None,
) -> None:
    """Recommend items: those with the highest predicted probability of being liked."""
    import contextlib
    import sys

    from reeltune.data.folder import PreparedFolder

    with options.importing():
        from reeltune.files import check_writable
        from reeltune.models.loaded_model import load_model
        from reeltune.progress import scoring_progress
        from reeltune.recommend.catalogue import Catalogue
        from reeltune.recommend.pipeline import (
            RecommendationPipeline,
            RecommendationRequest,
            require_eligible,
        )
        from reeltune.recommend.render import Source, history_text
        from reeltune.runs.log import LOGGER, logging_to
        from reeltune.scoring.predictor import Predictor

    # Errors of the request are reported before a model is loaded.
    file_format, count = _format_of(output_format, output), _candidate_count(candidates)
    resolved = options.resolve_config(
        config, override, base=base, domain_shift=domain_shift, no_fusion=no_fusion
    )
    run = options.adapter_of(resolved, adapter, base_only, with_base=with_base)
    folder = PreparedFolder.open(resolved.data.prepared_dir)
    catalogue = Catalogue.of(folder)
    person = _history(folder, catalogue, user, rated, rated_file, columns)
    filters = options.make_filters(
        genre, without_genre, year_from, year_to, min_ratings, max_ratings
    )
    request = RecommendationRequest(person, filters, top, count, with_base, why or 0)
    require_eligible(catalogue, request)
    if output is not None:
        check_writable(output)
    # Log lines must not mix with JSON.
    with contextlib.redirect_stdout(sys.stderr), logging_to(None):
        loaded = load_model(resolved, run, folder=folder)
        predictor = Predictor(loaded, history)
        pipeline = RecommendationPipeline.of(predictor, catalogue)
        shown = history_text(catalogue, person.last(predictor.history_len))
        LOGGER.info("ratings shown to the model, oldest first: %s", shown)
        with scoring_progress() as progress:
            result = pipeline.recommend(predictor, request, progress)
    model, fused = loaded.config.model.name_or_path, predictor.fusion is not None
    calibration = "none" if fused or run is None else loaded.config.scoring.calibration
    user_id = None if person.user_id is None else folder.user_ids.id(person.user_id)
    source = Source(user_id, model, str(run) if run else None, calibration, fused)
    _write(result, source, file_format, output, catalogue.words)


def _format_of(given: Format | None, output: Path | None) -> Format:
    """Return the output format: as given, else by the file's ending, else a table."""
    if output is not None and output.is_dir():
        raise ConfigError(
            "is a folder", code="output_is_a_folder", where=str(output), hint="Name a file in it"
        )
    if given is not None or output is None:
        return given or "table"
    endings: dict[str, Format] = {".json": "json", ".csv": "csv"}
    return endings.get(output.suffix.lower(), "table")


def _candidate_count(candidates: str | None) -> int | Literal["all"] | None:
    if candidates is None or candidates == "all":
        return candidates
    if not candidates.isdecimal() or int(candidates) < 1:
        raise typer.BadParameter(f"--candidates {candidates!r} is neither a number nor all")
    return int(candidates)


def _history(
    folder: PreparedFolder,
    catalogue: Catalogue,
    user: str | None,
    rated: list[str] | None,
    rated_file: Path | None,
    columns: str | None,
) -> History:
    """Return the ratings to recommend from; none for somebody who has rated nothing.

    Raises:
        ConfigError: Both a user and ratings are given.
        RequestError: The user or an item does not exist, or a rating is not on the scale.
    """
    from reeltune.data.table_columns import parse_columns
    from reeltune.recommend.ratings_file import ROLES, read_ratings_file
    from reeltune.recommend.user_ratings import (
        rated_history,
        refuse_user_and_ratings,
        typed_entry,
        user_history,
    )

    refuse_user_and_ratings(user, ratings=bool(rated) or rated_file is not None)
    if user is not None:
        return user_history(folder.ratings, user, folder.user_ids)
    named = parse_columns(columns, ROLES)
    if named and rated_file is None:
        message = "--columns names columns of --rated-file, which is not given"
        raise ConfigError(message, code="bad_columns", hint="Give both, or neither")
    from_file = [] if rated_file is None else read_ratings_file(rated_file, named)
    typed = [typed_entry(text) for text in rated or ()]
    notify = partial(typer.echo, err=True)
    return rated_history(catalogue, folder.prompt_settings.scale, from_file, typed, notify)


def _write(
    result: Recommendations,
    source: Source,
    file_format: Format,
    output: Path | None,
    words: RatingWords,
) -> None:
    """Print or write the recommendations; notes go to standard error."""
    from rich.console import Console

    from reeltune.files import atomic_file
    from reeltune.recommend.render import file_text, table

    for note in result.notes:
        typer.echo(f"Note: {note}", err=True)
    if output is not None:
        text = file_text(result, source, file_format, words)
        with atomic_file(output) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
        typer.echo(f"written to {output}", err=True)
    elif file_format == "table":
        Console().print(table(result, source, words))
    else:
        typer.echo(file_text(result, source, file_format, words), nl=False)
