"""Auxiliary ratings of a copied user, and held-out ones, are found wherever they get in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from reeltune.data.folder import AUXILIARY_FILE, PreparedFolder
from reeltune.data.invariants import EventTable
from reeltune.leakage.auxiliary import auxiliary_ratings_are_of_others
from tests.leakage.plant import DIVIDE, failing, named
from tests.prepared_data import sign, with_auxiliary


@pytest.mark.slow
@pytest.mark.parametrize("split", DIVIDE)
def test_auxiliary_ratings_pass_every_check(folder: Path, larger: PreparedFolder, split: str):
    DIVIDE[split](folder)
    table = EventTable.read(with_auxiliary(folder, larger))
    assert not failing(folder)
    assert auxiliary_ratings_are_of_others(table).status == "ok"


@pytest.mark.parametrize("planted", ["possible_users", "training_ratings"])
def test_copied_users_and_held_out_rows_change_signals_where_they_get_in(
    folder: Path, larger: PreparedFolder, monkeypatch: pytest.MonkeyPatch, planted: str
):
    table = EventTable.read(with_auxiliary(folder, larger))

    def let_in(known, _):
        return np.arange(len(known)) if "ratings" in planted else np.zeros(len(known), np.bool_)

    monkeypatch.setattr(f"reeltune.signals.auxiliary.{planted}", let_in)
    outcome = auxiliary_ratings_are_of_others(table)
    assert outcome.status == "failed"
    assert all(event is not None for _, _, event in named(outcome))


@pytest.mark.slow
@pytest.mark.parametrize("planted", ["possible users of these data", "the time", "items"])
def test_planted_auxiliary_ratings_are_found(folder: Path, larger: PreparedFolder, planted: str):
    with_auxiliary(folder, larger)
    DIVIDE.get(planted.removeprefix("the "), lambda _: None)(folder)
    if "users" in planted:
        path, known = folder / AUXILIARY_FILE, pl.read_parquet(folder / "timelines.parquet")
        rows = pl.read_parquet(path)
        copied = known.filter(user_id=11).with_columns(user_id=500).select(rows.columns)
        pl.concat([rows, copied], how="vertical_relaxed").write_parquet(path)
        sign(folder)
    (outcome,) = failing(folder).values()
    assert str(outcome.offenders.first[0]).startswith(f"ratings of {planted}")
