"""Predictions with item text, tags and signals: shared histories give those of whole prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reeltune.data.folder import PreparedFolder
from reeltune.data.history import History
from reeltune.data.prepare import prepare
from reeltune.data.settings import PrepareSettings, SplitSettings
from reeltune.domain import Form
from reeltune.scoring.predictor import Predictor, Query
from tests.data.editions import items, timeline, write_edition
from tests.prompts.build import FORMS
from tests.scoring.models import ROUNDING, alone, random_loaded_model


@pytest.fixture(scope="module")
def tagged(tmp_path_factory) -> PreparedFolder:
    """Two users' ratings of films with genres, of which three have tags."""
    work: Path = tmp_path_factory.mktemp("tagged")
    ratings = [*timeline(1, 12), *timeline(2, 12, start=2_000_000)]
    source = write_edition(work / "in", ratings, items(12))
    tags = ("7,30,dark,9", "7,30,slow,1500000", "7,50,a long text,9", "7,120,dark,3000000")
    text = "\n".join(["userId,movieId,tag,timestamp", *tags, ""])
    (source / "tags.csv").write_text(text, encoding="utf-8")
    split = SplitSettings(val_fraction=0.2, test_fraction=0.3)
    columns = ("genres", "tags")
    settings = PrepareSettings(work / "out", history_len=5, split=split, item_text=columns)
    return prepare(source, settings)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_predictions_equal_those_of_whole_prompts(tagged: PreparedFolder, tiny_qwen3, form: Form):
    loaded = random_loaded_model(tagged, tiny_qwen3, form, signals=("recent", "expected"))
    predictor = Predictor(loaded)
    history = History.from_timelines(tagged.ratings, range(12, 20))
    candidates = np.array([2, 4, 11])
    (found,) = predictor.predict([Query(history, candidates)])
    expected = [alone(predictor, history, item) for item in candidates.tolist()]
    assert found.p_yes == pytest.approx(expected, abs=ROUNDING)
    assert loaded.tokens.cut == {"genres": 0, "tags": 0}
    blind = [alone(predictor, history.without(0), item) for item in candidates.tolist()]
    assert blind != pytest.approx(expected, abs=ROUNDING)
