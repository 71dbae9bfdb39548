"""Writing the report: everything an evaluation found, put together in one file."""

from __future__ import annotations

from pathlib import Path

from reeltune.evaluation.predictions import Predictions
from reeltune.evaluation.result import Evaluation
from reeltune.files import atomic_file
from reeltune.report.cast import Cast
from reeltune.report.charts.comparisons import breakdown_chart, controls_chart, forests
from reeltune.report.charts.learning import learning_charts
from reeltune.report.charts.reliability import calibration_grid, reliability_chart
from reeltune.report.charts.roc import roc_chart
from reeltune.report.examples import cards
from reeltune.report.headline import headline
from reeltune.report.page import fill
from reeltune.report.scorer_grids import differences_grid, scorers_grid, settings_grid
from reeltune.report.shown import measured
from reeltune.report.training import TrainingCurves


def write_report(
    path: Path,
    evaluation: Evaluation,
    predictions: Predictions,
    training: TrainingCurves | None,
) -> None:
    """Write one HTML file that shows all an evaluation found and loads nothing from elsewhere.

    The same input gives the same bytes.

    Args:
        path: Where it goes; written whole or not at all.
        evaluation: What was found.
        predictions: The rows it was found on, with the verdicts the ROC curves are drawn from.
        training: How the adapter learned; None without an adapter or its run.
    """
    page = render(evaluation, predictions, training)
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render(
    evaluation: Evaluation, predictions: Predictions, training: TrainingCurves | None
) -> str:
    """Return the page that :func:`write_report` writes."""
    cast = Cast.of(evaluation)
    return fill(
        evaluation=evaluation,
        cast=cast,
        headline=headline(evaluation, cast),
        metrics=measured(cast.ordered),
        scorers=scorers_grid(cast),
        settings=settings_grid(cast),
        forests=forests(evaluation, cast),
        differences=differences_grid(evaluation.differences, cast),
        roc=roc_chart(predictions, cast),
        reliability=reliability_chart(evaluation.reliability, cast),
        calibration=calibration_grid(evaluation.reliability, cast),
        learning=learning_charts(training) if training is not None else [],
        breakdowns=[
            breakdown_chart(breakdown, cast, place)
            for place, breakdown in enumerate(evaluation.breakdowns)
        ],
        controls=controls_chart(evaluation.controls) if evaluation.controls else None,
        examples=cards(evaluation.examples, cast),
    )
