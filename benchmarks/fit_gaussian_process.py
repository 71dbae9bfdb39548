"""Fit the Gaussian process to prepared data as ``prepare`` does, and compare it on test rows.

Reports the time of the fit, and metrics of the signal `expected` alone, computed from whole
histories: shipped hyperparameters, then fitted ones, whether or not ``prepare`` would use them::

    python -m benchmarks.fit_gaussian_process --prepared data/movielens_qwen3 --also data/ml_100k
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import command_line, common_options, write_result
from reeltune.data.columns import TEST, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.domain import GP_HYPERPARAMETERS, SIGNALS, PromptSettings
from reeltune.evaluation.metrics import measure
from reeltune.signals.fit import fit, fit_signals, training_timelines
from reeltune.signals.source import SignalSource
from reeltune.signals.target import decision_boundary


def cases_of(prepared: Path) -> Iterator[dict[str, Any]]:
    """Yield the figures of the fit, then those of each set of hyperparameters."""
    folder = PreparedFolder.open(prepared)
    began, used = time.perf_counter(), time.process_time()
    section = fit_signals(folder, print)
    yield {
        "case": f"{prepared.name}, fit",
        "seconds": time.perf_counter() - began,
        "processor_seconds": time.process_time() - used,
        **{name: value for name, value in section.items() if name != "gaussian_process"},
    }
    settings = replace(folder.prompt_settings, signals=("expected",))
    timelines = training_timelines(
        SignalSource(folder.ratings, folder.items, settings, auxiliary=folder.auxiliary)
    )
    fitted = fit(timelines, decision_boundary(settings))
    for name, process in (("shipped", GP_HYPERPARAMETERS), ("fitted", fitted)):
        metrics = _metrics(folder, replace(settings, gaussian_process=process))
        yield {"case": f"{prepared.name}, {name}", **metrics, **asdict(process)}


def _metrics(folder: PreparedFolder, settings: PromptSettings) -> dict[str, float | None]:
    """Return metrics of the signal `expected` on validation and test rows."""
    source = SignalSource(folder.ratings, folder.items, settings, auxiliary=folder.auxiliary)
    shares = np.array(SIGNALS["expected"].shares)
    metrics: dict[str, float | None] = {}
    codes = source.of_events()[:, 0]
    for split in (VALIDATION, TEST):
        rows = np.flatnonzero(source.known.split == split)
        known = source.known.take(rows)
        found = measure(known.liked, shares[codes[rows]], known.user_id)
        metrics[f"auc, {split}"] = found.auc
        metrics[f"auc_per_user_mean, {split}"] = found.auc_per_user_mean
        metrics[f"log_loss, {split}"] = found.log_loss
    return metrics


def main(arguments: list[str] | None = None) -> None:
    """Fit each prepared folder and print its figures."""
    parser = common_options(__doc__ or "")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="More prepared folders.")
    options = parser.parse_args(arguments)
    cases = []
    for prepared in (options.prepared, *options.also):
        for case in cases_of(prepared):
            cases.append(case)
            print(case, flush=True)
    command = command_line("fit_gaussian_process", options, "prepared", "also")
    write_result(options.result, command, cases, note=options.note)


if __name__ == "__main__":
    main()
