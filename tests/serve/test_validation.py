"""Ratings must be on the scale of the edition: some have no half stars."""

from __future__ import annotations

import pytest

from reeltune.config.schema import ServingSection
from reeltune.domain import WHOLE_STARS
from reeltune.errors import RequestError
from reeltune.recommend.catalogue import Catalogue
from reeltune.scoring.predictor import Predictor
from reeltune.serve.schemas import RatedItem
from reeltune.serve.service import RequestValidator
from tests.errors import raises_error


@pytest.mark.parametrize("rating", [0.5, 3.5, 5.5])
def test_half_stars_are_rejected_where_the_edition_has_none(
    served_predictor: Predictor, rating: float
):
    catalogue = Catalogue.of(served_predictor.loaded.folder)
    validator = RequestValidator(catalogue, WHOLE_STARS, ServingSection())
    ratings = [RatedItem(item_id=1, rating=4.0), RatedItem(item_id=4, rating=rating)]
    with raises_error(
        RequestError, "rating_not_on_scale", where="history.1.rating", figures=[rating, 1.0, 5.0]
    ):
        validator.history(ratings)
    assert len(validator.history(ratings[:1])) == 1
