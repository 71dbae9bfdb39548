"""Evaluate the model of a training run beside its base model and the classical baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from reeltune.api.frames import new_frame
from reeltune.api.runs import ConfigLike, PathLike, RunLike, resolve_run
from reeltune.boundary import translated_errors
from reeltune.config import Config
from reeltune.config.arguments import checked
from reeltune.domain import Form
from reeltune.evaluation.collect import CollectedPredictions, collect_predictions
from reeltune.evaluation.custom_metrics import CustomMetric
from reeltune.evaluation.evaluate import evaluate as evaluate_predictions
from reeltune.evaluation.result import Evaluation as EvaluationResult
from reeltune.extras import require
from reeltune.files import check_writable
from reeltune.locks import exclusive, shared
from reeltune.models.loaded_model import LoadedModel, load_model
from reeltune.progress import scoring_progress
from reeltune.report.save_evaluation import (
    REPORT_FILE,
    read_earlier,
    save_evaluation,
    save_with_adapter,
    training_curves,
)
from reeltune.runs.folder import RunFolder

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Evaluation:
    """Metrics of all scorers on the same rows.

    It holds what :class:`reeltune.evaluation.result.Evaluation` does not: the predictions and the
    model that :meth:`report` needs.

    Attributes:
        result: Metrics with intervals, differences, breakdowns, ablations and warnings.
        folder: Where :meth:`report` writes by default.
    """

    result: EvaluationResult
    folder: Path
    _loaded: LoadedModel
    _collected: CollectedPredictions
    _run: RunFolder | None
    _own_prompt: bool

    def table(self, *, intervals: bool = False) -> pl.DataFrame:
        """Return a row per scorer and a column per metric.

        Args:
            intervals: Add the ends of the 95 % intervals, as ``auc_low`` and ``auc_high``.
        """
        scorers = self.result.scorers
        columns: dict[str, list[Any]] = {
            "scorer": [scorer.name for scorer in scorers],
            "kind": [scorer.kind for scorer in scorers],
        }
        fields = ("value", "low", "high") if intervals else ("value",)
        for metric in scorers[0].metrics:
            for field in fields:
                name = metric if field == "value" else f"{metric}_{field}"
                columns[name] = [getattr(scorer.metrics[metric], field, None) for scorer in scorers]
        return new_frame(columns)

    @checked
    def report(self, folder: PathLike | None = None) -> Path:
        """Write ``report.html``, ``metrics.json`` and ``predictions.parquet``.

        An evaluation of test rows also leaves its calibration and its figures with the adapter,
        if its folder can be written.

        Args:
            folder: By default :attr:`folder`.

        Returns:
            The path of ``report.html``.
        """
        target = self.folder if folder is None else Path(folder)
        with evaluation_locks(target, None if self._run is None else self._run.path):
            save_evaluation(target, self._loaded, self._collected, self.result, self._run)
            if self._run is not None and self._own_prompt and self.result.split == "test":
                save_with_adapter(self._run, self._collected, self.result)
        return target / REPORT_FILE


@translated_errors()
@checked
def evaluate(
    run: RunLike | None = None,
    *,
    metrics: Mapping[str, CustomMetric] | None = None,
    split: Literal["validation", "test"] = "test",
    config: ConfigLike | None = None,
    overrides: Mapping[str, Any] | None = None,
    prepared: PathLike | None = None,
    base: PathLike | None = None,
    base_only: bool = False,
    allow_domain_shift: bool = False,
    fusion: bool = True,
    form: Form | None = None,
    keep_predictions: bool = False,
    output: PathLike | None = None,
) -> Evaluation:
    """Score the rows of a split with every scorer, and measure them, as ``reeltune evaluate`` does.

    Args:
        run: A run or its folder; None for the base model of ``config``.
        metrics: Further metrics by name: functions of labels, P(Yes) and users, each an array of
            shape ``(rows,)``, that return a number.
        split: The rows to report.
        config: By default the run's own.
        overrides: Values by key, such as ``{"evaluation.max_examples": 500}``.
        prepared: The prepared folder, if it has been moved.
        base: The folder of the base model, if it has been moved; its weights must be the same.
        base_only: Score the base model, without the adapter.
        allow_domain_shift: Accept data of another domain or rating scale than the adapter's.
        fusion: False for the language model alone, as ``scoring.fusion: none``.
        form: The form of the prompts, if not that of the training.
        keep_predictions: Use the models' predictions of the last evaluation in the output folder.
        output: The folder for the report; by default in the run's.

    Raises:
        RunError: There is no run in the folder.
        ModelError: There is no adapter, or it cannot be used.
        DataError: There is no prepared folder, or no earlier evaluation to keep.
        ConfigError: The configuration or a metric is not valid.
        MissingExtraError: The extra ``report`` is not installed.
        FileError: The output folder cannot be written.

    >>> def mean_error(labels, p_yes, users):
    ...     return abs(labels - p_yes).mean()
    >>> overrides = {"evaluation.baselines": False, "evaluation.ablation_examples": 0}
    >>> metrics = {"mean_error": mean_error}
    >>> evaluation = evaluate("output/demo", metrics=metrics, overrides=overrides)
    >>> "mean_error" in evaluation.table().columns
    True
    >>> evaluation.report().name
    'report.html'
    """
    resolved, adapter = resolve_run(
        run,
        config,
        overrides,
        prepared,
        base,
        base_only=base_only,
        allow_domain_shift=allow_domain_shift,
        fusion=fusion,
    )
    return evaluate_model(
        resolved,
        adapter,
        metrics=metrics,
        split=split,
        form=form,
        keep_predictions=keep_predictions,
        output=None if output is None else Path(output),
    )


def evaluate_model(
    config: Config,
    adapter: Path | None,
    *,
    metrics: Mapping[str, CustomMetric] | None = None,
    split: str,
    form: Form | None,
    keep_predictions: bool,
    output: Path | None,
) -> Evaluation:
    """Evaluate an adapter, or without one the base model; see :func:`evaluate`."""
    require("report")
    run = None if adapter is None else RunFolder(adapter)
    folder = output or default_folder(adapter, config, split, form)
    check_writable((folder if folder.is_dir() else folder.parent) / REPORT_FILE)
    training_curves(run)  # damaged ones are refused before anything is scored
    own_prompt = form is None and not config.scoring.allow_domain_shift
    with evaluation_locks(folder, adapter), scoring_progress() as progress:
        loaded = load_model(config, adapter, form=form, calibrated=False)
        earlier = read_earlier(folder, loaded, run) if keep_predictions else None
        collected = collect_predictions(loaded, split, progress, earlier, folder, fuse=own_prompt)
        result = evaluate_predictions(loaded, collected, progress, metrics)
    return Evaluation(result, folder, loaded, collected, run, own_prompt)


@contextmanager
def evaluation_locks(folder: Path, adapter: Path | None) -> Iterator[None]:
    """Lock the folder of an evaluation, and the adapter's against a training that replaces it."""
    with exclusive(folder), nullcontext() if adapter is None else shared(adapter):
        yield


def default_folder(adapter: Path | None, config: Config, split: str, form: str | None) -> Path:
    """Return the folder an evaluation is written to by default."""
    names = ("evaluation", "" if split == "test" else split, form or "", domain_shift_name(config))
    name = "-".join(filter(None, names))
    # A base model has no run folder, and a file in an empty one would block training.
    output_dir = config.train.output_dir
    return adapter / name if adapter else output_dir.with_name(f"{output_dir.name}-base-{name}")


def domain_shift_name(config: Config) -> str:
    """Return a part of file names, so that results of another domain replace none of the own."""
    return "domain-shift" if config.scoring.allow_domain_shift else ""
