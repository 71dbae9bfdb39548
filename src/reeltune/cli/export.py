"""``reeltune export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from reeltune.cli import options
from reeltune.errors import FetchError

if TYPE_CHECKING:
    from reeltune.export.hub import HubTarget


def export(
    *,
    merged: Annotated[Path, typer.Option("--merged", help="Folder of the merged model.")],
    config: options.ConfigOption = options.DEFAULT_CONFIG,
    override: options.SetOption = None,
    adapter: options.AdapterOption = None,
    base: options.BaseOption = None,
    domain_shift: options.DomainShiftOption = False,
    split: options.SplitOption = "test",
    rows: Annotated[
        int, typer.Option("--rows", min=1, help="Measure on a random sample of this many rows.")
    ] = 1000,
    dtype: Annotated[
        Literal["bfloat16", "float16", "float32"],
        typer.Option("--dtype", help="Data type of the merged weights."),
    ] = "bfloat16",
    onto: Annotated[
        Literal["published", "4bit"],
        typer.Option(
            "--onto",
            help="Merge into the base's published weights, or into its dequantized 4-bit weights, "
            "for an adapter trained in 4 bits.",
        ),
    ] = "published",
    max_auc_drift: Annotated[
        float,
        typer.Option("--max-auc-drift", min=0, help="Largest allowed difference of the AUC."),
    ] = 0.005,
    max_p_drift: Annotated[
        float,
        typer.Option("--max-p-drift", min=0, help="Largest allowed difference of any P(Yes)."),
    ] = 0.05,
    allow_drift: Annotated[
        bool, typer.Option("--allow-drift", help="Keep the model even beyond a bound.")
    ] = False,
    gguf: Annotated[
        Path | None,
        typer.Option("--gguf", help="Also write model.gguf, by llama.cpp's convert_hf_to_gguf.py."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export in that folder.")
    ] = False,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            "--push-to-hub",
            metavar="REPO",
            help="Also upload it to this repository of the Hugging Face Hub, such as user/name.",
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="With --push-to-hub: only to a private repository.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option("--revision", help="With --push-to-hub: the branch.")
    ] = None,
) -> None:
    """Write base and adapter as one ordinary model and measure its drift from the adapter."""
    from rich.console import Console

    with options.importing():
        from reeltune.export.drift import Bounds, drift_tables
        from reeltune.export.export import ExportOptions, export_merged
        from reeltune.export.hub import exported_before, push
        from reeltune.progress import scoring_progress
        from reeltune.runs.log import logging_to

    resolved = options.resolve_config(config, override, base=base, domain_shift=domain_shift)
    adapter = options.require_adapter(resolved, adapter)
    hub = _hub_target(push_to_hub, private, revision)
    new = overwrite or gguf is not None
    if hub is not None and not new and exported_before(merged, adapter, dtype, onto):
        typer.echo(f"exported before: {merged}")
        push(merged, hub, typer.echo)
        return
    chosen = ExportOptions(
        rows=rows,
        split=split,
        dtype=dtype,
        onto=onto,
        bounds=Bounds(max_auc_drift, max_p_drift),
        allow_drift=allow_drift,
        gguf=gguf,
        overwrite=overwrite,
    )
    console = Console()
    with logging_to(None), scoring_progress() as progress:
        export_merged(
            resolved,
            adapter,
            merged,
            chosen,
            lambda drift: console.print(drift_tables(drift)),
            progress,
        )
    typer.echo(f"written to {merged}")
    if hub is not None:
        push(merged, hub, typer.echo)


def _hub_target(repo_id: str | None, private: bool, revision: str | None) -> HubTarget | None:
    """Return where to upload to, once the hub has accepted the user's token."""
    if repo_id is None:
        flags = [
            flag for flag, given in (("--private", private), ("--revision", revision)) if given
        ]
        if flags:
            raise FetchError(
                "no effect without --push-to-hub",
                code="option_without_effect",
                where=", ".join(flags),
                hint="Add --push-to-hub REPO, or omit it",
            )
        return None
    from reeltune.export.hub import HubTarget, check_access

    target = HubTarget(repo_id, private, revision)
    typer.echo(f"will be uploaded to {target} as {check_access(target)}")
    return target
