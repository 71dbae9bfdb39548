"""Texts that mean harm, in every place a text can come from."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from reeltune.evaluation.predictions import PredictionTable
from reeltune.evaluation.result import Evaluation, PastEvent
from tests.report.parts import top_ten

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</title></style></svg><script>alert(3)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "$\\frac{1}{2}$ for $5",
    "' onmouseover='alert(4)",
    "]]><!-- &lt;b&gt; &amp;",
    "映画 🎬 \u202eevil\u202c",
)


def name_of(scorer: str) -> str:
    """A scorer's name with something hostile in it."""
    return f'{scorer} <img src=x onerror="alert(5)">'


def hostile_predictions(predictions: PredictionTable) -> PredictionTable:
    return replace(predictions, p_yes={name_of(k): v for k, v in predictions.p_yes.items()})


def hostile_evaluation(evaluation: Evaluation) -> Evaluation:
    """The same evaluation with a hostile text wherever there is a text."""
    texts = [HOSTILE[place % len(HOSTILE)] for place in range(40)]
    return replace(
        evaluation,
        about=dict(pairwise(texts)),
        warnings=texts[:8],
        scorers=[
            replace(s, name=name_of(s.name), settings={texts[0]: texts[1]})
            for s in evaluation.scorers
        ],
        differences=[
            replace(d, scorer=name_of(d.scorer), other=name_of(d.other))
            for d in evaluation.differences
        ],
        breakdowns=[
            replace(
                breakdown,
                name=texts[place],
                about=texts[place + 1],
                groups=[
                    replace(g, label=text, auc={name_of(k): v for k, v in g.auc.items()})
                    for g, text in zip(breakdown.groups, texts, strict=False)
                ],
            )
            for place, breakdown in enumerate(evaluation.breakdowns)
        ],
        top_ten=top_ten([name_of(s.name) for s in evaluation.scorers]),
        ablations=[
            replace(ablation, name=texts[place], about=texts[place + 2])
            for place, ablation in enumerate(evaluation.ablations)
        ],
        reliability=[
            replace(reliability, name=texts[place])
            for place, reliability in enumerate(evaluation.reliability)
        ],
        examples=[
            replace(
                example,
                why=texts[place + 1],
                candidate=texts[place],
                history=[PastEvent(text, 3.5) for text in texts[:15]],
                p_yes={name_of(k): v for k, v in example.p_yes.items()},
            )
            for place, example in enumerate(evaluation.examples)
        ],
    )
