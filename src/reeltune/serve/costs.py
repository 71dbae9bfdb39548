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
        layout: Where histories are not shared, or pieces do not add up, each candidate counts with
            its whole history.
    """

    def __init__(self, tokens: PromptTokens, layout: Layout) -> None:
        pieces = tokens.pieces
        self._films = pieces.films.lengths
        self._stars = pieces.before_film.lengths + pieces.after_film.lengths
        self._around = len(pieces.head) + len(pieces.before_candidate)
        self._tail = len(pieces.tail)
        self._shared = layout == BLOCKS and not tokens.differing

    def of(self, history: History, candidates: Ints) -> tuple[int, Ints]:
        """Return the tokens of a history, and of each candidate after it, shape ``(n,)``.

        Args:
            history: The events that are shown.
            candidates: Film rows, shape ``(n,)``.
        """
        lines = self._films[history.film_row] + self._stars[star_steps(history.stars)]
        trunk = self._around + int(lines.sum())
        branches = self._films[candidates] + self._tail
        return (trunk, branches) if self._shared else (0, branches + trunk)
