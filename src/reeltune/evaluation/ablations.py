"""Ablations: what the model uses, measured by removing or exchanging it in the prompts.

Each row becomes a small timeline, the history and then the candidate, so that altering one row does
not change another. The words around the data stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from reeltune.data.tags import ItemTags
from reeltune.data.timelines import Examples, Timelines
from reeltune.domain import Item, capitalized
from reeltune.evaluation.intervals import BOOTSTRAP_SAMPLES, bootstrap_auc
from reeltune.evaluation.model_predictions import ShardedScorer
from reeltune.evaluation.predictions import Ints, Labels
from reeltune.evaluation.result import Ablation
from reeltune.models.loaded_model import LoadedModel
from reeltune.prompts.pieces import PromptTokens
from reeltune.prompts.sequences import Sequences
from reeltune.ragged import offsets_of, places
from reeltune.scoring.predictions import Predictions
from reeltune.scoring.scorer import Progress
from reeltune.seeds import sample_rows, stream

UNALTERED: Final = "unaltered"


@dataclass(frozen=True)
class PromptRows:
    """Rows as data, and what renders them as prompts.

    Attributes:
        timelines: Row after row, the events of its history and then its candidate.
        examples: First event and candidate of each row.
        items: What the events' ``item_idx`` refers to.
    """

    timelines: Timelines
    examples: Examples
    items: list[Item]
    tokens: PromptTokens

    @classmethod
    def of_events(cls, loaded: LoadedModel, events: Ints) -> PromptRows:
        """Return the rows of candidates with the prepared length of history."""
        folder = loaded.folder
        whole = folder.with_own_history(events)
        lengths = whole.target + 1 - whole.start
        offsets = offsets_of(lengths)
        return cls(
            timelines=folder.timelines.take(places(whole.start, lengths)),
            examples=Examples(start=offsets[:-1], target=offsets[1:] - 1),
            items=folder.items,
            tokens=loaded.tokens,
        )

    @property
    def row(self) -> Ints:
        """The row of each event, shape ``(events,)``."""
        sizes = self.examples.target + 1 - self.examples.start
        return np.repeat(np.arange(len(sizes)), sizes)

    @property
    def is_candidate(self) -> Labels:
        """Which events are candidates, shape ``(events,)``; the others are history."""
        candidate = np.zeros(len(self.timelines), dtype=bool)
        candidate[self.examples.target] = True
        return candidate


def shuffle_history(rows: PromptRows, random: np.random.Generator) -> PromptRows:
    """Return the rows with the events of each history in random order."""
    key = random.random(len(rows.timelines))
    key[rows.examples.target] = 1.0  # after every history
    return replace(rows, timelines=rows.timelines.take(np.lexsort((key, rows.row))))


def hide_rating(rows: PromptRows, random: np.random.Generator) -> PromptRows:
    """Return the rows with the middle of the rating scale, rounded up, for every past event."""
    scale = rows.tokens.renderer.settings.scale
    middle = scale.round_up((scale.min + scale.max) / 2)
    rating = np.where(rows.is_candidate, rows.timelines.rating, np.float32(middle))
    return replace(rows, timelines=replace(rows.timelines, rating=rating))


def titles_as_ids(rows: PromptRows, random: np.random.Generator) -> PromptRows:
    """Return the rows with ``Film <id>`` as every title, as the domain has it, and nothing else."""
    # Only items that occur, since every item of the list is tokenized.
    used, item_idx = np.unique(rows.timelines.item_idx, return_inverse=True)
    ids = [rows.items[index].item_id for index in used]
    title = capitalized(rows.tokens.renderer.settings.domain.item)
    items = [Item(item_id, f"{title} {item_id}", None, ()) for item_id in ids]
    timelines, tags = replace(rows.timelines, item_idx=item_idx.astype(np.int32)), None
    if rows.tokens.tags is not None and (codes := timelines.context) is not None:
        tags = ItemTags.of((), len(items))
        codes = np.column_stack([item_idx, codes[:, 1:]])  # the one, empty version of each item
        timelines = replace(timelines, context=codes)
    tokens = PromptTokens(rows.tokens.tokenizer, rows.tokens.renderer, items, tags)
    return PromptRows(timelines, rows.examples, items, tokens)


def shuffle_context(rows: PromptRows, random: np.random.Generator) -> PromptRows | None:
    """Return the rows with signals permuted among candidates and among past events, if any."""
    timelines, first = rows.timelines, 0 if rows.tokens.tags is None else 1
    if timelines.context is None or timelines.context.shape[1] == first:
        return None
    order = np.arange(len(timelines))
    for events in (rows.is_candidate, ~rows.is_candidate):
        order[events] = random.permutation(order[events])
    codes = timelines.context.copy()
    codes[:, first:] = codes[order, first:]
    return replace(rows, timelines=replace(timelines, context=codes))


def exchange_history(rows: PromptRows, random: np.random.Generator) -> PromptRows | None:
    """Return the rows, each with the history of another user's row; None if that is impossible.

    Each history is used once, without events that rate the row's candidate: a prepared prompt never
    shows its candidate as already rated.
    """
    timelines, examples = rows.timelines, rows.examples
    other = partners(timelines.user_id[examples.target], random)
    if other is None:
        return None
    start, stop = examples.start[other], examples.target[other]
    shown = places(start, stop - start)
    row = np.repeat(np.arange(len(examples)), stop - start)
    kept = timelines.item_idx[shown] != timelines.item_idx[examples.target[row]]
    events = np.concatenate([shown[kept], examples.target])
    row_of = np.concatenate([row[kept], np.arange(len(examples))])
    # A stable sort leaves the candidates, which were added last, at the end of their rows.
    order = np.argsort(row_of, kind="stable")
    offsets = offsets_of(np.bincount(row_of, minlength=len(examples)))
    return replace(
        rows,
        timelines=timelines.take(events[order]),
        examples=Examples(start=offsets[:-1], target=offsets[1:] - 1),
    )


def partners(user_id: Ints, random: np.random.Generator) -> Ints | None:
    """Return for each row a row of another user, each used once.

    None if one user has more than half of the rows, which makes that impossible.
    """
    count = len(user_id)
    _, user, rows = np.unique(user_id, return_inverse=True, return_counts=True)
    most = int(rows.max(initial=0))
    if 2 * most > count:
        return None
    # With users in random order and each user's rows together, the row `most` further on is always
    # of another user.
    order = np.lexsort((random.random(count), random.permutation(len(rows))[user]))
    partner = np.empty(count, dtype=np.int64)
    partner[order] = np.roll(order, -most)
    return partner


Alteration = Callable[[PromptRows, np.random.Generator], PromptRows | None]

ALTERATIONS: Final[dict[str, tuple[Alteration, str]]] = {
    "history shuffled": (
        shuffle_history,
        "The items of each history are in random order, with their ratings. A loss means that the "
        "model uses the order.",
    ),
    "ratings hidden": (
        hide_rating,
        "Every item of the history has the same rating, the middle of the scale (in an interview: "
        "the same answer). A loss means that the model uses the ratings, not only which items were "
        "rated.",
    ),
    "titles replaced by ids": (
        titles_as_ids,
        "Every item is a number, without title, year, genres and text. A loss means that the "
        "model uses what it knows about the items.",
    ),
    "signals shuffled": (
        shuffle_context,
        "Every item has the signals of another item and another user. A loss means that the model "
        "uses the signals.",
    ),
    "another user's history": (
        exchange_history,
        "Every candidate follows the history of another user (without the candidate, should it be "
        "in there). A loss means that the model personalizes; the rest comes from the items "
        "alone, or from the signals, which stay the user's own.",
    ),
}
"""By name: the alteration, and what a loss means."""


def measure_ablations(
    loaded: LoadedModel,
    events: Ints,
    seed: int,
    progress: Callable[[str], Progress | None],
    limit: int | None,
    samples: int = BOOTSTRAP_SAMPLES,
    scorer: ShardedScorer | None = None,
) -> list[Ablation]:
    """Score altered and unaltered rows, one prompt per row, by the model as it is switched now.

    Args:
        events: The candidates, as indices among the timelines' events.
        seed: Determines the sample of rows, the alterations and the bootstrap.
        limit: Rows to sample; None for all.
        samples: Bootstrap samples of the intervals.
        scorer: Computes the predictions.

    Returns:
        One for each of :data:`ALTERATIONS` that is possible.
    """
    events = events[sample_rows(len(events), limit, seed, "controls")]
    rows = PromptRows.of_events(loaded, events)
    # Log-odds, since a calibrated P(Yes) may have ties and only the order counts.
    scores = {UNALTERED: score_prompt_rows(loaded, rows, progress(UNALTERED), scorer).log_odds}
    for name, (alter, _) in ALTERATIONS.items():
        altered = alter(rows, stream(seed, name))
        if altered is not None:
            scores[name] = score_prompt_rows(loaded, altered, progress(name), scorer).log_odds
    timelines = loaded.folder.timelines
    aucs = bootstrap_auc(timelines.liked[events], timelines.user_id[events], scores, seed, samples)
    return [
        Ablation(
            name=name,
            about=ALTERATIONS[name][1],
            rows=len(events),
            auc=aucs.interval(name, "auc"),
            difference=aucs.difference(name, UNALTERED, "auc"),
        )
        for name in scores
        if name != UNALTERED
    ]


def score_prompt_rows(
    loaded: LoadedModel,
    rows: PromptRows,
    progress: Progress | None = None,
    scorer: ShardedScorer | None = None,
) -> Predictions:
    """Return the model's prediction for each row, one prompt per row."""
    sequences = Sequences.single(rows.tokens.prompts(rows.timelines, rows.examples))
    return (scorer or ShardedScorer(loaded)).score(sequences, progress, "ablations")
