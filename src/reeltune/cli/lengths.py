"""``reeltune lengths``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reeltune.cli import options

if TYPE_CHECKING:
    from reeltune.config import Config
    from reeltune.data.folder import PreparedFolder
    from reeltune.domain import PromptSettings
    from reeltune.lengths.measure import BlockLengths, LengthReport
    from reeltune.prompts.pieces import PromptTokens

_BAR_WIDTH = 40
_MAX_LENGTH = "data.max_length"
_PACK_LENGTH = "train.pack_length"


def lengths(
    config: options.ConfigOption = options.DEFAULT_CONFIG,
    override: options.SetOption = None,
    percentiles: Annotated[
        str, typer.Option("--percentiles", help="Percentiles to show, separated by commas.")
    ] = "50,90,95,99,100",
    char_only: Annotated[
        bool,
        typer.Option("--char-only", help="Count characters and load no tokenizer."),
    ] = False,
    histogram: Annotated[
        bool, typer.Option("--histogram", help="Show histograms of the lengths, too.")
    ] = False,
) -> None:
    """Show how long prompts and blocks are, and fail when something would not fit."""
    with options.importing():
        from reeltune.data.columns import EXAMPLE_SPLITS
        from reeltune.lengths.measure import char_lengths, parse_percentiles
        from reeltune.prompts.rows import prompt_settings
        from reeltune.signals.folder import open_prepared

    resolved = options.resolve_config(config, override)
    shown = parse_percentiles(percentiles)
    folder = open_prepared(resolved)
    settings = prompt_settings(folder, resolved.prompt)
    splits = [split for split in EXAMPLE_SPLITS if len(folder.examples(split))]
    if char_only:
        for split in splits:
            report = char_lengths(folder, settings, split, shown)
            _show(f"{split}: ", "prompts", report, histogram=histogram)
        typer.echo("characters of the messages, without the chat template")
        return
    tokens = _load_tokens(resolved, folder, settings)
    _show_tokens(resolved, folder, tokens, splits, shown, histogram)


def _load_tokens(config: Config, folder: PreparedFolder, settings: PromptSettings) -> PromptTokens:
    from reeltune.domain import Renderer

    with options.importing():
        from reeltune.models.pretrained import load_tokenizer
        from reeltune.prompts.pieces import PromptTokens

    tokenizer = load_tokenizer(config.model.name_or_path, config.model.revision)
    tokens = PromptTokens(tokenizer, Renderer(settings), folder.items, folder.tags)
    different, count = len(tokens.differing), len(folder.items)
    way = "prompts are tokenized whole" if different else "prompts are assembled from token pieces"
    shown = settings.domain.count(count)
    typer.echo(f"{way} (pieces differ for {different} of {shown})")
    for line in tokens.describe_cut():
        typer.echo(line)
    return tokens


def _show_tokens(
    config: Config,
    folder: PreparedFolder,
    tokens: PromptTokens,
    splits: list[str],
    percentiles: tuple[float, ...],
    histogram: bool,
) -> None:
    from reeltune.data.columns import TRAIN
    from reeltune.lengths.measure import (
        block_lengths,
        describe_lengths,
        describe_packing,
        rows_read,
        token_lengths,
    )
    from reeltune.prompts.rows import ANSWER_TOKENS

    limit = config.data.max_length
    reports = {s: [token_lengths(folder, tokens, s, percentiles, limit)] for s in splits}
    for split, (report,) in reports.items():
        _show(f"{split}: ", "prompts", report, _MAX_LENGTH, histogram=histogram)
    selections = {split: rows_read(config, split) for split in splits}
    blocks = {
        split: block_lengths(folder, tokens, selection)
        for split, selection in selections.items()
        if selection.share_history
    }
    for split, lengths in blocks.items():
        alone = lengths.prompts + ANSWER_TOKENS
        reports[split].append(describe_lengths(alone, percentiles, "tokens", limit))
        title = f"{split} in blocks of up to {config.train.block_size}: "
        bars = histogram and split == TRAIN
        _show(title, "prompts", reports[split][-1], _MAX_LENGTH, histogram=bars)
        if split == TRAIN:
            _show_sequences(title, lengths, percentiles, config.train.pack_length, bars)
    _refuse_too_long(reports, limit, in_blocks=bool(blocks))
    fits = f"every prompt fits in {_MAX_LENGTH} {limit}"
    if TRAIN in blocks:
        length = config.train.pack_length
        rows, filled = describe_packing(blocks[TRAIN].sequences, length)
        typer.echo(f"packed: {rows} rows of {length} tokens, {filled:.1%} filled")
        fits += f", every block in {_PACK_LENGTH} {length}"
    typer.echo(fits)


def _show_sequences(
    title: str,
    lengths: BlockLengths,
    percentiles: tuple[float, ...],
    pack_length: int,
    histogram: bool,
) -> None:
    from reeltune.lengths.measure import describe_lengths

    report = describe_lengths(lengths.sequences, percentiles, "tokens", pack_length)
    _show(title, "sequences", report, _PACK_LENGTH, histogram=histogram)
    shared, alone = lengths.per_prediction, lengths.per_prediction_alone
    typer.echo(
        f"  tokens per prediction: {shared:.1f}; without shared histories: {alone:.1f}, "
        f"{alone / shared:.1f} times as many"
    )


def _refuse_too_long(reports: dict[str, list[LengthReport]], limit: int, in_blocks: bool) -> None:
    from reeltune.errors import LengthError

    exceeding = sum(max(report.exceeding for report in split) for split in reports.values())
    if exceeding:
        longest = max(report.maximum for split in reports.values() for report in split)
        fewer = "lower train.block_size, " if in_blocks else ""
        raise LengthError(
            f"{exceeding} prompts exceed {limit} tokens; the longest has {longest}",
            code="prompt_too_long",
            where=_MAX_LENGTH,
            hint=f"Set {_MAX_LENGTH} to at least {longest}, {fewer}or prepare with a smaller "
            "--history-len",
        )


def _show(
    title: str, things: str, report: LengthReport, limit_key: str = "", *, histogram: bool
) -> None:
    typer.echo(f"{title}{report.count} {things}, lengths in {report.unit}")
    typer.echo(f"  min {report.minimum}  mean {report.mean:.1f}  max {report.maximum}")
    if report.percentiles:
        typer.echo("  " + "  ".join(f"p{p:g} {value}" for p, value in report.percentiles))
    if report.limit is not None:
        typer.echo(f"  longer than {limit_key} {report.limit}: {report.exceeding}")
    if not histogram:
        return
    most = max(report.histogram)
    for count, low, high in zip(report.histogram, report.edges, report.edges[1:], strict=False):
        bar = "#" * round(_BAR_WIDTH * count / most)
        typer.echo(f"  {low:7d} to {min(high - 1, report.maximum):7d} {count:9d} {bar}")
