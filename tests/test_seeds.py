from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reeltune.seeds import sample_rows, stream

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.text(max_size=8))
def test_equal_seed_and_name_give_equal_numbers(seed: int, name: str):
    assert stream(seed, name).integers(2**62, size=3).tolist() == (
        stream(seed, name).integers(2**62, size=3).tolist()
    )


def test_streams_differ_by_name_and_by_seed():
    drawn = {
        int(stream(seed, name).integers(2**62)) for seed in (0, 1, 42) for name in ("a", "b", "")
    }
    assert len(drawn) == 9


def test_a_stream_is_the_same_in_every_process():
    # The words of PCG64 are fixed by its definition; a name hashed with a salt would change them.
    assert stream(42, "train sample").bit_generator.random_raw() == 12191113639140832933


@given(st.integers(0, 60), st.none() | st.integers(0, 80), seeds, st.text(max_size=5))
def test_a_sample_is_ascending_without_repeats(count: int, limit: int | None, seed: int, name: str):
    rows = sample_rows(count, limit, seed, name).tolist()
    assert rows == sorted(set(rows))
    assert set(rows) <= set(range(count))
    assert len(rows) == (count if limit is None else min(count, limit))
    assert rows == sample_rows(count, limit, seed, name).tolist()


def test_samples_differ_by_name_and_by_seed():
    samples = {
        tuple(sample_rows(1000, 10, seed, name)) for seed in (0, 1) for name in ("train", "test")
    }
    assert len(samples) == 4


def test_every_row_can_be_sampled():
    seen = {int(row) for seed in range(60) for row in sample_rows(5, 1, seed, "x")}
    assert seen == set(range(5))
