"""Blocks of examples, and queries, as token sequences whose predictions share one history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from reeltune.data.history import History
from reeltune.data.timelines import Blocks, Codes, Ints, Timelines
from reeltune.domain import INTERVIEW, Form
from reeltune.prompts.chat import AnswerTokens
from reeltune.prompts.pieces import Pieces
from reeltune.prompts.sequences import NO_BRANCH, Sequences, concatenate_sequences
from reeltune.ragged import Ragged, join, offsets_of, places, repeat_row

_BLOCKS: Final = 2**14
"""Blocks assembled at a time: the intermediate arrays of all would not fit in memory."""


def block_sequences(
    pieces: Pieces,
    timelines: Timelines,
    blocks: Blocks,
    form: Form,
    answers: AnswerTokens | None = None,
) -> Sequences:
    """Return one sequence per block, with one answer position per example.

    In a window, every candidate is a branch of the history. In an interview, the history itself
    queries one item after another. If ``answers`` is given, answers follow their positions.
    """
    if not len(blocks):
        return Sequences.single(Ragged.from_rows([]), answered=answers is not None)
    build = _interviews if form == INTERVIEW else _windows
    return concatenate_sequences(
        build(pieces, timelines, blocks.take(first, first + _BLOCKS), answers)
        for first in range(0, len(blocks), _BLOCKS)
    )


def candidate_sequences(
    pieces: Pieces,
    histories: Sequence[History],
    candidates: Sequence[Ints],
    context: Sequence[Codes | None] = (),
) -> Sequences:
    """Return one sequence per history, with one branch per candidate (an item index)."""
    count = len(histories)
    lines = pieces.lines(
        pieces.steps(np.concatenate([history.rating for history in histories])),
        np.concatenate([history.item_idx for history in histories]),
        _concatenate_codes([history.context for history in histories]),
    )
    events = np.array([len(history) for history in histories])
    # The text before a candidate is the same for all of them, so it belongs to the trunk.
    trunk = join(
        pieces.heads(events),
        Ragged(lines.values, lines.offsets[offsets_of(events)]),
        repeat_row(pieces.before_candidate, count),
    )
    branches = pieces.candidates(np.concatenate(candidates), _concatenate_codes(context))
    counts = np.array([len(items) for items in candidates])
    return _branched(trunk, branches, counts, np.repeat(trunk.lengths, counts))


def _windows(
    pieces: Pieces, timelines: Timelines, blocks: Blocks, answers: AnswerTokens | None
) -> Sequences:
    examples, history, leave = blocks.examples, *_histories(pieces, timelines, blocks)
    branches = pieces.queries(
        timelines.item_idx[examples.target], timelines.context_of(examples.target)
    )
    if answers is not None:
        branches = join(branches, answer_rows(timelines, examples.target, answers))
    return _branched(history, branches, np.diff(blocks.offsets), leave, answers is not None)


def _branched(
    trunk: Ragged, branches: Ragged, counts: Ints, leave: Ints, answered: bool = False
) -> Sequences:
    """Return sequences of a trunk and ``counts`` consecutive branches each."""
    together = Ragged(branches.values, branches.offsets[offsets_of(counts)])
    row = np.repeat(np.arange(len(counts)), counts)
    branch = trunk.lengths[row] + branches.offsets[:-1] - together.offsets[:-1][row]
    return Sequences(
        ids=join(trunk, together),
        trunk=trunk.lengths,
        row=row,
        answer_position=branch + branches.lengths - (2 if answered else 1),
        branch=branch,
        leave=leave,
        answered=answered,
    )


def _interviews(
    pieces: Pieces, timelines: Timelines, blocks: Blocks, answers: AnswerTokens | None
) -> Sequences:
    target, (history, before) = blocks.examples.target, _histories(pieces, timelines, blocks)
    last = target[blocks.offsets[1:] - 1]
    parts = [history, pieces.queries(timelines.item_idx[last], timelines.context_of(last))]
    if answers is not None:
        parts.append(answer_rows(timelines, last, answers))
    ids = join(*parts)
    answer_position = before + pieces.query_lengths(timelines, target) - 1
    return Sequences(
        ids=ids,
        trunk=ids.lengths,
        row=np.repeat(np.arange(len(blocks)), np.diff(blocks.offsets)),
        answer_position=answer_position,
        branch=np.full(len(target), NO_BRANCH),
        leave=answer_position + 1,
        answered=answers is not None,
    )


def _histories(pieces: Pieces, timelines: Timelines, blocks: Blocks) -> tuple[Ragged, Ints]:
    """Return each block's head and history, and the length of the part each example shows."""
    examples, offsets = blocks.examples, blocks.offsets
    first, last = examples.start[offsets[:-1]], examples.target[offsets[1:] - 1]
    lines = pieces.event_lines(timelines.take(places(first, last - first)))
    begin = offsets_of(last - first)
    history = join(pieces.heads(last - first), Ragged(lines.values, lines.offsets[begin]))
    shift = np.repeat(begin[:-1] - first, np.diff(offsets))
    shown = lines.offsets[examples.target + shift] - lines.offsets[examples.start + shift]
    # An example without history leaves the trunk before the heading.
    return history, pieces.heads(examples.target - examples.start).lengths + shown


def _concatenate_codes(context: Sequence[Codes | None]) -> Codes | None:
    known = [codes for codes in context if codes is not None]
    return np.concatenate(known) if known else None


def answer_rows(timelines: Timelines, events: Ints, answers: AnswerTokens) -> Ragged:
    """Return the correct answer of each event, a row of one token each."""
    words = np.where(timelines.liked[events], answers.yes, answers.no).astype(np.int32)
    return Ragged(words, offsets_of(np.ones(len(events), dtype=np.int64)))
