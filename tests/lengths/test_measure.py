"""Distributions of lengths, and lengths of blocks: those of the rows that training reads."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from reeltune.config import Config, build_config
from reeltune.data.folder import PreparedFolder
from reeltune.domain import Form, PromptSettings
from reeltune.errors import ConfigError, LengthError
from reeltune.lengths.measure import (
    BlockLengths,
    block_lengths,
    describe_lengths,
    describe_packing,
    parse_percentiles,
    rows_read,
)
from reeltune.prompts.rows import Selection, choose_blocks, tokenize, train_rows, validation_rows
from reeltune.signals.folder import with_signals
from tests.errors import raises_error
from tests.helpers import chat_tokenizer
from tests.prompts.build import FORMS, merging_tokenizer, prompt_tokens

length_lists = st.lists(st.integers(0, 2000), min_size=1, max_size=120)


def test_hand_made_lengths():
    report = describe_lengths(np.array([3, 1, 2, 10]), (0, 25, 50, 75, 99, 100), "tokens", 9)
    assert (report.unit, report.count) == ("tokens", 4)
    assert (report.minimum, report.maximum, report.mean) == (1, 10, 4.0)
    assert report.percentiles == ((0, 1), (25, 1), (50, 2), (75, 3), (99, 10), (100, 10))
    assert (report.limit, report.exceeding) == (9, 1)


def test_exactly_at_the_limit_does_not_exceed_it():
    assert describe_lengths(np.array([9, 10, 11]), (), "tokens", 10).exceeding == 1


def test_without_a_limit_nothing_exceeds_it():
    report = describe_lengths(np.array([5, 5]), (), "characters")
    assert (report.limit, report.exceeding, report.percentiles) == (None, 0, ())


@given(length_lists, st.lists(st.integers(0, 100), max_size=5))
def test_a_percentile_is_the_smallest_length_that_share_does_not_exceed(
    lengths: list[int], percentiles: list[int]
):
    report = describe_lengths(np.array(lengths), percentiles, "tokens")
    assert [percentile for percentile, _ in report.percentiles] == percentiles
    for percentile, value in report.percentiles:
        enough = [
            length
            for length in lengths
            if Fraction(sum(other <= length for other in lengths), len(lengths))
            >= Fraction(int(percentile), 100)
        ]
        assert value == min(enough)


def test_percentiles_of_a_hundred_lengths_are_the_lengths_themselves():
    percentiles = range(1, 101)
    report = describe_lengths(np.arange(1, 101), percentiles, "tokens")
    assert report.percentiles == tuple((p, p) for p in percentiles)


@given(length_lists, st.integers(0, 2000))
def test_every_length_is_counted(lengths: list[int], limit: int):
    report = describe_lengths(np.array(lengths), (), "tokens", limit)
    assert report.histogram.sum() == report.count == len(lengths)
    assert len(report.edges) == len(report.histogram) + 1
    assert report.edges[0] == min(lengths)
    assert report.edges[-2] <= max(lengths) < report.edges[-1]
    assert len(report.histogram) <= 12
    assert len(set(np.diff(report.edges))) == 1
    for count, first, beyond in zip(report.histogram, report.edges, report.edges[1:], strict=False):
        assert count == sum(first <= length < beyond for length in lengths)
    assert report.exceeding == sum(length > limit for length in lengths)
    assert report.mean == pytest.approx(sum(lengths) / len(lengths))


@pytest.mark.parametrize(
    ("text", "values"),
    [("50", (50.0,)), ("0,99.5, 100", (0.0, 99.5, 100.0)), ("90,50,90", (90.0, 50.0, 90.0))],
)
def test_percentiles_are_read_in_the_order_given(text: str, values: tuple[float, ...]):
    assert parse_percentiles(text) == values


@pytest.mark.parametrize("text", ["", "x", "50,", "50,,90", "-1", "100.1", "nan", "inf", "50;90"])
def test_what_is_no_percentile_is_refused(text: str):
    with raises_error(ConfigError, "bad_percentile", where="--percentiles"):
        parse_percentiles(text)


def measured_and_read(
    folder: PreparedFolder,
    tokenizer: PreTrainedTokenizerBase,
    settings: PromptSettings,
    selection: Selection,
) -> tuple[BlockLengths, BlockLengths]:
    """The lengths as they are measured, and those of the rows that training would read."""
    tokens = prompt_tokens(folder, settings, tokenizer)
    rows = tokenize(folder, tokens, choose_blocks(folder, selection), selection)
    sequences = rows.sequences
    read = BlockLengths(sequences.prompt_lengths, sequences.ids.lengths, sequences.answered)
    return block_lengths(folder, tokens, selection), read


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("limit", [None, 10])
@pytest.mark.parametrize("targets", [1, 4, 30])
def test_lengths_are_those_of_the_rows_that_are_read(
    prepared: PreparedFolder, form: Form, answered: bool, limit: int | None, targets: int
):
    selection = Selection("train", limit, 3, True, targets, answered)
    found, read = measured_and_read(
        prepared, chat_tokenizer("qwen3"), PromptSettings(form=form), selection
    )
    assert found.prompts.tolist() == read.prompts.tolist()
    assert found.sequences.tolist() == read.sequences.tolist()
    assert found.answered == answered


@pytest.mark.parametrize("form", FORMS)
def test_lengths_are_right_where_pieces_do_not_add_up(prepared: PreparedFolder, form: Form):
    selection = Selection("train", None, 0, True, 4, answered=True)
    found, read = measured_and_read(
        prepared, merging_tokenizer(), PromptSettings(form=form), selection
    )
    assert found.prompts.tolist() == read.prompts.tolist()
    assert found.sequences.tolist() == read.sequences.tolist()
    # Nothing is shared, so each prompt is read alone.
    assert found.per_prediction == found.per_prediction_alone


@pytest.mark.parametrize("form", FORMS)
def test_lengths_hold_the_signals_under_every_candidate(prepared: PreparedFolder, form: Form):
    folder = with_signals(prepared, ("item", "expected"))
    settings = PromptSettings(form=form, signals=("item", "expected"))
    selection = Selection("train", None, 0, True, 4, answered=True)
    measured, read = measured_and_read(folder, chat_tokenizer("qwen3"), settings, selection)
    assert measured.prompts.tolist() == read.prompts.tolist()
    assert measured.sequences.tolist() == read.sequences.tolist()


def test_tokens_per_prediction_by_hand():
    # Two blocks, of two prompts and of one, each prediction with its answer.
    held = BlockLengths(np.array([10, 12, 8]), np.array([16, 9]), answered=True)
    assert held.per_prediction == 25 / 3
    assert held.per_prediction_alone == 30 / 3 + 1


def test_packing_counts_rows_and_what_fills_them():
    assert describe_packing(np.array([6, 4, 5, 5, 3]), 10) == (3, 23 / 30)


def test_a_sequence_longer_than_a_row_is_refused():
    with raises_error(LengthError, "sequence_too_long", figures=[11, 10, 128]):
        describe_packing(np.array([6, 11]), 10)


def config_with(**train: Any) -> Config:
    return build_config(
        {
            "train": {"seed": 7, "block_size": 3, "pairwise_weight": 0, **train},
            "data": {"max_train_examples": 40, "max_eval_examples": 20},
            "scoring": {"share_history": False},
            "evaluation": {"max_examples": 10},
        }
    )


@pytest.mark.parametrize("shared", [True, False])
def test_the_rows_measured_are_those_training_reads(shared: bool):
    config = config_with(share_history=shared)
    assert rows_read(config, "train") == train_rows(config)
    assert rows_read(config, "validation") == validation_rows(config)


def test_the_test_rows_measured_are_those_evaluation_reads():
    assert rows_read(config_with(), "test") == Selection("test", 10, 7, False, 3)
