"""``reeltune evaluate`` and ``reeltune compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from reeltune.cli import options
from reeltune.errors import ConfigError
from reeltune.extras import require

_MAX_EXAMPLES = "evaluation.max_examples"


def evaluate(
    config: options.ConfigOption = options.DEFAULT_CONFIG,
    override: options.SetOption = None,
    adapter: options.AdapterOption = None,
    base: options.BaseOption = None,
    domain_shift: options.DomainShiftOption = False,
    no_fusion: options.NoFusionOption = False,
    split: options.SplitOption = "test",
    max_examples: options.LimitOption = None,
    base_only: Annotated[
        bool, typer.Option("--base-only", help="Score the base model, without any adapter.")
    ] = False,
    form: Annotated[
        Literal["window", "interview"] | None,
        typer.Option("--form", help="The form of the prompts, if not that of the training."),
    ] = None,
    baselines: Annotated[
        bool | None,
        typer.Option("--baselines/--no-baselines", help="Whether to fit classical baselines."),
    ] = None,
    ablations: Annotated[
        int | None,
        typer.Option(
            "--ablations", min=0, help="Rows to score with information removed; 0 for none."
        ),
    ] = None,
    keep_predictions: Annotated[
        bool,
        typer.Option(
            "--keep-predictions",
            help="Use the models' predictions and ablations of the run's last evaluation, for "
            "instance one made on a GPU, and compute only the rest.",
        ),
    ] = False,
    keep_verdicts: Annotated[bool, typer.Option("--keep-verdicts", hidden=True)] = False,
    controls: Annotated[int | None, typer.Option("--controls", hidden=True)] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="The folder to write to; by default in the run folder."),
    ] = None,
) -> None:
    """Evaluate tuned model, base model and classical baselines on the same rows, with a report."""
    _refuse_old_flags(keep_verdicts, controls)
    require("report")
    from rich.console import Console

    with options.importing():
        from reeltune.api.evaluation import default_folder, evaluate_model, evaluation_locks
        from reeltune.evaluation.tables import (
            cold_to_warm_table,
            difference_lines,
            fusion_sentences,
            gain_sentence,
            gain_table,
            lead_sentences,
            scorers_table,
        )
        from reeltune.runs.log import logging_to

    flags = {
        _MAX_EXAMPLES: max_examples,
        "evaluation.baselines": baselines,
        "evaluation.ablation_examples": ablations,
    }
    resolved = options.resolve_config(
        config, override, flags, base=base, domain_shift=domain_shift, no_fusion=no_fusion
    )
    folder = options.adapter_of(resolved, adapter, base_only)
    target = output or default_folder(folder, resolved, split, form)
    with logging_to(None), evaluation_locks(target, folder):
        evaluation = evaluate_model(
            resolved,
            folder,
            split=split,
            form=form,
            keep_predictions=keep_predictions,
            output=target,
        )
        report = evaluation.report()
    console, result = Console(), evaluation.result
    if result.gain is None or len(result.scorers) > 2:
        console.print(scorers_table(result))
        for line in difference_lines(result):
            console.print(line, highlight=False)
        for breakdown in result.cold_to_warm:
            console.print(cold_to_warm_table(breakdown))
            for line in lead_sentences(result, breakdown):
                console.print(line, highlight=False, soft_wrap=True)
        for line in fusion_sentences(result):
            console.print(line, highlight=False, soft_wrap=True)
    if result.gain is not None:
        console.print(gain_table(result.gain))
        console.print(gain_sentence(result.gain), highlight=False, soft_wrap=True)
    if result.warnings:
        console.print("Note:", *result.warnings, highlight=False, soft_wrap=True)
    typer.echo(f"written to {report} and beside it")


def compare(
    config: options.ConfigOption = options.DEFAULT_CONFIG,
    override: options.SetOption = None,
    adapter: options.AdapterOption = None,
    base: options.BaseOption = None,
    domain_shift: options.DomainShiftOption = False,
    split: options.SplitOption = "test",
    max_examples: options.LimitOption = None,
    samples: Annotated[
        int | None, typer.Option("--samples", min=0, help="How many rows to show in full.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Where the JSON goes; by default beside the adapter."),
    ] = None,
) -> None:
    """Compare base and tuned model, each alone, on the same rows: metrics, and rows in full."""
    flags = {_MAX_EXAMPLES: max_examples, "evaluation.samples": samples}
    resolved = options.resolve_config(config, override, flags, base=base, domain_shift=domain_shift)
    folder = options.require_adapter(resolved, adapter)
    from rich.console import Console

    with options.importing():
        from reeltune.api.evaluation import domain_shift_name
        from reeltune.evaluation.compare import compare as compare_models
        from reeltune.evaluation.tables import (
            difference_line,
            gain_sentence,
            gain_table,
            metrics_table,
            samples_table,
        )
        from reeltune.files import check_writable, write_json
        from reeltune.locks import shared
        from reeltune.models.loaded_model import load_model
        from reeltune.progress import scoring_progress
        from reeltune.runs.log import logging_to

    names = filter(None, ("comparison", split, domain_shift_name(resolved)))
    target = output or folder / f"{'-'.join(names)}.json"
    check_writable(target)
    with logging_to(None), shared(folder):
        loaded = load_model(resolved, folder)
        with scoring_progress() as progress:
            comparison = compare_models(loaded, split, progress)
        write_json(target, comparison.to_dict(loaded))
    console = Console()
    if comparison.samples:
        console.print(samples_table(comparison.samples))
    console.print(metrics_table(f"{split} rows, {resolved.data.prepared_dir}", comparison.metrics))
    console.print("Both are the language model alone: no fusion, which other commands may use.")
    console.print(difference_line(comparison.auc_difference))
    console.print(gain_table(comparison.gain))
    console.print(gain_sentence(comparison.gain), highlight=False, soft_wrap=True)
    typer.echo(f"written to {target}")


def _refuse_old_flags(keep_verdicts: bool, controls: int | None) -> None:
    for old, new, used in (
        ("--keep-verdicts", "--keep-predictions", keep_verdicts),
        ("--controls", "--ablations", controls is not None),
    ):
        if used:
            raise ConfigError(
                f"the flag {old} is now called {new}",
                code="renamed_flag",
                where=old,
                hint=f"Use {new}",
            )
