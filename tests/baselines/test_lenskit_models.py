"""LensKit's models: the right histories, a score for every row, no changed settings."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from lenskit.als import BiasedMFScorer
from lenskit.data import ItemList
from lenskit.knn import ItemKNNScorer
from lenskit.training import TrainingOptions

from reeltune.baselines.lenskit_models import (
    FALLBACK_DAMPING,
    expected_by,
    item_knn,
    matrix_factorization,
    ratings_for_lenskit,
)
from reeltune.baselines.simple import bias_parts
from tests.baselines.problems import random_problem

MODELS = {
    "item kNN": ItemKNNScorer,
    "matrix factorization": partial(BiasedMFScorer, embedding_size=4, epochs=3),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_each_event_is_scored_with_all_earlier_events_of_its_user(name: str):
    problem = random_problem(11, users=30)
    known = problem.timelines
    model = MODELS[name]()
    model.train(ratings_for_lenskit(problem), TrainingOptions(rng=1))
    found = expected_by(model, problem, problem.test)
    learned = np.unique(known.item_idx[problem.ratings])
    fallback = bias_parts(problem, FALLBACK_DAMPING)
    instead = fallback.expected(FALLBACK_DAMPING, problem.test).tolist()
    asked = 0
    for score, bias, event in zip(found.tolist(), instead, problem.test.tolist(), strict=True):
        earlier = np.arange(event - known.position[event], event)
        earlier = earlier[np.isin(known.item_idx[earlier], learned)]
        history = ItemList(item_ids=known.item_idx[earlier], rating=known.rating[earlier])
        wanted = np.nan
        if known.item_idx[event] in learned:
            scores = model(history, ItemList(item_ids=known.item_idx[event : event + 1])).scores()
            wanted = float("nan") if scores is None else float(scores[0])
        asked += np.isfinite(wanted)
        assert score == pytest.approx(wanted if np.isfinite(wanted) else bias)
    assert 0 < asked < len(problem.test)


@pytest.mark.slow
@pytest.mark.parametrize("baseline", [item_knn, matrix_factorization])
def test_the_same_seed_gives_the_same_scores(baseline):
    problem = random_problem(12, users=15)
    once, again = baseline(problem), baseline(problem)
    assert once.settings == again.settings
    assert np.array_equal(once.test, again.test)
    assert np.array_equal(once.validation, again.validation)
    assert once.learned_from == len(problem.ratings)


_THREADS = """
import torch
torch.set_num_threads(3)
before = torch.get_num_threads(), torch.multiprocessing.get_sharing_strategy()
from reeltune.baselines.lenskit_models import prepare_lenskit
from lenskit.parallel import ensure_parallel_init
prepare_lenskit()
ensure_parallel_init()
assert before == (torch.get_num_threads(), torch.multiprocessing.get_sharing_strategy()), before
"""


@pytest.mark.slow
def test_torch_keeps_its_threads():
    # In a process of its own: LensKit can be started only once in each.
    done = subprocess.run(
        [sys.executable, "-c", _THREADS], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
