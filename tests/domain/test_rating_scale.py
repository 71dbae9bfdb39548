"""A scale holds exactly its own ratings."""

from __future__ import annotations

import math

import pytest

from reeltune.domain import HALF_STARS, WHOLE_STARS, PromptSettings, RatingScale


@pytest.mark.parametrize("scale", [HALF_STARS, WHOLE_STARS, RatingScale(1.0, 10.0, 0.5)], ids=str)
def test_a_scale_contains_its_ratings_and_nothing_between_or_beyond(scale: RatingScale):
    ratings = scale.ratings()
    assert ratings[0] == scale.min
    assert ratings[-1] == scale.max
    assert all(map(scale.contains, ratings))
    others = [rating + scale.step / 2 for rating in ratings]
    others += [0.0, scale.min - scale.step, scale.max + scale.step, math.nan, math.inf, -math.inf]
    assert not any(map(scale.contains, others))


def test_the_finest_scale_contains_every_rating_of_the_other():
    assert set(WHOLE_STARS.ratings()) < set(HALF_STARS.ratings())


@pytest.mark.parametrize(("scale", "middle"), [(HALF_STARS, 3.0), (WHOLE_STARS, 3.0)], ids=str)
def test_a_value_is_rounded_up_to_a_rating(scale: RatingScale, middle: float):
    assert scale.round_up((scale.min + scale.max) / 2) == middle
    assert [scale.round_up(rating) for rating in scale.ratings()] == list(scale.ratings())


@pytest.mark.parametrize("scale", [HALF_STARS, WHOLE_STARS], ids=str)
def test_prompt_settings_hold_the_whole_scale(scale: RatingScale):
    assert PromptSettings(scale_min=scale.min, scale_max=scale.max).scale == scale
