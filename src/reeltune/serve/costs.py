"""How many tokens a question reads, without putting it together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reeltune.data.history import History
from reeltune.prompts.pieces import PromptTokens, star_steps
from reeltune.prompts.rows import BLOCKS, Layout

Ints = npt.NDArray[np.int64]


class Costs:
    """Counts tokens.

    Args:
        tokens: Turns films into tokens.
        history_len: How many of a history's newest events are shown.
        layout: Where histories are not shared, or pieces do not add up, each candidate counts with
            its whole history.
    """

    def __init__(self, tokens: PromptTokens, history_len: int, layout: Layout) -> None:
        pieces = tokens.pieces
        # What evidence says differs by a token or two from film to film.
        told = round(sum(float(lines.lengths.mean()) for lines in pieces.evidence))
        self._history_len = history_len
        self._films = pieces.films.lengths
        self._stars = pieces.before_film.lengths + pieces.after_film.lengths
        self._stars = self._stars + (told if pieces.evidence_in_lines else 0)
        self._around = len(pieces.head) + len(pieces.before_candidate)
        self._tail = told + len(pieces.tail)
        self._shared = layout == BLOCKS and not tokens.differing

    def of(self, history: History, candidates: Ints) -> tuple[int, Ints]:
        """Return the tokens of a history, and of each candidate after it, shape ``(n,)``.

        Args:
            history: What has been rated.
            candidates: Film rows, shape ``(n,)``.
        """
        history = history.last(self._history_len)
        lines = self._films[history.film_row] + self._stars[star_steps(history.stars)]
        trunk = self._around + int(lines.sum())
        branches = self._films[candidates] + self._tail
        return (trunk, branches) if self._shared else (0, branches + trunk)
