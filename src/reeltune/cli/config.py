"""``reeltune config``: show, schema, explain."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from reeltune.cli import options

app = typer.Typer(help="Look at the configuration.", no_args_is_help=True)


@app.command()
def show(
    config: options.ConfigOption = options.DEFAULT_CONFIG, override: options.SetOption = None
) -> None:
    """Print the resolved configuration: the file, the overrides and every default."""
    import yaml

    from reeltune.config import config_hash, config_tree

    resolved = options.resolve_config(config, override)
    typer.echo(yaml.safe_dump(config_tree(resolved), sort_keys=False).rstrip())
    typer.echo(f"# sha256 {config_hash(resolved)}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors and checks."""
    from reeltune.config import Config

    typer.echo(json.dumps(Config.model_json_schema(), indent=2))


@app.command()
def explain(
    key: Annotated[str, typer.Argument(help="A key such as train.learning_rate, or a section.")],
) -> None:
    """Print what a key means, when to change it and what it costs."""
    from reeltune.config.reference import explain

    typer.echo(explain(key))
