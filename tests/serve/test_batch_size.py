"""The size of batches follows the measured speed; queries are counted as they are tokenized."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reeltune.data.folder import PreparedFolder
from reeltune.domain import Form
from reeltune.scoring.predictor import Query, query_sequences
from reeltune.serve.batch_plan import BatchSize, TokenCounts
from tests.scoring.models import drawn_subject, random_candidates, random_history


def test_a_batch_has_the_tokens_that_fit_its_target_time():
    size = BatchSize(target_seconds=2.0, max_tokens=500)
    assert size.tokens == 1
    for _ in range(50):
        size.update(30, 0.3)
    assert size.tokens == pytest.approx(200, abs=1)
    for _ in range(50):
        size.update(1000, 0.1)
    assert size.tokens == 500
    for _ in range(50):
        size.update(10, 60.0)
    assert size.tokens == 1


def test_the_delay_is_a_small_share_of_a_batch():
    size = BatchSize(target_seconds=1.0, max_tokens=500)
    assert size.delay == 0
    for _ in range(50):
        size.update(30, 0.4)
    assert size.delay == pytest.approx(0.02)
    for _ in range(50):
        size.update(30, 60.0)
    assert size.delay == 0.05


@pytest.mark.parametrize("form", ["window", "interview"])
def test_token_counts_are_those_of_the_sequences(
    prepared: PreparedFolder, tiny_qwen3: Path, form: Form
):
    random = np.random.default_rng(5)
    tokens = drawn_subject(prepared, tiny_qwen3, form).tokens
    for count in (0, 1, 5):
        history = random_history(random, 40, count)
        candidates = random_candidates(random, 40, 7)
        sequences = query_sequences(tokens, [Query(history, candidates)])
        trunk, branches = TokenCounts(tokens, len(history), True).of(history, candidates)
        assert (trunk, trunk + branches.sum()) == (sequences.trunk[0], len(sequences.ids.values))
        nothing, whole = TokenCounts(tokens, len(history), False).of(history, candidates)
        assert (nothing, whole.tolist()) == (0, (trunk + branches).tolist())
        assert whole.tolist() == sequences.prompt_lengths.tolist()
