"""Guard: verdicts are probabilities, and none of a kind that only a leak gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from sklearn.metrics import roc_auc_score

from reeltune.check.events import Bools
from reeltune.check.findings import NONE, SHOWN, Finding, Guard, Offenders, Outcome
from reeltune.check.predictions import Parts, name_row
from reeltune.evaluation.predictions import Floats, Predictions

HIGHEST_AUC: Final = 0.85
"""Above this an AUC is looked into. Cut within each user, good scorers of MovieLens stay below."""
FEWEST_ROWS: Final = 200
"""With fewer rows an AUC may be that high by chance: its standard error is 0.03 and more."""

PROBABILITIES: Final = Guard("probabilities", "Run reeltune evaluate again")
KNOWING: Final = Guard(
    "verdicts are not labels",
    "Look for the candidate's own stars or label among what this scorer is given",
)
TOO_GOOD: Final = Guard(
    "no AUC too good",
    "Look at what this scorer is given: the candidate's own stars, averages over held-out events, "
    "events after the candidate, or training rows among the predicted ones",
    proves=False,
)


def probabilities_are_valid(parts: Parts) -> Outcome:
    """There is a scorer, and each of its verdicts is from 0 to 1."""
    offenders, scorers = NONE, set[str]()
    for rows, scorer, p_yes in _verdicts(parts):
        scorers.add(scorer)
        bad = np.flatnonzero(~((p_yes >= 0) & (p_yes <= 1)))
        first = (name_row(rows, row, f"{scorer} gives {p_yes[row]}") for row in bad[:SHOWN])
        offenders += Offenders(len(bad), tuple(first))
    if not scorers:
        offenders = Offenders.of([Finding("there is no scorer")])
    return PROBABILITIES.judge(f"of {', '.join(sorted(scorers))}", offenders)


def verdicts_are_not_labels(parts: Parts) -> Outcome:
    """No scorer's P(Yes) is 1 on every Yes and 0 on every No."""
    findings = [
        Finding(f"P(Yes) of {scorer} equals the label in all {len(rows):,} {rows.split} rows")
        for rows, scorer, p_yes in _verdicts(parts)
        if _equals_label(rows, p_yes)
    ]
    return KNOWING.judge(_scorers(parts), Offenders.of(findings))


def no_auc_is_too_good(parts: Parts) -> Outcome:
    """No scorer has an AUC above :data:`HIGHEST_AUC`.

    Verdicts that equal the labels are left out: another guard names them.
    """
    enough = {split: rows for split, rows in parts.items() if _has_auc(rows)}
    if not enough:
        return TOO_GOOD.not_applicable(
            f"an AUC says little on fewer than {FEWEST_ROWS} rows, and nothing where they have one "
            "label"
        )
    findings, highest = [], 0.0
    for rows, scorer, p_yes in _verdicts(enough):
        if _equals_label(rows, p_yes) or not np.isfinite(p_yes).all():
            continue
        auc = float(roc_auc_score(rows.liked, p_yes))
        highest = max(highest, auc)
        if auc > HIGHEST_AUC:
            findings.append(
                Finding(f"{scorer} has an AUC of {auc:.4f} on {len(rows):,} {rows.split} rows")
            )
    return TOO_GOOD.judge(f"the highest is {highest:.4f}", Offenders.of(findings))


def _verdicts(parts: Parts) -> Iterator[tuple[Predictions, str, Floats]]:
    """Yield every scorer's verdicts on every split."""
    for rows in parts.values():
        for scorer, p_yes in rows.p_yes.items():
            yield rows, scorer, p_yes


def _scorers(parts: Parts) -> str:
    count = len({scorer for _, scorer, _ in _verdicts(parts)})
    return f"{count} scorer{'' if count == 1 else 's'}"


def _both_labels(liked: Bools) -> bool:
    return bool(liked.any() and not liked.all())


def _has_auc(rows: Predictions) -> bool:
    return len(rows) >= FEWEST_ROWS and _both_labels(rows.liked)


def _equals_label(rows: Predictions, p_yes: Floats) -> bool:
    return _both_labels(rows.liked) and bool((p_yes == rows.liked).all())
