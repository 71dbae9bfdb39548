"""Options that several commands share, and what is made of them."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from reeltune.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from reeltune.config import Config
    from reeltune.recommend.candidates import Filters

DEFAULT_CONFIG = None

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="A YAML file, or the name of a preset; reeltune init writes them all.",
        show_default="configs/qwen3_movielens_qlora.yaml, or the preset of that name",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override one key: section.key=value. Can be given many times."),
]
AdapterOption = Annotated[
    Path | None,
    typer.Option(
        "--adapter",
        help="The folder of the trained adapter; by default train.output_dir of the configuration.",
    ),
]

SplitOption = Annotated[
    Literal["validation", "test"], typer.Option("--split", help="Which rows to score.")
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--max-examples", min=1, help="Score a random sample of this many rows of the split."
    ),
]
BaseOnlyOption = Annotated[
    bool, typer.Option("--base-only", help="Use the base model, without an adapter.")
]
BaseOption = Annotated[
    Path | None,
    typer.Option(
        "--base",
        metavar="PATH",
        help="Folder of the base model, if it is not where the run's record says. Its weights "
        "must be those of the training.",
    ),
]
DomainShiftOption = Annotated[
    bool,
    typer.Option(
        "--allow-domain-shift",
        help="Predict for data of another domain or rating scale than the adapter's.",
    ),
]
NoFusionOption = Annotated[
    bool,
    typer.Option(
        "--no-fusion", help="Answer with the language model alone, as scoring.fusion=none."
    ),
]
HistoryOption = Annotated[
    int | None,
    typer.Option(
        "--history",
        min=1,
        help="Number of the newest ratings shown to the model. Default: as in the prepared data.",
    ),
]
GenreOption = Annotated[
    list[str] | None,
    typer.Option("--genre", help="Only items of this genre. Repeat it to allow several."),
]
WithoutGenreOption = Annotated[
    list[str] | None, typer.Option("--without-genre", help="No items of this genre.")
]
YearFromOption = Annotated[int | None, typer.Option("--year-from", help="First year of an item.")]
YearToOption = Annotated[int | None, typer.Option("--year-to", help="Last year of an item.")]
MinRatingsOption = Annotated[
    int | None,
    typer.Option("--min-ratings", min=0, help="Only items with at least this many ratings."),
]
MaxRatingsOption = Annotated[
    int | None,
    typer.Option("--max-ratings", min=0, help="Only items with at most this many ratings."),
]


@contextmanager
def importing() -> Iterator[None]:
    """Never search for garbage among the objects that a block imports, up to a million.

    That took a third of the time of a command's imports, and as long again when it ended.
    """
    before = len(sys.modules)
    gc.disable()
    try:
        yield
        if len(sys.modules) > before + 100:  # others may be garbage one day
            gc.freeze()
    finally:
        gc.enable()


def resolve_config(
    config: Path | None,
    override: Sequence[str] | None,
    flags: Mapping[str, object] | None = None,
    *,
    base: Path | None = None,
    domain_shift: bool = False,
    no_fusion: bool = False,
) -> Config:
    """Load the configuration with its overrides.

    Args:
        config: The YAML file, or the name of a preset; None for the default.
        override: The values of ``--set``.
        flags: By key, the value of the flag that sets it; None leaves the key as it is.
        base: The folder of ``--base``.
        domain_shift: Whether ``--allow-domain-shift`` is given.
        no_fusion: Whether ``--no-fusion`` is given.

    Raises:
        ModelError: The folder of ``--base`` does not exist.
    """
    from reeltune.config import load_config
    from reeltune.config.presets import find_config

    given = [f"{key}={value}" for key, value in (flags or {}).items() if value is not None]
    if base is not None:
        if not base.is_dir():
            raise ModelError(
                "this folder of a model does not exist",
                code="model_folder_missing",
                where=str(base),
                hint="Give the folder that holds the base model with --base",
            )
        given += [f"model.name_or_path={json.dumps(str(base))}", "model.revision=null"]
    if domain_shift:
        given.append("scoring.allow_domain_shift=true")
    if no_fusion:
        given.append("scoring.fusion=none")
    return load_config(find_config(config), [*(override or ()), *given])


def make_filters(
    genre: list[str] | None,
    without_genre: list[str] | None,
    year_from: int | None,
    year_to: int | None,
    min_ratings: int | None,
    max_ratings: int | None,
) -> Filters:
    """Return the filters of the flags."""
    from reeltune.recommend.candidates import Filters

    genres, without = tuple(genre or ()), tuple(without_genre or ())
    return Filters(genres, without, year_from, year_to, min_ratings or 0, max_ratings)


def adapter_of(
    config: Config, adapter: Path | None, base_only: bool, *, with_base: bool = False
) -> Path | None:
    """Return the adapter's folder; None for the base model alone.

    Raises:
        ConfigError: ``--base-only`` is combined with ``--with-base`` or ``--adapter``.
        ModelError: There is no adapter.
    """
    if not base_only:
        return require_adapter(config, adapter, ", or use the base model with --base-only")
    if with_base or adapter is not None:
        flag = "--with-base" if with_base else "--adapter"
        raise ConfigError(
            f"--base-only and {flag} are both given",
            code="conflicting_flags",
            hint="Leave one of them out",
        )
    return None


def require_adapter(config: Config, adapter: Path | None, alternative: str = "") -> Path:
    """Return the adapter's folder, before anything else is loaded.

    Raises:
        ModelError: There is no adapter.
    """
    from reeltune.api.runs import require_adapter as require

    return require(adapter or config.train.output_dir, alternative)
