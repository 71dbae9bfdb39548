"""Controls: what a model makes use of, shown by taking it away and asking again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.asking.subject import Subject
from reeltune.evaluation.altered import (
    Asking,
    as_prepared,
    context_shuffled,
    history_of_another,
    history_shuffled,
    rating_hidden,
    titles_as_ids,
)
from reeltune.evaluation.auc_intervals import auc_interval, drawn_aucs
from reeltune.evaluation.intervals import DRAWS
from reeltune.evaluation.result import Control
from reeltune.evaluation.verdict_arrays import Floats
from reeltune.prompts.sequences import Sequences
from reeltune.scoring.scorer import Progress, Verdicts
from reeltune.seeds import sample_rows, stream

CONTROL_ROWS: Final = 1000
UNALTERED: Final = "unaltered"

Alteration = Callable[[Asking, np.random.Generator], Asking | None]

ALTERATIONS: Final[dict[str, tuple[Alteration, str]]] = {
    "history shuffled": (
        history_shuffled,
        "The past films of each history stand in random order, with their stars. A loss means that "
        "the model uses what was seen last, or first.",
    ),
    "stars hidden": (
        rating_hidden,
        "Every past film is shown with the same middle stars (in an interview: and answer). A loss "
        "means that the model reads what the user thought of the films, not only which they were.",
    ),
    "titles replaced by ids": (
        titles_as_ids,
        "Every film is called by a number, without title, year and genres. A loss means that the "
        "model uses what it knows of the films.",
    ),
    "signals shuffled": (
        context_shuffled,
        "Under every film stands the signals on another one, for another user. A loss means that "
        "the model reads it.",
    ),
    "another user's history": (
        history_of_another,
        "Every candidate is asked about after the history of a row of another user (without the "
        "candidate, should it be in there). A loss means that the model judges for the user; what "
        "is left it knows of films alone, or reads in the signals, which stays the user's own.",
    ),
}
"""By name: what alters the rows, and what it means."""


def controls(
    subject: Subject,
    events: npt.NDArray[np.int64],
    seed: int,
    progress: Callable[[str], Progress | None] | None = None,
    limit: int | None = CONTROL_ROWS,
    draws: int = DRAWS,
) -> list[Control]:
    """Ask the subject's model about altered rows, and about the same rows unaltered.

    Every row is a prompt of its own with the prepared length of history (the layout ``single``).

    Args:
        subject: The model and the data.
        events: The candidates to choose from, as places among the timelines' events.
        seed: Decides the sample, the alterations and the draws of users.
        progress: Gives, for a name, what is told after every batch.
        limit: The most rows asked, a random sample; None asks all.
        draws: How often users are drawn for the intervals.

    Returns:
        One for each of :data:`ALTERATIONS`, without those that these rows do not allow: where one
        user has more than half of the rows, not all of them can be given another user's history,
        and there may be no signals to shuffle.
    """
    kept = events[sample_rows(len(events), limit, seed, "controls")]
    report = progress or (lambda _: None)
    asking = as_prepared(subject, kept)
    scores = {UNALTERED: _log_odds(subject, asking, report(UNALTERED))}
    for name, (alter, _) in ALTERATIONS.items():
        altered = alter(asking, stream(seed, name))
        if altered is not None:
            scores[name] = _log_odds(subject, altered, report(name))
    timelines = subject.folder.timelines
    user_id = timelines.user_id[kept]
    users = len(np.unique(user_id))
    aucs = drawn_aucs(timelines.liked[kept], scores, user_id, seed, draws)
    return [
        Control(
            name=name,
            about=ALTERATIONS[name][1],
            rows=len(kept),
            auc=auc_interval(found, users),
            difference=auc_interval(found - aucs[UNALTERED], users),
        )
        for name, found in aucs.items()
        if name != UNALTERED
    ]


def ask(subject: Subject, asking: Asking, progress: Progress | None = None) -> Verdicts:
    """Return the verdict of the subject's model on every row."""
    prompts = asking.tokens.prompts(asking.timelines, asking.examples)
    sequences = Sequences.single(prompts)
    return subject.scorer(sequences).score(sequences, progress)


def _log_odds(subject: Subject, asking: Asking, progress: Progress | None) -> Floats:
    # The order is all that counts, and a calibrated P(Yes) may have ties.
    return ask(subject, asking, progress).log_odds
