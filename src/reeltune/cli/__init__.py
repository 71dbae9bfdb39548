"""The command line: ``reeltune COMMAND``.

Command modules import torch, transformers, polars and the like inside the commands that need them,
so that ``reeltune --help`` is instant.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from reeltune import __version__
from reeltune.boundary import translate, unexpected
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
from reeltune.telemetry import switch_off_telemetry


class _Root(TyperGroup):
    """Turns what a command raises into errors of one line, before typer sees an ``EOFError``."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.secho("Aborted.", fg="red", err=True)
            raise
        except (ReeltuneError, BrokenPipeError):
            raise
        except Exception as error:  # any, since every library has its own
            if type(error).__module__.startswith(("typer", "click")):
                raise
            raise translate(error) or unexpected(error) from error


app = typer.Typer(
    name="reeltune",
    cls=_Root,
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
    train.tune,
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


def _warn_of_thread(failed: Any) -> None:
    """Print one line for an exception that ends another thread, such as TensorBoard's."""
    if isinstance(failed.exc_value, Exception):
        error = translate(failed.exc_value) or unexpected(failed.exc_value)
        typer.secho(f"warning[{error.code}]: {error}", fg="yellow", err=True)


def main(args: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code; ``--debug`` is accepted anywhere on the line."""
    given = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in given
    words = [argument for argument in given if argument != "--debug"]
    switch_off_telemetry()
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # libraries would draw their bars in the log
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a title may not be in the terminal's encoding
            stream.reconfigure(errors="backslashreplace")
    threading.excepthook = _warn_of_thread
    silent = words[:1] == ["serve"]  # it waits for requests
    beating = contextlib.nullcontext() if silent else heartbeat(" ".join(["reeltune", *words[:1]]))
    try:
        try:
            with beating:
                app(args=words)
        finally:
            sys.stdout.flush()
    except (ReeltuneError, OSError) as caught:
        error = translate(caught)  # none if nobody reads standard output any more
        if debug:
            traceback.print_exc()
        elif error is not None:
            typer.secho(f"error[{error.code}]: {error}", fg="red", err=True)
        with contextlib.suppress(OSError):  # drops what a full disk refused, before Python ends
            sys.stdout.flush()
        sys.exit(ReeltuneError.exit_code if error is None else error.exit_code)
