"""Rows asked otherwise than they were prepared: the data are altered, never the words around them.

Every row becomes a little timeline of its own, its history and then its candidate, so that one row
can be altered without touching another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from reeltune.asking.subject import Subject
from reeltune.data.folder import Examples, Timelines
from reeltune.domain import Item
from reeltune.prompts.pieces import PromptTokens
from reeltune.ragged import offsets_of, places

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Asking:
    """Rows, and what puts them into words.

    Attributes:
        timelines: Row after row, the events of its history and then its candidate.
        examples: Where in them each row begins, and its candidate, which is its last event.
        items: What the events' ``item_idx`` counts.
        tokens: Puts events and films into tokens.
    """

    timelines: Timelines
    examples: Examples
    items: list[Item]
    tokens: PromptTokens

    @property
    def row(self) -> Ints:
        """The row each event belongs to, shape ``(events,)``."""
        sizes = self.examples.target + 1 - self.examples.start
        return np.repeat(np.arange(len(sizes)), sizes)

    @property
    def is_candidate(self) -> npt.NDArray[np.bool_]:
        """Which events are judged; the others are history."""
        found = np.zeros(len(self.timelines), dtype=bool)
        found[self.examples.target] = True
        return found


def as_prepared(subject: Subject, events: Ints) -> Asking:
    """Return rows as they are, each with the prepared length of history.

    Args:
        subject: Whose data and words are used.
        events: The candidates, as places among the events of the subject's timelines.
    """
    folder = subject.folder
    whole = folder.with_own_history(events)
    lengths = whole.target + 1 - whole.start
    offsets = offsets_of(lengths)
    return Asking(
        timelines=folder.timelines.take(places(whole.start, lengths)),
        examples=Examples(start=offsets[:-1], target=offsets[1:] - 1),
        items=folder.items,
        tokens=subject.tokens,
    )


def history_shuffled(asking: Asking, random: np.random.Generator) -> Asking:
    """Return the rows with the events of each history in random order."""
    key = random.random(len(asking.timelines))
    key[asking.examples.target] = 1.0  # behind every history
    return replace(asking, timelines=asking.timelines.take(np.lexsort((key, asking.row))))


def rating_hidden(asking: Asking, random: np.random.Generator) -> Asking:
    """Return the rows with every past film given the stars in the middle of the scale.

    Where the middle is no rating, the next higher one is taken: 3.0 between 0.5 and 5.0.
    """
    scale = asking.tokens.renderer.settings.scale
    middle = scale.round_up((scale.min + scale.max) / 2)
    rating = np.where(asking.is_candidate, asking.timelines.rating, np.float32(middle))
    return replace(asking, timelines=replace(asking.timelines, rating=rating))


def titles_as_ids(asking: Asking, random: np.random.Generator) -> Asking:
    """Return the rows with every film called ``Item`` and its id, and nothing else said of it."""
    # Only films that occur: every film of the list is tokenized.
    used, item_idx = np.unique(asking.timelines.item_idx, return_inverse=True)
    ids = [asking.items[row].item_id for row in used]
    items = [Item(item_id, f"Film {item_id}", None, ()) for item_id in ids]
    return Asking(
        timelines=replace(asking.timelines, item_idx=item_idx.astype(np.int32)),
        examples=asking.examples,
        items=items,
        tokens=PromptTokens(asking.tokens.tokenizer, asking.tokens.renderer, items),
    )


def context_shuffled(asking: Asking, random: np.random.Generator) -> Asking | None:
    """Return the rows with the signals of other events under each film; None where none is told.

    Candidates get that of candidates, past events that of past events.
    """
    timelines = asking.timelines
    if timelines.context is None:
        return None
    order = np.arange(len(timelines))
    for some in (asking.is_candidate, ~asking.is_candidate):
        order[some] = random.permutation(order[some])
    return replace(asking, timelines=replace(timelines, context=timelines.context[order]))


def history_of_another(asking: Asking, random: np.random.Generator) -> Asking | None:
    """Return the rows, each with the history of a row of another user; None where that cannot be.

    No row's history is used twice. Where it holds the candidate itself, that event is left out: in
    a prompt as prepared, a candidate is never among the films already rated.
    """
    timelines, examples = asking.timelines, asking.examples
    other = partners(timelines.user_id[examples.target], random)
    if other is None:
        return None
    start, stop = examples.start[other], examples.target[other]
    shown = places(start, stop - start)
    row = np.repeat(np.arange(len(examples)), stop - start)
    kept = timelines.item_idx[shown] != timelines.item_idx[examples.target[row]]
    events = np.concatenate([shown[kept], examples.target])
    rows = np.concatenate([row[kept], np.arange(len(examples))])
    # A stable sort leaves the candidates, which were added last, at the end of their rows.
    order = np.argsort(rows, kind="stable")
    offsets = offsets_of(np.bincount(rows, minlength=len(examples)))
    return replace(
        asking,
        timelines=timelines.take(events[order]),
        examples=Examples(start=offsets[:-1], target=offsets[1:] - 1),
    )


def partners(user_id: Ints, random: np.random.Generator) -> Ints | None:
    """Return for each row another one, of another user, no row twice.

    Returns:
        Shape ``(n,)``; None where one user has more than half of the rows.
    """
    count = len(user_id)
    _, user, rows = np.unique(user_id, return_inverse=True, return_counts=True)
    most = int(rows.max(initial=0))
    if 2 * most > count:
        return None
    # Users in random order, each one's rows together: as many places on, nobody is still there.
    order = np.lexsort((random.random(count), random.permutation(len(rows))[user]))
    found = np.empty(count, dtype=np.int64)
    found[order] = np.roll(order, -most)
    return found
