"""Fitted hyperparameters suit the data, and nothing is learned from held-out rows."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import reeltune
from reeltune.data.columns import TEST, TRAIN, VALIDATION
from reeltune.data.folder import PreparedFolder
from reeltune.data.timelines import Timelines
from reeltune.domain import GP_HYPERPARAMETERS, GPHyperparameters, Item, PromptSettings
from reeltune.signals import fit as fitting
from reeltune.signals.fit import fit, fit_signals, training_timelines
from reeltune.signals.source import SignalSource
from reeltune.signals.target import decision_boundary
from tests.data.editions import items, timeline, write_edition
from tests.signals.test_source import drawn
from tests.timelines import timelines_of

SETTINGS = PromptSettings(signals=("expected",))
BOUNDARY = decision_boundary(SETTINGS)
GENRES = ("Comedy", "Drama", "Horror", "Western")
FILMS = [Item(row, f"Film {row}", 1990 + row % 20, GENRES[row % 4 :][:1]) for row in range(40)]


def planted(taste: float, noise: float, users: int = 30, seed: int = 0) -> Timelines:
    """Users whose ratings deviate by a taste for each genre, and by noise, in stars."""
    random = np.random.default_rng(seed)
    count = len(FILMS)
    rows = np.concatenate([random.permutation(count) for _ in range(users)])
    user = np.repeat(np.arange(users), count)
    stars = 3.75 + random.normal(0, taste, (users, len(GENRES)))[user, rows % len(GENRES)]
    rating = np.clip(np.rint(2 * stars + random.normal(0, 2 * noise, len(rows))) / 2, 0.5, 5)
    split = [TRAIN] * (count - 10) + [VALIDATION] * 5 + [TEST] * 5
    return timelines_of(rows.tolist(), rating.tolist(), user.tolist(), split * users)


def source_of(known: Timelines) -> SignalSource:
    return SignalSource(known, FILMS, SETTINGS)


def fitted_to(known: Timelines) -> GPHyperparameters:
    return fit(training_timelines(source_of(known)), BOUNDARY)


def altered(known: Timelines, *splits: str) -> Timelines:
    """Return a copy in which ratings, labels and items of some splits are others."""
    rows = known.split.is_in(*splits)
    return replace(
        known,
        rating=np.where(rows, 5.5 - known.rating, known.rating),
        liked=known.liked ^ rows,
        item_idx=np.where(rows, 0, known.item_idx),
    )


@pytest.fixture
def fit_of_few(monkeypatch: pytest.MonkeyPatch, prepared: PreparedFolder):
    """Return the section of ``meta.json`` for some events, however few they are."""
    monkeypatch.setattr(fitting, "MIN_ROWS", 1)

    def section(known: Timelines, notify=lambda _: None) -> dict:
        folder = PreparedFolder(prepared.path, prepared.meta)
        vars(folder).update(ratings=known, items=FILMS)
        return fit_signals(folder, notify)

    return section


def test_the_gradient_is_that_of_the_loss():
    known = planted(0.7, 0.7, users=3)
    (timeline, *_) = training_timelines(source_of(known))
    logarithms = np.log([*asdict(GP_HYPERPARAMETERS).values()])

    def loss(values: np.ndarray) -> float:
        return timeline.loss(GPHyperparameters(*np.exp(values).tolist()), BOUNDARY)[0]

    steps = 1e-3 * np.eye(len(logarithms))
    differences = [(loss(logarithms + s) - loss(logarithms - s)) / 2e-3 for s in steps]
    gradient = timeline.loss(GP_HYPERPARAMETERS, BOUNDARY)[1]
    assert gradient == pytest.approx(differences, abs=2e-3)
    assert np.abs(gradient).max() > 0.05


def test_targets_are_expected_as_by_the_process():
    known = planted(0.7, 0.7, users=4)
    source = source_of(known)
    for one in training_timelines(source):
        result = one.expected(GP_HYPERPARAMETERS)
        user = [
            index
            for index in range(4)
            if np.array_equal(one.liked, known.liked[40 * index : 40 * index + 30])
        ]
        (events,) = (np.arange(40 * index, 40 * index + 30) for index in user)
        targets = known.rating[events].astype(float) / 2 + known.liked[events]
        posterior = source.posterior(
            int(source.fold[events[0]]), known.item_idx[events].astype(np.int64), targets
        )
        assert result == pytest.approx(posterior.before_each_event(), abs=1e-5)


@pytest.mark.slow
def test_planted_hyperparameters_are_recovered_roughly():
    taste, noise = fitted_to(planted(1.2, 0.3)), fitted_to(planted(0.0, 1.2))
    assert taste.genres > 2 * GP_HYPERPARAMETERS.genres > 2 * noise.genres
    assert taste.spread < GP_HYPERPARAMETERS.spread < noise.spread
    for known, fitted in ((planted(1.2, 0.3), taste), (planted(0.0, 1.2), noise)):
        timelines = training_timelines(source_of(known))
        shipped, own = (
            sum(timeline.loss(process, BOUNDARY)[0] for timeline in timelines)
            for process in (GP_HYPERPARAMETERS, fitted)
        )
        assert own < shipped


@pytest.mark.slow
def test_held_out_rows_are_not_fitted_to_and_test_rows_decide_nothing(fit_of_few):
    known = planted(1.2, 0.3)
    assert fitted_to(altered(known, VALIDATION, TEST)) == fitted_to(known)
    section = fit_of_few(known)
    assert fit_of_few(altered(known, TEST)) == section == fit_of_few(known)
    assert fit_of_few(altered(known, VALIDATION))["validation"] != section["validation"]
    assert fit_of_few(altered(known, TRAIN)) != section


@pytest.mark.slow
def test_validation_rows_decide(fit_of_few):
    messages: list[str] = []
    known = planted(1.2, 0.3)
    section = fit_of_few(known, messages.append)
    losses = section["validation"]["log_loss"]
    assert section["fitted"]
    assert losses["fitted"] < losses["shipped"]
    assert losses["difference"] == pytest.approx(losses["fitted"] - losses["shipped"], abs=2e-5)
    assert asdict(fitted_to(known)) == section["gaussian_process"]
    for figure in (losses["shipped"], losses["fitted"], section["validation"]["standard_error"]):
        assert str(figure) in messages[-1]
    assert messages[-1].endswith("the fitted hyperparameters are used")
    # Users whose later ratings contradict the earlier ones.
    section = fit_of_few(altered(known, VALIDATION), messages.append)
    assert not section["fitted"]
    assert "gaussian_process" not in section
    assert messages[-1].endswith("the shipped hyperparameters are used")


def test_the_auc_is_a_mean_over_users_with_both_labels():
    likes = np.array([True, False, True, False, True])
    chance, user = np.array([0.9, 0.1, 0.2, 0.3, 0.5]), np.array([0, 0, 1, 1, 2])
    assert fitting._mean_auc(likes, chance, user) == 0.5
    everybody = fitting._mean_auc(likes, chance, np.zeros_like(user))
    assert everybody == pytest.approx(roc_auc_score(likes, chance), abs=5e-5)
    assert fitting._mean_auc(likes[4:], chance[4:], np.array([0])) is None


def test_without_validation_rows_nothing_is_fitted(fit_of_few):
    messages: list[str] = []
    section = fit_of_few(drawn(0), messages.append)
    assert section == {"fitted": False, "reason": "no validation rows to decide by"}
    assert messages == [
        "Signals: no validation rows to decide by: the shipped hyperparameters are kept"
    ]


@pytest.mark.slow
def test_prepare_keeps_what_it_fitted(tmp_path, monkeypatch):
    films = 60
    ratings = [row for user in range(1, 9) for row in timeline(user, films)]
    source = write_edition(tmp_path / "in", ratings, items(films))
    messages: list[str] = []
    few = reeltune.prepare(source, tmp_path / "few", notify=messages.append)
    assert few.meta["signals"]["reason"] == "fewer than 10,000 training rows (312)"
    assert any("fewer than 10,000 training rows (312)" in message for message in messages)
    monkeypatch.setattr(fitting, "MIN_ROWS", 1)
    process = replace(GP_HYPERPARAMETERS, noise=2.0)
    section = {"fitted": True, "gaussian_process": asdict(process)}
    shipped = reeltune.prepare(source, tmp_path / "shipped", fit=False)
    with monkeypatch.context() as patched:
        patched.setattr(fitting, "fit_signals", lambda *_: section)
        fitted = reeltune.prepare(source, tmp_path / "fitted")
    assert PreparedFolder.open(fitted.path).gaussian_process == process
    assert "signals" not in shipped.meta
    for folder in (shipped, few):
        assert PreparedFolder.open(folder.path).gaussian_process == GP_HYPERPARAMETERS
    # The exports hold no signals, so they are the same either way.
    for name in ("train.json", "eval.json", "test_raw.jsonl", "timelines.parquet"):
        assert (fitted.path / name).read_bytes() == (shipped.path / name).read_bytes()
    assert reeltune.prepare(source, tmp_path / "one").meta["signals"]["rows"] == 312
    first, second = (
        reeltune.prepare(source, tmp_path / name).path / "meta.json" for name in ("one", "two")
    )
    assert first.read_bytes() == second.read_bytes()
