"""``reeltune lengths``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reeltune.cli.options import DEFAULT_CONFIG, ConfigOption, SetOption

if TYPE_CHECKING:
    from reeltune.lengths.report import LengthReport

_BAR_WIDTH = 40


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(lengths)


def lengths(
    config: ConfigOption = DEFAULT_CONFIG,
    override: SetOption = None,
    percentiles: Annotated[
        str, typer.Option("--percentiles", help="Percentiles to show, separated by commas.")
    ] = "50,90,95,99,100",
    char_only: Annotated[
        bool,
        typer.Option("--char-only", help="Count characters and load no tokenizer."),
    ] = False,
) -> None:
    """Show how long the prompts are, and fail when one exceeds data.max_length."""
    from reeltune.config import load_config
    from reeltune.data.columns import EXAMPLE_SPLITS
    from reeltune.data.folder import PreparedFolder
    from reeltune.errors import LengthError
    from reeltune.lengths.measure import char_lengths, prompt_tokens, token_lengths
    from reeltune.lengths.report import parse_percentiles
    from reeltune.prompts.rows import prompt_settings

    resolved = load_config(config, override or ())
    asked = parse_percentiles(percentiles)
    folder = PreparedFolder.open(resolved.data.prepared_dir)
    settings = prompt_settings(folder, resolved.prompt)
    splits = [split for split in EXAMPLE_SPLITS if len(folder.examples(split))]
    if char_only:
        for split in splits:
            _show(split, char_lengths(folder, settings, split, asked))
        typer.echo("characters of the user turn, without the chat template")
        return

    from reeltune.models.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(resolved.model.name_or_path, resolved.model.revision)
    tokens = prompt_tokens(folder, settings, tokenizer)
    if tokens.differing:
        typer.echo(f"tokenized whole: pieces differ for {len(tokens.differing)} films")
    else:
        typer.echo(f"pieces equal the whole for all {len(folder.films)} films")
    limit = resolved.data.max_length
    reports = {s: token_lengths(folder, tokens, s, asked, limit) for s in splits}
    for split, report in reports.items():
        _show(split, report)
    exceeding = sum(report.exceeding for report in reports.values())
    if exceeding:
        longest = max(report.maximum for report in reports.values())
        raise LengthError(
            f"{exceeding} prompts exceed {limit} tokens; the longest has {longest}",
            where="data.max_length",
            mend=f"Set data.max_length to at least {longest}, or prepare with a smaller "
            "--history-len",
        )
    typer.echo(f"every prompt fits in data.max_length {limit}")


def _show(split: str, report: LengthReport) -> None:
    typer.echo(f"{split}: {report.count} prompts, lengths in {report.unit}")
    typer.echo(f"  min {report.minimum}  mean {report.mean:.1f}  max {report.maximum}")
    if report.percentiles:
        typer.echo("  " + "  ".join(f"p{p:g} {value}" for p, value in report.percentiles))
    if report.limit is not None:
        typer.echo(f"  longer than data.max_length {report.limit}: {report.exceeding}")
    most = max(report.histogram)
    for count, low, high in zip(report.histogram, report.edges, report.edges[1:], strict=False):
        bar = "#" * round(_BAR_WIDTH * count / most)
        typer.echo(f"  {low:7.0f} to {high:7.0f} {count:9d} {bar}")
