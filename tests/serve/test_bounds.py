"""Stars are those the model has seen: some editions know no halves."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from reeltune.asking.judge import Judge
from reeltune.config.schema import ServingSection
from reeltune.data.folder import PreparedFolder
from reeltune.errors import RequestError
from reeltune.recommend.catalogue import Catalogue
from reeltune.serve.bounds import Bounds
from reeltune.serve.contract import Rated, Scale
from tests.errors import raises_error


@pytest.fixture
def whole_stars(served_judge: Judge) -> Bounds:
    """What may be asked where nobody has given half a star."""
    given = served_judge.subject.folder
    folder = PreparedFolder(given.path, given.meta)
    # What the folder would read from its files.
    stars = np.ceil(given.ratings.stars)
    vars(folder)["ratings"] = replace(given.ratings, stars=stars)
    judge = copy.copy(served_judge)
    judge.subject = replace(served_judge.subject, folder=folder)
    return Bounds(judge, Catalogue.of(folder), ServingSection())


def test_the_steps_are_those_of_the_ratings(served_judge: Judge, whole_stars: Bounds):
    halves = Bounds(served_judge, Catalogue.of(served_judge.subject.folder), ServingSection())
    assert halves.scale == Scale(min=0.5, max=5.0, step=0.5)
    assert whole_stars.scale.step == 1.0


@pytest.mark.parametrize("stars", [0.5, 3.5, 5.0])
def test_stars_between_the_steps_are_refused(whole_stars: Bounds, stars: float):
    whole_stars.scale = Scale(min=1.0, max=4.0, step=1.0)
    rated = [Rated(film_id=1, stars=4.0), Rated(film_id=4, stars=stars)]
    with raises_error(
        RequestError, "rating_off_scale", where="rated.1.stars", figures=[stars, 1.0, 4.0]
    ):
        whole_stars.history(rated)
    assert len(whole_stars.history(rated[:1])) == 1
