"""A listing tells of the best films what was wanted, in numbers asked separately."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reeltune.recommend.listing import Listing, Wanted, make_listing
from reeltune.recommend.recommend import recommend, why

from reeltune.asking.judge import Judge
from reeltune.data.history import History
from reeltune.recommend.candidates import Candidates
from reeltune.scoring.ranking import Question
from tests.asking.build import ROUNDING, random_history

ITEMS = 40
CANDIDATES = Candidates(np.arange(20, 32), 25, "said elsewhere")
HISTORY = random_history(np.random.default_rng(1), 20, 9)


def listing(judge: Judge, wanted: Wanted, history: History = HISTORY) -> Listing:
    return make_listing(judge, history, CANDIDATES, wanted)


def test_the_best_films_with_their_verdicts(judge: Judge):
    items = judge.subject.folder.items
    found = listing(judge, Wanted(top=4))
    best = recommend(judge, HISTORY, CANDIDATES.rows, 4)
    assert [(line.item, line.p_like) for line in found.lines] == [
        (items[one.item_idx], one.p_yes) for one in best
    ]
    assert all(line.p_like_base is None and line.why is None for line in found.lines)
    assert (found.rated, found.judged, found.fitting, found.notes) == (9, 12, 25, ())
    shown = HISTORY.last(5)
    assert [(one.item, one.rating) for one in found.shown] == [
        (items[row], rating) for row, rating in zip(shown.item_idx, shown.rating, strict=True)
    ]


def test_fewer_candidates_than_wanted_are_all_told(judge: Judge):
    assert len(listing(judge, Wanted(top=100)).lines) == 12


def test_base_and_reasons_are_of_the_film_they_stand_beside(judge: Judge):
    items = judge.subject.folder.items
    row_of = {item.item_id: row for row, item in enumerate(items)}
    found = listing(judge, Wanted(top=3, base=True, reasons=2))
    for line in found.lines:
        row = row_of[line.item.item_id]
        question = Question(HISTORY, np.array([row]))
        base = judge.verdicts([question], base=True)[0].p_yes[0]
        assert line.p_like_base == pytest.approx(base, abs=ROUNDING)
        (expected,) = why(judge, HISTORY, [row])
        moved = {items[one.item_idx]: (one.rating, one.moved) for one in expected}
        assert line.why is not None
        assert len(line.why) == 2
        for reason in line.why:
            rating, by = moved[reason.rated.item]
            assert reason.rated.rating == rating
            assert reason.moved == pytest.approx(by, abs=2 * ROUNDING)
        assert abs(line.why[0].moved) >= abs(line.why[1].moved)
    assert len({line.p_like_base for line in found.lines}) == 3


@pytest.mark.parametrize(
    ("shown", "noted"), [(1, "1 rating is shown"), (4, "4 ratings are shown"), (5, None)]
)
def test_a_history_shorter_than_any_learned_from_is_noted(
    judge: Judge, shown: int, noted: str | None
):
    assert judge.subject.folder.min_history == judge.subject.folder.history_len == 5
    found = listing(judge, Wanted(top=1), HISTORY.last(shown))
    if noted is None:
        assert found.notes == ()
        return
    (note,) = found.notes
    assert note.startswith(noted)
    assert "histories of 5 or more" in note


def test_a_model_that_has_learned_nothing_has_no_such_note(judge: Judge):
    plain = Judge(replace(judge.subject, model=judge.subject.base.model))
    assert listing(plain, Wanted(top=1), HISTORY.last(1)).notes == ()


def test_progress_has_a_bar_for_each_thing_asked(judge: Judge):
    told: dict[str, tuple[int, int]] = {}

    def start(name: str):
        return lambda done, total: told.update({name: (done, total)})

    make_listing(judge, HISTORY, CANDIDATES, Wanted(2, base=True, reasons=1), start)
    assert told == {"candidates": (12, 12), "base": (2, 2), "why": (12, 12)}
