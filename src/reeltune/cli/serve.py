"""``reeltune serve``."""

from __future__ import annotations

from typing import Annotated

import typer

from reeltune.cli import options
from reeltune.extras import require


def serve(
    config: options.ConfigOption = options.DEFAULT_CONFIG,
    override: options.SetOption = None,
    adapter: options.AdapterOption = None,
    base: options.BaseOption = None,
    domain_shift: options.DomainShiftOption = False,
    no_fusion: options.NoFusionOption = False,
    base_only: Annotated[
        bool, typer.Option("--base-only", help="Serve the base model, without any adapter.")
    ] = False,
    host: Annotated[
        str | None,
        typer.Option(
            "--host", help="Listen on this address; other than loopback, it needs a token."
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="0 takes any free port.")
    ] = None,
    history: Annotated[
        int | None,
        typer.Option("--history", min=1, help="Show this many of the newest ratings."),
    ] = None,
) -> None:
    """Serve predictions and recommendations over HTTP, with a page to try them."""
    require("serve")
    with options.importing():
        from reeltune.models.loaded_model import load_model
        from reeltune.runs.log import logging_to
        from reeltune.scoring.predictor import Predictor
        from reeltune.serve.app import make_app
        from reeltune.serve.server import listen, read_token, run

    resolved = options.resolve_config(
        config,
        override,
        {"serving.host": host, "serving.port": port},
        base=base,
        domain_shift=domain_shift,
        no_fusion=no_fusion,
    )
    folder = options.adapter_of(resolved, adapter, base_only)
    with logging_to(None):
        token = read_token(resolved.serving)
        listener = listen(resolved.serving)
        predictor = Predictor(load_model(resolved, folder), history)
        app = make_app(predictor, resolved.serving, token)
        run(app, listener, resolved.serving)
