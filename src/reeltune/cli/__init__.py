"""The command line: ``reeltune COMMAND``.

Command modules import torch, transformers, polars and the like inside the commands that need them,
so that ``reeltune --help`` is instant.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from reeltune import __version__
from reeltune.cli import (
    check,
    config,
    demo,
    doctor,
    evaluate,
    export,
    fetch,
    init,
    lengths,
    prepare,
    recommend,
    score,
    serve,
    train,
)
from reeltune.cli.heartbeat import heartbeat
from reeltune.errors import ReeltuneError

app = typer.Typer(
    name="reeltune",
    help="Fine-tune a small language model to predict whether a user will like a film.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(init.init)
app.command(help=fetch.HELP)(fetch.fetch)
app.command(help=prepare.HELP)(prepare.prepare)
for command in (
    demo.demo,
    lengths.lengths,
    train.train,
    evaluate.evaluate,
    evaluate.compare,
    check.check,
):
    app.command()(command)
app.command()(export.export)
app.command(cls=recommend.RecommendCommand)(recommend.recommend)
app.command()(score.score)
app.command()(serve.serve)
app.command()(doctor.doctor)
app.add_typer(config.app, name="config")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"reeltune {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the whole traceback of an error.")
    ] = False,
) -> None:
    del version, debug  # read before parsing: see main


def main(args: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code; ``--debug`` is accepted anywhere on the line."""
    given = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in given
    words = [argument for argument in given if argument != "--debug"]
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # libraries would draw their bars in the log
    silent = words[:1] == ["serve"]  # it waits for requests
    beating = contextlib.nullcontext() if silent else heartbeat(" ".join(["reeltune", *words[:1]]))
    try:
        with beating:
            app(args=words)
    except (ReeltuneError, OSError) as error:
        if debug:
            traceback.print_exc()
        else:
            code = error.code if isinstance(error, ReeltuneError) else "os_error"
            typer.secho(f"error[{code}]: {_error_line(error)}", fg="red", err=True)
        sys.exit(error.exit_code if isinstance(error, ReeltuneError) else ReeltuneError.exit_code)


def _error_line(error: ReeltuneError | OSError) -> str:
    if isinstance(error, ReeltuneError) or error.filename is None:
        return str(error)
    return f"{error.filename}: {error.strerror}. Check the path, its permissions and free space"
