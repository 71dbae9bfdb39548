"""The model card of merged weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from reeltune.domain import WINDOW, Renderer
from reeltune.export.drift import (
    DIFFERENCE_COLUMNS,
    MEASUREMENT_COLUMNS,
    MERGED,
    Drift,
    difference_cells,
    measurement_cells,
    result_lines,
)
from reeltune.export.provenance import AdapterOrigin
from reeltune.files import atomic_file
from reeltune.prompts.chat import AnswerTokens
from reeltune.training.card_metadata import base_link, card_metadata, metric_result
from reeltune.training.record import example_turns, render_card

_TEMPLATE: Final = """\
---
{{ metadata }}
---

# {{ name }}

{{ base }} with a LoRA adapter merged into its weights ({{ record.dtype }}).
Given the {{ domain.items }} a user has rated, it predicts whether they will {{ domain.like }} \
another one: Yes or No. Made
with reeltune {{ record.versions.reeltune }} on {{ source }}.

## Prompt

{% include "prompt.md.j2" %}

```python
{% if template_date %}from datetime import date

{% endif %}import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # the folder of this card
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
messages = {{ messages }}
{% if template_date %}day = date.fromisoformat("{{ template_date }}")  # as in training
{% endif %}prompt = tokenizer.apply_chat_template(
    messages, tokenize=False, add_generation_prompt=True{{ switches }}\
{% if template_date %},
    strftime_now=day.strftime, date_string=day.strftime("%d %b %Y"),{% endif %}
)
inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs).logits[0, -1, [{{ answers.yes }}, {{ answers.no }}]]  # Yes, No
p_yes = logits.float().softmax(-1)[0].item()
```

The prediction is P(Yes). Generation is greedy and stops at the end of the turn. These weights are
the language model alone: what reeltune answers with the adapter may combine its log-odds with
gradient boosting and the prompt's signals (`fusion.json` beside the adapter), and is not in them.

## On a vLLM server

`generative_scoring.json` is a request to `/generative_scoring` for the prompt above; its score is
{{ "%.4f" | format(record.example_p_yes) }} here. A server cuts longer prompts in silence.

```
vllm serve . --max-model-len {{ record.longest_prompt + 1 }}
curl localhost:8000/generative_scoring --json @generative_scoring.json
```

## Drift from the trained adapter

Adapter and base were added in float32 and rounded once to {{ record.dtype }}\
{{ "; the base's weights are its dequantized 4-bit values" if record.onto == "4bit" }}. All models
predicted the same {{ drift.rows }} {{ drift.split }} rows:

| {{ measurement_columns | join(" | ") }} |
|---|---|---|
{% for cells in measurements -%}
| {{ cells | join(" | ") }} |
{% endfor %}
| {{ difference_columns | join(" | ") }} |
|---|---|---|---|---|
{% for cells in differences -%}
| {{ cells | join(" | ") }} |
{% endfor %}
{% for line in result_lines -%}
{{ line }}
{% endfor -%}
{% if record.kept_despite_drift %}
**Kept despite this drift** (`--allow-drift`).
{% endif %}
{% if run -%}
{% include "training.md.j2" %}

{% endif -%}
`export.json` holds all of it, with package versions and the checksums of weights, adapter and data.

{% include "data.md.j2" %}
"""


def write_merged_card(
    path: Path,
    name: str,
    record: dict[str, Any],
    drift: Drift,
    origin: AdapterOrigin,
    answers: AnswerTokens,
) -> None:
    """Write the model card of a merged model with the given ``export.json``."""
    settings = origin.prompt.settings
    data, auc = record["data"], drift.measurement(MERGED).auc
    turns = example_turns(Renderer(settings))
    messages = [
        {"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)
    ]
    text = render_card(
        _TEMPLATE,
        data,
        name=name,
        metadata=card_metadata(
            name,
            kind="merged",
            base_model=record["base"]["name_or_path"],
            data=data,
            results=[]
            if auc is None
            else [
                metric_result(data, settings.domain, drift.split, {"rows": drift.rows}, "auc", auc)
            ],
        ),
        base=base_link(record["base"]["name_or_path"]),
        domain=settings.domain,
        record=record,
        drift=drift,
        measurement_columns=MEASUREMENT_COLUMNS,
        measurements=measurement_cells(drift),
        difference_columns=DIFFERENCE_COLUMNS,
        differences=difference_cells(drift),
        result_lines=result_lines(drift),
        messages=json.dumps(messages, indent=4, ensure_ascii=False),
        # As in training: a window switches thinking off, an interview keeps the default.
        switches=", enable_thinking=False" if settings.form == WINDOW else "",
        template_date=origin.prompt.template_date,
        answers=answers,
        run=origin.run,
        metrics=origin.metrics,
    )
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
