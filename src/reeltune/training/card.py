"""Model cards: the README.md of a run and of merged weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from jinja2 import DictLoader, Environment, StrictUndefined

from reeltune.domain import Item, PromptSettings, Renderer
from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.result import Evaluation
from reeltune.files import atomic_file

# What all cards share; templates include these by name.
_SHARED: Final = {
    "prompt": """\
{% if record.prompt.form == "window" -%}
One user turn in the model's chat template, thinking switched off, with
{{ record.data.history_len }} rated films or more, oldest first.
{%- else -%}
A conversation in the model's chat template, its thinking switch left alone: every rated film is a
question with its answer, oldest first, {{ record.data.history_len }} or more of them.
{%- endif %}
{%- set signals = record.prompt.get("signals", record.prompt.get("evidence")) %}
{%- if signals %}
Each question carries collaborative signals ({{ signals | join(", ") }}), which
`reeltune recommend`, `score` and `serve` compute from the ratings.
{%- endif %} This is prompt version {{ record.prompt.version }}.""",
    "training": """\
## Training

| | |
|---|---|
| training rows | {{ run.rows.train }} |
{% if metrics -%}
| steps | {{ metrics.steps }}{{ " (stopped early)" if metrics.stopped_early else "" }}\
{{ ", step %s kept" % metrics.best_step if metrics.best else "" }} |
| tokens read | {{ metrics.tokens_seen }} |
{% endif -%}
| adapter | rank {{ run.config.lora.r }}, alpha {{ run.config.lora.alpha }}, \
dropout {{ run.config.lora.dropout }}, {{ run.config.lora.target_modules }} |
| learning rate | {{ run.config.train.learning_rate }}, {{ run.config.train.lr_scheduler_type }} |
| trainable parameters | {{ run.parameters.trainable }} of {{ run.parameters.total }} |
{% for choice in run.choices -%}
| {{ choice.split(": ", 1)[0] }} | {{ choice.split(": ", 1)[1] }} |
{% endfor -%}
| seed | {{ run.config.train.seed }} |
| configuration | sha256 {{ run.config_sha256 }} |
{% if run.seconds is defined -%}
| wall time | {{ run.seconds }} s |
| peak memory | {{ run.peak_memory }} |
{% endif -%}
""",
    "data": """\
## Data

MovieLens, by GroupLens at the University of Minnesota (Harper and Konstan 2015,
https://doi.org/10.1145/2827872), under its own terms. The weights hold no ratings.
""",
}

_RUN: Final = """\
---
base_model: {{ run.config.model.name_or_path }}
library_name: peft
pipeline_tag: text-generation
tags: [lora, recommendation, movielens, reeltune]
---

# {{ name }}

A LoRA adapter for [{{ run.config.model.name_or_path }}]. Given the films a user has rated, it
predicts whether they will like another one: Yes or No. Trained with reeltune
{{ record.versions.reeltune }} on MovieLens ({{ record.data.edition }}).

## Prompt

{% include "prompt" %}

{% for turn in turns %}
{{ "assistant" if loop.index is even else "user" }}:
```
{{ turn }}
```
{% endfor %}
The prediction is P(Yes): the softmax of the logits of `Yes` and `No` at the answer position.

## Validation rows, best step

{% if metrics.best -%}
| metric | value |
|---|---|
{% for name, label in metric_labels if metrics.best.get(name) is not none -%}
| {{ label }} | {{ "%.4f" | format(metrics.best[name]) }} |
{% endfor %}
Step {{ metrics.best_step }} of {{ metrics.steps }}, {{ record.rows.validation }} rows. These rows
chose the step, so expect a little less on new rows: `reeltune evaluate` measures those.
{%- else -%}
No evaluation was made.
{%- endif %}

{% if evaluation -%}
## {{ evaluation.split | capitalize }} rows

{{ evaluation.rows }} rows of {{ evaluation.users }} users, \
{{ "%.1f" | format(100 * evaluation.positive_rate) }} % of them Yes, the same for every scorer; in
parentheses 95 % intervals over users.

| scorer | AUC | AUC within a user, mean | log loss | expected calibration error |
|---|---|---|---|---|
{% for scorer in evaluation.scorers -%}
| {{ scorer.name }} | {{ scorer.metrics.auc | interval }} | \
{{ scorer.metrics.auc_per_user_mean | interval }} | {{ scorer.metrics.log_loss | interval }} | \
{{ scorer.metrics.ece | value }} |
{% endfor %}
{% for warning in evaluation.warnings -%}
- {{ warning }}
{% endfor %}
`evaluation/report.html` shows more.

{% endif -%}
{% include "training" %}

`run.json` holds all of it, with package versions and the checksums of the data.

{% include "data" %}
"""

_METRIC_LABELS: Final = (
    ("eval_auc", "AUC"),
    ("eval_auc_per_user_mean", "AUC within a user, mean"),
    ("eval_accuracy", "accuracy at 0.5"),
    ("eval_majority_rate", "accuracy of the more frequent answer"),
    ("eval_f1", "F1 of Yes at 0.5"),
    ("eval_log_loss", "log loss (nats)"),
    ("eval_brier", "Brier score"),
)

_EXAMPLE_HISTORY: Final = (
    (4.5, Item(1, "A Film", 1995, ("Drama",))),
    (2.0, Item(2, "Another Film", 2003, ("Comedy",))),
)
_EXAMPLE_CANDIDATE: Final = Item(3, "The Candidate", 1999, ("Thriller",))


def render_card(template: str, **values: Any) -> str:
    """Render a card, which may include the parts that all cards share."""
    environment = Environment(
        loader=DictLoader(_SHARED), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {"interval": _interval, "value": _value}
    return environment.from_string(template).render(**values).rstrip("\n") + "\n"


def write_card(
    path: Path,
    record: dict[str, Any],
    metrics: dict[str, Any],
    evaluation: Evaluation | None = None,
) -> None:
    """Write the model card of a run.

    Args:
        path: The file.
        record: The content of ``run.json``.
        metrics: The content of the run's ``metrics.json``.
        evaluation: The result on held-out rows, once they have been evaluated.
    """
    text = render_card(
        _RUN,
        name=path.parent.name,
        record=record,
        run=record,
        metrics=metrics,
        metric_labels=_METRIC_LABELS,
        turns=example_turns(Renderer(PromptSettings.from_dict(record["prompt"]))),
        evaluation=evaluation,
    )
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def example_turns(renderer: Renderer) -> list[str]:
    """Return an example prompt about films that do not exist, turn by turn."""
    lines = "".join(kind.lines[kind.example] for kind in renderer.settings.context)
    items = len(_EXAMPLE_HISTORY) + 1
    return renderer.turns(_EXAMPLE_HISTORY, _EXAMPLE_CANDIDATE, [lines] * items)


def _value(interval: Interval | None) -> str:
    return "undefined" if interval is None else f"{interval.value:.4f}"


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "undefined"
    if not interval.enough_users:
        return f"{interval.value:.4f} (of {interval.users} users, too few for an interval)"
    return f"{interval.value:.4f} ({interval.low:.4f} to {interval.high:.4f})"
