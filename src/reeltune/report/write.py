"""The report: one HTML file that shows an evaluation and loads nothing from elsewhere."""

from __future__ import annotations

import unicodedata
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reeltune.domain import FILM_STARS, RatingWords
from reeltune.evaluation.predictions import PredictionTable
from reeltune.evaluation.result import Evaluation
from reeltune.evaluation.tables import fusion_sentences
from reeltune.files import atomic_file
from reeltune.report import scorer_tables, tables
from reeltune.report.curves import (
    calibration_table,
    cold_to_warm_chart,
    reliability_chart,
    roc_chart,
)
from reeltune.report.forest import ablations_chart, answer_chart, breakdown_chart, forests
from reeltune.report.headline import headline
from reeltune.report.learning import TrainingCurves, learning_charts
from reeltune.report.metric_labels import measured
from reeltune.report.roles import Roles

_PACKAGE: Final = "reeltune.report"
_FOLDER: Final = "templates"


def write_report(
    path: Path,
    evaluation: Evaluation,
    predictions: PredictionTable,
    training: TrainingCurves | None,
    words: RatingWords = FILM_STARS,
) -> None:
    """Write the report, whole or not at all. The same input gives the same bytes.

    Args:
        path: The HTML file.
        evaluation: The result.
        predictions: Its rows, for the ROC curves.
        training: The learning curves; None without an adapter or its run.
        words: What items and ratings are called.
    """
    page = render(evaluation, predictions, training, words)
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render(
    evaluation: Evaluation,
    predictions: PredictionTable,
    training: TrainingCurves | None,
    words: RatingWords = FILM_STARS,
) -> str:
    """Return the HTML that :func:`write_report` writes."""
    roles = Roles.of(evaluation)
    return _fill(
        words,
        evaluation=evaluation,
        roles=roles,
        headline=headline(evaluation, roles),
        answer=answer_chart(roles),
        metrics=measured(roles.ordered),
        scorers=scorer_tables.scorers_table(roles),
        settings=scorer_tables.settings_table(roles),
        forests=forests(evaluation, roles),
        fusion=fusion_sentences(evaluation),
        differences=scorer_tables.differences_tables(evaluation.differences, roles),
        top_ten=evaluation.top_ten and scorer_tables.top_ten_table(evaluation.top_ten, roles),
        roc=roc_chart(predictions, roles),
        reliability=reliability_chart(evaluation.reliability, roles),
        calibration=calibration_table(evaluation.reliability, roles),
        learning=learning_charts(training) if training is not None else [],
        cold_to_warm=[
            cold_to_warm_chart(evaluation, roles, index)
            for index in range(len(evaluation.cold_to_warm))
        ],
        breakdowns=[
            breakdown_chart(breakdown, roles, index)
            for index, breakdown in enumerate(evaluation.breakdowns)
        ],
        ablations=ablations_chart(evaluation.ablations) if evaluation.ablations else None,
    )


def _fill(words: RatingWords, **content: Any) -> str:
    """Fill the template: every text is escaped, and a missing value is an error."""
    environment = Environment(
        loader=PackageLoader(_PACKAGE, _FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    names = ("between", "count", "number", "percent", "signed", "signed_between")
    environment.filters |= {name: getattr(tables, name) for name in names}
    environment.globals["words"] = words
    style = files(_PACKAGE).joinpath(_FOLDER, "report.css").read_text(encoding="utf-8")
    # The style sheet is the package's own; escaping would break its selectors.
    return environment.get_template("report.html.j2").render(style=Markup(style), **content)


def _finalized(value: Any) -> Any:
    """Return what is printed for a value: text without control characters, and never None."""
    if value is None:
        raise TypeError("an undefined value has to be shown as undefined, with the reason")
    if isinstance(value, str) and not isinstance(value, Markup):
        return "".join(
            c
            if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs")
            else "\N{REPLACEMENT CHARACTER}"
            for c in value
        )
    return value
