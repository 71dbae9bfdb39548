"""Stars are those the model has seen: some editions know no halves."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from reeltune.asking.judge import Judge
from reeltune.config.schema import ServingSection
from reeltune.domain import HALF_STARS, RatingScale, Renderer
from reeltune.errors import RequestError
from reeltune.recommend.catalogue import Catalogue
from reeltune.serve.bounds import Bounds
from reeltune.serve.contract import Rated
from tests.errors import raises_error


@pytest.fixture
def whole_ratings(served_judge: Judge) -> Bounds:
    """The bounds of an edition without half stars."""
    judge, tokens = copy.copy(served_judge), copy.copy(served_judge.subject.tokens)
    settings = tokens.renderer.settings
    tokens.renderer = Renderer(replace(settings, scale_min=1.0, scale_max=4.0))
    judge.subject = replace(served_judge.subject, tokens=tokens)
    return Bounds(judge, Catalogue.of(judge.subject.folder), ServingSection())


def test_the_scale_is_that_of_the_edition(served_judge: Judge, whole_ratings: Bounds):
    halves = Bounds(served_judge, Catalogue.of(served_judge.subject.folder), ServingSection())
    assert halves.scale == HALF_STARS
    assert whole_ratings.scale == RatingScale(1.0, 4.0, 1.0)


@pytest.mark.parametrize("rating", [0.5, 3.5, 5.0])
def test_stars_between_the_steps_are_refused(whole_ratings: Bounds, rating: float):
    rated = [Rated(item_id=1, rating=4.0), Rated(item_id=4, rating=rating)]
    with raises_error(
        RequestError, "rating_off_scale", where="rated.1.rating", figures=[rating, 1.0, 4.0]
    ):
        whole_ratings.history(rated)
    assert len(whole_ratings.history(rated[:1])) == 1
