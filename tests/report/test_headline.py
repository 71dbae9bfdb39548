from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.result import Difference, Evaluation, ScorerResult
from reeltune.report.headline import Headline, headline, rule
from reeltune.report.metric_labels import AUC_PER_USER, NOT_MEASURED, ONE_LABEL
from reeltune.report.roles import Roles
from tests.report.build import without

BEST = "logistic regression on running means"

ends = st.floats(-1, 1, allow_nan=False)


def found(evaluation: Evaluation) -> Headline:
    return headline(evaluation, Roles.of(evaluation))


def with_differences(evaluation: Evaluation, **auc: Interval | None) -> Evaluation:
    """The evaluation with other differences in AUC: ``base`` and ``best`` name whose."""
    names = {"base": "base", "best": BEST}
    changed = [Difference("tuned", names[key], {"auc": value}) for key, value in auc.items()]
    return replace(evaluation, differences=changed)


def only(evaluation: Evaluation, *names: str) -> Evaluation:
    return replace(evaluation, scorers=[s for s in evaluation.scorers if s.name in names])


@given(ends, ends)
def test_a_ruling_is_clear_just_when_zero_is_outside(one: float, other: float):
    low, high = sorted((one, other))
    interval = Interval((low + high) / 2, low, high, 1000, 60)
    assert (rule(interval) == "unclear") == (low <= 0 <= high)
    opposite = {"better": "worse", "worse": "better", "unclear": "unclear"}
    assert rule(interval, higher_is_better=False) == opposite[rule(interval)]
    assert rule(Interval(-interval.value, -high, -low, 1000, 60)) == opposite[rule(interval)]


def rulings(said: Headline) -> dict[str, str]:
    return {comparison.other: comparison.ruling for comparison in said.comparisons}


def test_better_than_the_base_and_level_with_the_best_baseline(evaluation: Evaluation):
    level = with_differences(
        evaluation,
        base=Interval(0.21, 0.19, 0.23, 1000, 60),
        best=Interval(0.0012, -0.003, 0.0051, 1000, 60),
    )
    said = found(level)
    assert rulings(said) == {"base": "better", BEST: "unclear"}
    base, best, rest = said.sentences
    assert numbers_in(base)[2:] == ["+0.2100", "+0.1900", "+0.2300"]
    assert numbers_in(best)[2:] == ["+0.0012", "-0.0030", "+0.0051"]
    assert "7 baselines" in best and BEST in best
    baselines = [s.name for s in evaluation.scorers if s.kind == "baseline" and s.name != BEST]
    assert sorted(said.unbeaten) == sorted(baselines)
    assert all(name in rest for name in said.unbeaten)
    assert [c.label in said.claim for c in said.comparisons] == [True, True]


def numbers_in(sentence: str) -> list[str]:
    """The numbers of four decimals, with their signs."""
    return re.findall(r"[+-]?\d\.\d{4}", sentence.replace("\u2212", "-"))


def test_a_loss_is_said_as_plainly_as_a_gain(evaluation: Evaluation):
    lost = with_differences(
        evaluation,
        base=Interval(-0.02, -0.03, -0.01, 1000, 60),
        best=Interval(-0.2, -0.21, -0.19, 1000, 60),
    )
    said = found(lost)
    assert rulings(said) == {"base": "worse", BEST: "worse"}
    assert said.claim.count("worse") == 2
    assert numbers_in(said.sentences[0])[2:] == ["-0.0200", "-0.0300", "-0.0100"]
    assert "better" not in said.claim + "".join(said.sentences[:2])
    assert len(said.sentences) == 3


def test_the_figures_of_both_scorers_are_given(evaluation: Evaluation):
    tuned, base = (s.metrics["auc"] for s in evaluation.scorers[:2])
    assert tuned is not None
    assert base is not None
    expected = [f"{tuned.value:.4f}", f"{base.value:.4f}"]
    assert numbers_in(found(evaluation).sentences[0])[:2] == expected


def test_the_best_baseline_is_the_one_with_the_highest_auc(evaluation: Evaluation):
    best = max(
        (s for s in evaluation.scorers if s.kind == "baseline"),
        key=lambda s: s.metrics["auc"].value if s.metrics["auc"] else 0,
    )
    assert Roles.of(evaluation).baseline == best
    assert best.name == BEST


def test_without_an_auc_nothing_is_claimed(evaluation: Evaluation):
    said = found(without(evaluation, "auc"))
    assert [comparison.ruling for comparison in said.comparisons] == ["undefined"] * 2
    for sentence in said.sentences[:2]:
        assert ONE_LABEL in sentence
        assert numbers_in(sentence) == []


def test_a_difference_nobody_measured_is_said_to_be_missing(evaluation: Evaluation):
    said = found(with_differences(evaluation, best=Interval(0.1, 0.05, 0.2, 1000, 60)))
    assert rulings(said) == {"base": "undefined", BEST: "better"}
    assert NOT_MEASURED in said.sentences[0]


def test_the_tuned_model_alone_is_compared_with_nothing(evaluation: Evaluation):
    said = found(replace(only(evaluation, "tuned"), differences=[]))
    assert (said.comparisons, said.per_user, said.unbeaten) == ([], [], [])
    (tuned,) = only(evaluation, "tuned").scorers
    assert numbers_in(said.sentences[0]) == figures_of(tuned)


def figures_of(scorer: ScorerResult) -> list[str]:
    auc = scorer.metrics["auc"]
    assert auc is not None
    return [f"{value:.4f}" for value in (auc.value, auc.low, auc.high)]


def test_without_a_tuned_model_the_base_is_compared_and_no_gain_is_claimed(evaluation: Evaluation):
    behind = Difference("base", BEST, {"auc": Interval(-0.2, -0.22, -0.18, 1000, 60)})
    said = found(replace(only(evaluation, "base", BEST), differences=[behind]))
    assert rulings(said) == {BEST: "worse"}
    tuned = found(replace(only(evaluation, "tuned", BEST), differences=[behind]))
    assert said.claim.partition(":")[0] != tuned.claim.partition(":")[0]
    # That training's gain is not measured is said last, after the one comparison.
    assert len(said.sentences) == len(tuned.sentences) + 1
    assert numbers_in(said.sentences[-1]) == []


def test_a_model_that_is_told_evidence_is_held_against_it(evaluation: Evaluation):
    told = next(s for s in evaluation.scorers if s.name == "film mean")
    told = replace(told, name="signals alone", kind="signals")
    behind = Difference("tuned", "signals alone", {"auc": Interval(-0.02, -0.03, -0.01, 1000, 60)})
    scorers = [*only(evaluation, "tuned").scorers, told]
    said = found(replace(evaluation, scorers=scorers, differences=[behind], strongest={}))
    assert rulings(said) == {"signals alone": "worse"}
    assert "signals alone" in said.sentences[0]
    # A base model by itself has learned nothing from the signals.
    base = replace(evaluation, scorers=[*only(evaluation, "base").scorers, told], differences=[])
    assert found(replace(base, strongest={})).comparisons == []


def test_without_any_model_nothing_is_compared(evaluation: Evaluation):
    said = found(replace(only(evaluation, BEST), differences=[]))
    (best,) = only(evaluation, BEST).scorers
    assert BEST in said.sentences[0]
    assert numbers_in(said.sentences[0]) == figures_of(best)
    assert said.comparisons == []


def test_the_baseline_to_beat_is_the_one_that_was_chosen(evaluation: Evaluation):
    chosen = replace(evaluation, strongest={"auc": {"baseline": "film mean"}})
    assert Roles.of(chosen).leads["baseline"].name == "film mean"
    assert [comparison.other for comparison in found(chosen).comparisons] == ["base", "film mean"]


def test_within_a_user_the_one_to_beat_is_the_strongest_there(evaluation: Evaluation):
    chosen = {"auc": {"baseline": BEST}, "auc_per_user_mean": {"baseline": "film mean"}}
    level, behind = Interval(0.01, -0.02, 0.04, 900, 60), Interval(-0.03, -0.05, -0.01, 900, 60)
    differences = [
        Difference("tuned", name, {"auc": level, "auc_per_user_mean": within})
        for name, within in (("base", behind), (BEST, level), ("film mean", level))
    ]
    said = found(replace(evaluation, strongest=chosen, differences=differences))
    assert [(c.other, c.ruling) for c in said.per_user] == [
        ("base", "worse"),
        ("film mean", "unclear"),
    ]
    assert [c.sentence for c in said.per_user] == said.sentences[-2:]
    assert all(AUC_PER_USER.label in c.sentence for c in said.per_user)
    assert all(comparison.difference == level for comparison in said.comparisons)


def test_of_a_handful_of_users_nothing_is_ruled(evaluation: Evaluation):
    lone = Interval(0.3, 0.3, 0.3, 1000, 9)
    said = found(with_differences(evaluation, base=lone, best=replace(lone, users=10)))
    assert rulings(said) == {"base": "too few", BEST: "better"}
    assert numbers_in(said.sentences[0])[2:] == ["+0.3000"]
    assert "9 users" in said.sentences[0]


def test_baselines_that_are_not_beaten_are_named(evaluation: Evaluation):
    gain, level = Interval(0.1, 0.05, 0.2, 1000, 60), Interval(0.01, -0.05, 0.2, 1000, 60)
    names = [s.name for s in evaluation.scorers if s.kind == "baseline"]
    all_beaten = [Difference("tuned", name, {"auc": gain}) for name in names]
    said = found(replace(evaluation, differences=all_beaten))
    assert said.unbeaten == []
    assert "6 other baselines" in said.sentences[-1]
    but_one = [replace(d, metrics={"auc": level}) if d.other == "film mean" else d
               for d in all_beaten]  # fmt: skip
    said = found(replace(evaluation, differences=but_one))
    assert said.unbeaten == ["film mean"]
    assert "film mean" in said.sentences[-1] and BEST not in said.sentences[-1]


def test_one_baseline_is_not_the_best_of_many(evaluation: Evaluation):
    said = found(only(evaluation, "tuned", BEST))
    assert "1 baseline," in said.sentences[0]
