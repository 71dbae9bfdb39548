"""The model card of merged weights, made from their record and that of the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, StrictUndefined

from reeltune.domain import WINDOW, Renderer
from reeltune.export.drift import Drift
from reeltune.export.measure import Questions
from reeltune.export.origin import Origin
from reeltune.export.tables import (
    PAIR_HEADINGS,
    READING_HEADINGS,
    pair_cells,
    reading_cells,
    verdict_lines,
)
from reeltune.files import atomic_file
from reeltune.training.card import HOW_TO_ASK, example_turns

_TEMPLATE: Final = (
    """\
---
base_model: {{ record.base.name_or_path }}
base_model_relation: finetune
library_name: transformers
pipeline_tag: text-generation
tags: [recommendation, movielens, reeltune]
---

# {{ name }}

[{{ record.base.name_or_path }}] with a LoRA adapter merged into its weights ({{ record.dtype }}).
Given the films a user has rated, it answers whether they will like one more: Yes or No. Made with
reeltune {{ record.versions.reeltune }} on MovieLens ({{ record.data.edition }}).

## How to ask it

"""
    + HOW_TO_ASK
    + """ This is prompt version {{ record.prompt.version }}.

```python
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # where this card lies
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
messages = {{ messages }}
prompt = tokenizer.apply_chat_template(
    messages, tokenize=False, add_generation_prompt=True{{ switches }}
)
inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs).logits[0, -1, [{{ answers.yes }}, {{ answers.no }}]]  # Yes, No
p_yes = logits.float().softmax(-1)[0].item()
```

Generation takes the likeliest word and stops at the end of the turn; P(Yes) is the verdict.

## Is it the adapter that was trained?

Adapter and base were added in float32 and rounded once to {{ record.dtype }}\
{{ "; the base's weights are the values its 4 bits stand for" if record.onto == "4bit" }}. The same
{{ drift.rows }} {{ drift.split }} rows were asked of:

| {{ reading_headings | join(" | ") }} |
|---|---|---|
{% for cells in readings -%}
| {{ cells | join(" | ") }} |
{% endfor %}
| {{ headings | join(" | ") }} |
|---|---|---|---|---|
{% for cells in pairs -%}
| {{ cells | join(" | ") }} |
{% endfor %}
{% for line in drift.notes + lines -%}
{{ line }}
{% endfor -%}
{% if record.kept_in_spite_of_drift %}
**It was kept in spite of this drift** (`--allow-drift`).
{% endif %}
{% if run -%}
## How it was trained

| | |
|---|---|
| training rows | {{ run.rows.train }} |
| adapter | rank {{ run.config.lora.r }}, alpha {{ run.config.lora.alpha }}, \
{{ run.config.lora.target_modules }} |
| learning rate | {{ run.config.train.learning_rate }}, {{ run.config.train.lr_scheduler_type }} |
{% if metrics and metrics.best -%}
| step kept | {{ metrics.best_step }} of {{ metrics.steps }} |
{% endif -%}
{% for choice in run.choices -%}
| {{ choice.split(": ", 1)[0] }} | {{ choice.split(": ", 1)[1] }} |
{% endfor -%}
| seed | {{ run.config.train.seed }} |
| configuration | sha256 {{ run.config_sha256 }} |

{% endif -%}
`export.json` holds all of it, with package versions and the checksums of weights, adapter and data.

## Data

MovieLens, by GroupLens at the University of Minnesota (Harper and Konstan 2015,
https://doi.org/10.1145/2827872), under its own terms. The weights hold no ratings.
"""
)

_ROLES: Final = ("user", "assistant")


def write_merged_card(
    path: Path,
    name: str,
    record: dict[str, Any],
    drift: Drift,
    origin: Origin,
    questions: Questions,
) -> None:
    """Write the model card.

    Args:
        path: Where it goes.
        name: What the model is called.
        record: The content of ``export.json``.
        drift: What was measured.
        origin: Where the adapter came from.
        questions: What was asked.
    """
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    settings = origin.prompt.settings
    turns = example_turns(Renderer(settings))
    messages = [{"role": _ROLES[i % 2], "content": turn} for i, turn in enumerate(turns)]
    text = environment.from_string(_TEMPLATE).render(
        name=name,
        record=record,
        drift=drift,
        readings=reading_cells(drift),
        reading_headings=READING_HEADINGS,
        headings=PAIR_HEADINGS,
        pairs=pair_cells(drift),
        lines=verdict_lines(drift),
        messages=json.dumps(messages, indent=4, ensure_ascii=False),
        # As the training's prompts: a window switches thinking off, an interview leaves it alone.
        switches=", enable_thinking=False" if settings.form == WINDOW else "",
        answers=questions.tokens.answers,
        run=origin.run,
        metrics=origin.metrics,
    )
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
