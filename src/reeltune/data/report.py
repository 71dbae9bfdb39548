"""The summary that ``prepare`` prints."""

from __future__ import annotations

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from reeltune.data.columns import CONTEXT, EXAMPLE_SPLITS
from reeltune.data.prepare import PrepareReport


def print_report(report: PrepareReport, console: Console) -> None:
    """Print counts of ratings, rows and likes of each split, and the files."""
    meta = report.meta
    counts, settings = meta["counts"], meta["settings"]
    console.print(
        f"{counts['ratings_in_source']:,} ratings = {counts['dropped']:,} dropped + "
        f"{counts['events']:,} events of {counts['users']:,} users "
        f"({counts['users_without_examples']:,} without an example), "
        f"{counts['items']:,} films ({counts['items_without_year']:,} without a year)",
        soft_wrap=True,
    )
    for reason, dropped in meta["dropped"].items():
        first = dropped["first"][0]
        console.print(
            f"dropped: {dropped['count']:,} {reason}, the first in {first['file']}, line "
            f"{first['line']}: {first['value']}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    console.print(_splits_table(report))
    if settings["val_from"] is not None:
        console.print(
            f"validation from {settings['val_from']['iso']}, test from "
            f"{settings['test_from']['iso']}",
            soft_wrap=True,
        )
    console.print(_files_table(report))
    console.print(f"{len(meta['checks'])} invariants hold for every row", style="green")
    console.print(f"Prepared data: {report.folder}", markup=False, soft_wrap=True)


def _splits_table(report: PrepareReport) -> Table:
    counts, rates = report.meta["counts"], report.meta["label_rates"]
    settings = report.meta["settings"]
    table = Table(
        title=f"{report.meta['edition']}, {settings['split']} split, history "
        f"{settings['history_len']}",
        caption=f"liked: {settings['rating_threshold']:.1f} stars or more",
        caption_justify="left",
    )
    table.add_column("split")
    table.add_column("rows", justify="right")
    table.add_column("liked", justify="right")
    for split in EXAMPLE_SPLITS:
        rate = rates[split]
        table.add_row(split, f"{counts[split]:,}", "-" if rate is None else f"{rate:.1%}")
    table.add_row(f"{CONTEXT} (never predicted)", f"{counts[CONTEXT]:,}", "")
    return table


def _files_table(report: PrepareReport) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column("file")
    table.add_column("rows", justify="right")
    table.add_column("size", justify="right")
    for name, file in report.meta["files"].items():
        table.add_row(name, f"{file['rows']:,} rows", decimal(file["bytes"]))
    return table
