"""The model card: a run's record, for people who find only the adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, StrictUndefined

from reeltune.domain import Item, PromptSettings, Renderer
from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.result import Evaluation
from reeltune.files import atomic_file

HOW_TO_ASK: Final = """\
{% if record.prompt.form == "window" -%}
One user turn in the model's chat template, thinking switched off, with
{{ record.data.history_len }} rated films or more, oldest first.
{%- else -%}
A conversation in the model's chat template, its thinking switch left alone: every rated film is a
question that was asked and answered, oldest first, {{ record.data.history_len }} or more of them.
{%- endif %}
{%- set signals = record.prompt.get("signals", record.prompt.get("evidence")) %}
{%- if signals %}
Under each film that is asked about stand the signals that reeltune computes from the ratings
({{ signals | join(", ") }}): `reeltune recommend`, `score` and `serve` do it.
{%- endif %}"""
"""How the model is asked, in the words of every card; a part of their templates."""

_TEMPLATE: Final = (
    """\
---
base_model: {{ config.model.name_or_path }}
library_name: peft
pipeline_tag: text-generation
tags: [lora, recommendation, movielens, reeltune]
---

# {{ name }}

A LoRA adapter for [{{ config.model.name_or_path }}]. Given the films a user has rated, it answers
whether they will like one more: Yes or No. It was trained with reeltune
{{ record.versions.reeltune }} on MovieLens ({{ record.data.edition }}).

## How to ask it

"""
    + HOW_TO_ASK
    + """ This is prompt version {{ record.prompt.version }}:
{% for turn in turns %}
{{ "assistant" if loop.index is even else "user" }}:
```
{{ turn }}
```
{% endfor %}
The verdict is P(Yes): the softmax of the logits of `Yes` and `No` at the answer position.

## On validation rows, at the step that was kept

{% if metrics.best -%}
| metric | value |
|---|---|
{% for name, label in shown if metrics.best.get(name) is not none and name in metrics.best -%}
| {{ label }} | {{ "%.4f" | format(metrics.best[name]) }} |
{% endfor %}
Step {{ metrics.best_step }} of {{ metrics.steps }}, {{ record.rows.validation }} rows. These rows
chose the step, so expect a little less on rows the run has never seen: `reeltune evaluate`
measures those.
{%- else -%}
No evaluation was made.
{%- endif %}

{% if evaluation -%}
## On {{ evaluation.split }} rows

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
## How it was trained

| | |
|---|---|
| training rows | {{ record.rows.train }} |
| steps | {{ metrics.steps }}{{ " (stopped early)" if metrics.stopped_early else "" }} |
| tokens read | {{ metrics.tokens_seen }} |
| adapter | rank {{ config.lora.r }}, alpha {{ config.lora.alpha }}, \
dropout {{ config.lora.dropout }}, {{ config.lora.target_modules }} |
| learning rate | {{ config.train.learning_rate }}, {{ config.train.lr_scheduler_type }} |
| trainable parameters | {{ record.parameters.trainable }} of {{ record.parameters.total }} |
{% for choice in record.choices -%}
| {{ choice.split(": ", 1)[0] }} | {{ choice.split(": ", 1)[1] }} |
{% endfor -%}
| seed | {{ config.train.seed }} |
| configuration | sha256 {{ record.config_sha256 }} |
| wall time | {{ record.seconds }} s |
| peak memory | {{ record.peak_memory }} |

`run.json` holds all of it, with package versions and the checksums of the data.

## Data

MovieLens, by GroupLens at the University of Minnesota (Harper and Konstan 2015,
https://doi.org/10.1145/2827872), under its own terms. The adapter holds no ratings.
"""
)

_SHOWN: Final = (
    ("eval_auc", "AUC"),
    ("eval_auc_per_user_mean", "AUC within a user, mean"),
    ("eval_accuracy", "accuracy at 0.5"),
    ("eval_majority_rate", "accuracy of the more frequent answer"),
    ("eval_f1", "F1 of Yes at 0.5"),
    ("eval_log_loss", "log loss (nats)"),
    ("eval_brier", "Brier score"),
)

EXAMPLE_HISTORY: Final = (
    (4.5, Item(1, "A Film", 1995, ("Drama",))),
    (2.0, Item(2, "Another Film", 2003, ("Comedy",))),
)
EXAMPLE_CANDIDATE: Final = Item(3, "The Candidate", 1999, ("Thriller",))


def write_card(
    path: Path,
    record: dict[str, Any],
    metrics: dict[str, Any],
    evaluation: Evaluation | None = None,
) -> None:
    """Write the model card.

    Args:
        path: Where it goes.
        record: The content of ``run.json``.
        metrics: The content of the run's ``metrics.json``.
        evaluation: What held-out rows have shown, once they have been scored.
    """
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters["interval"] = _interval
    environment.filters["value"] = _value
    renderer = Renderer(PromptSettings.from_dict(record["prompt"]))
    text = environment.from_string(_TEMPLATE).render(
        name=path.parent.name,
        record=record,
        config=record["config"],
        metrics=metrics,
        shown=_SHOWN,
        turns=example_turns(renderer),
        evaluation=evaluation,
    )
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def example_turns(renderer: Renderer) -> list[str]:
    """Return a conversation about films that do not exist, as a model is asked."""
    told = "".join(kind.lines[kind.example] for kind in renderer.settings.context)
    items = len(EXAMPLE_HISTORY) + 1
    return renderer.turns(EXAMPLE_HISTORY, EXAMPLE_CANDIDATE, [told] * items)


def _value(found: Interval | None) -> str:
    return "undefined" if found is None else f"{found.value:.4f}"


def _interval(found: Interval | None) -> str:
    if found is None:
        return "undefined"
    if not found.told:
        return f"{found.value:.4f} (of {found.users} users, too few for an interval)"
    return f"{found.value:.4f} ({found.low:.4f} to {found.high:.4f})"
