from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.result import Difference, Evaluation, ScorerResult
from reeltune.report.headline import Headline, conclude, headline
from reeltune.report.metric_labels import AUC_PER_USER, NOT_MEASURED, ONE_LABEL
from reeltune.report.roles import Roles
from tests.report.build import without

BEST = "logistic regression on running means"

ends = st.floats(-1, 1, allow_nan=False)


def headline_of(evaluation: Evaluation) -> Headline:
    return headline(evaluation, Roles.of(evaluation))


def with_differences(evaluation: Evaluation, **auc: Interval | None) -> Evaluation:
    """The evaluation with other differences in AUC: ``base`` and ``best`` name whose."""
    names = {"base": "base", "best": BEST}
    changed = [Difference("tuned", names[key], {"auc": value}) for key, value in auc.items()]
    return replace(evaluation, differences=changed)


def only(evaluation: Evaluation, *names: str) -> Evaluation:
    return replace(evaluation, scorers=[s for s in evaluation.scorers if s.name in names])


@given(ends, ends)
def test_conclusion_is_clear_if_and_only_if_zero_is_outside(one: float, other: float):
    low, high = sorted((one, other))
    interval = Interval((low + high) / 2, low, high, 1000, 60)
    assert (conclude(interval) == "unclear") == (low <= 0 <= high)
    opposite = {"better": "worse", "worse": "better", "unclear": "unclear"}
    assert conclude(interval, higher_is_better=False) == opposite[conclude(interval)]
    negated = Interval(-interval.value, -high, -low, 1000, 60)
    assert conclude(negated) == opposite[conclude(interval)]


def conclusions(result: Headline) -> dict[str, str]:
    return {comparison.other: comparison.conclusion for comparison in result.comparisons}


def test_better_than_base_and_not_different_from_best_baseline(evaluation: Evaluation):
    level = with_differences(
        evaluation,
        base=Interval(0.21, 0.19, 0.23, 1000, 60),
        best=Interval(0.0012, -0.003, 0.0051, 1000, 60),
    )
    result = headline_of(level)
    assert conclusions(result) == {"base": "better", BEST: "unclear"}
    base, best, rest = result.sentences
    assert numbers_in(base)[2:] == ["+0.2100", "+0.1900", "+0.2300"]
    assert numbers_in(best)[2:] == ["+0.0012", "-0.0030", "+0.0051"]
    assert "7 baselines" in best and BEST in best
    baselines = [s.name for s in evaluation.scorers if s.kind == "baseline" and s.name != BEST]
    assert sorted(result.unbeaten) == sorted(baselines)
    assert all(name in rest for name in result.unbeaten)
    assert [c.label in result.claim for c in result.comparisons] == [True, True]


def numbers_in(sentence: str) -> list[str]:
    """The numbers of four decimals, with their signs."""
    return re.findall(r"[+-]?\d\.\d{4}", sentence.replace("\u2212", "-"))


def test_worse_model_is_reported_as_worse(evaluation: Evaluation):
    lost = with_differences(
        evaluation,
        base=Interval(-0.02, -0.03, -0.01, 1000, 60),
        best=Interval(-0.2, -0.21, -0.19, 1000, 60),
    )
    result = headline_of(lost)
    assert conclusions(result) == {"base": "worse", BEST: "worse"}
    assert result.claim.count("worse") == 2
    assert numbers_in(result.sentences[0])[2:] == ["-0.0200", "-0.0300", "-0.0100"]
    assert "better" not in result.claim + "".join(result.sentences[:2])
    assert len(result.sentences) == 3


def test_sentence_has_both_aucs(evaluation: Evaluation):
    tuned, base = (s.metrics["auc"] for s in evaluation.scorers[:2])
    assert tuned is not None
    assert base is not None
    expected = [f"{tuned.value:.4f}", f"{base.value:.4f}"]
    assert numbers_in(headline_of(evaluation).sentences[0])[:2] == expected


def test_the_best_baseline_is_the_one_with_the_highest_auc(evaluation: Evaluation):
    best = max(
        (s for s in evaluation.scorers if s.kind == "baseline"),
        key=lambda s: s.metrics["auc"].value if s.metrics["auc"] else 0,
    )
    assert Roles.of(evaluation).baseline == best
    assert best.name == BEST


def test_undefined_auc_is_not_compared(evaluation: Evaluation):
    result = headline_of(without(evaluation, "auc"))
    assert [comparison.conclusion for comparison in result.comparisons] == ["undefined"] * 2
    for sentence in result.sentences[:2]:
        assert ONE_LABEL in sentence
        assert numbers_in(sentence) == []


def test_unmeasured_difference_is_undefined(evaluation: Evaluation):
    result = headline_of(with_differences(evaluation, best=Interval(0.1, 0.05, 0.2, 1000, 60)))
    assert conclusions(result) == {"base": "undefined", BEST: "better"}
    assert NOT_MEASURED in result.sentences[0]


def test_tuned_model_alone_has_no_comparisons(evaluation: Evaluation):
    result = headline_of(replace(only(evaluation, "tuned"), differences=[]))
    assert (result.comparisons, result.per_user, result.unbeaten) == ([], [], [])
    (tuned,) = only(evaluation, "tuned").scorers
    assert numbers_in(result.sentences[0]) == figures_of(tuned)


def figures_of(scorer: ScorerResult) -> list[str]:
    auc = scorer.metrics["auc"]
    assert auc is not None
    return [f"{value:.4f}" for value in (auc.value, auc.low, auc.high)]


def test_base_alone_claims_no_gain_from_training(evaluation: Evaluation):
    behind = Difference("base", BEST, {"auc": Interval(-0.2, -0.22, -0.18, 1000, 60)})
    result = headline_of(replace(only(evaluation, "base", BEST), differences=[behind]))
    assert conclusions(result) == {BEST: "worse"}
    tuned = headline_of(replace(only(evaluation, "tuned", BEST), differences=[behind]))
    assert result.claim.partition(":")[0] != tuned.claim.partition(":")[0]
    # The last sentence says that the gain from training was not measured.
    assert len(result.sentences) == len(tuned.sentences) + 1
    assert numbers_in(result.sentences[-1]) == []


def test_tuned_model_is_compared_with_its_signals(evaluation: Evaluation):
    signals = next(s for s in evaluation.scorers if s.name == "film mean")
    signals = replace(signals, name="signals alone", kind="signals")
    behind = Difference("tuned", "signals alone", {"auc": Interval(-0.02, -0.03, -0.01, 1000, 60)})
    scorers = [*only(evaluation, "tuned").scorers, signals]
    result = headline_of(replace(evaluation, scorers=scorers, differences=[behind], strongest={}))
    assert conclusions(result) == {"signals alone": "worse"}
    assert "signals alone" in result.sentences[0]
    # The base model is not compared with the signals.
    base = replace(evaluation, scorers=[*only(evaluation, "base").scorers, signals], differences=[])
    assert headline_of(replace(base, strongest={})).comparisons == []


def test_no_model_means_no_comparisons(evaluation: Evaluation):
    result = headline_of(replace(only(evaluation, BEST), differences=[]))
    (best,) = only(evaluation, BEST).scorers
    assert BEST in result.sentences[0]
    assert numbers_in(result.sentences[0]) == figures_of(best)
    assert result.comparisons == []


def test_baseline_chosen_on_validation_is_compared(evaluation: Evaluation):
    chosen = replace(evaluation, strongest={"auc": {"baseline": "film mean"}})
    assert Roles.of(chosen).leads["baseline"].name == "film mean"
    assert [comparison.other for comparison in headline_of(chosen).comparisons] == [
        "base",
        "film mean",
    ]


def test_per_user_comparison_uses_the_strongest_baseline_per_user(evaluation: Evaluation):
    chosen = {"auc": {"baseline": BEST}, "auc_per_user_mean": {"baseline": "film mean"}}
    level, behind = Interval(0.01, -0.02, 0.04, 900, 60), Interval(-0.03, -0.05, -0.01, 900, 60)
    differences = [
        Difference("tuned", name, {"auc": level, "auc_per_user_mean": within})
        for name, within in (("base", behind), (BEST, level), ("film mean", level))
    ]
    result = headline_of(replace(evaluation, strongest=chosen, differences=differences))
    assert [(c.other, c.conclusion) for c in result.per_user] == [
        ("base", "worse"),
        ("film mean", "unclear"),
    ]
    assert [c.sentence for c in result.per_user] == result.sentences[-2:]
    assert all(AUC_PER_USER.label in c.sentence for c in result.per_user)
    assert all(comparison.difference == level for comparison in result.comparisons)


def test_too_few_users_allow_no_conclusion(evaluation: Evaluation):
    lone = Interval(0.3, 0.3, 0.3, 1000, 9)
    result = headline_of(with_differences(evaluation, base=lone, best=replace(lone, users=10)))
    assert conclusions(result) == {"base": "too few", BEST: "better"}
    assert numbers_in(result.sentences[0])[2:] == ["+0.3000"]
    assert "9 users" in result.sentences[0]


def test_unbeaten_baselines_are_named(evaluation: Evaluation):
    gain, level = Interval(0.1, 0.05, 0.2, 1000, 60), Interval(0.01, -0.05, 0.2, 1000, 60)
    names = [s.name for s in evaluation.scorers if s.kind == "baseline"]
    all_beaten = [Difference("tuned", name, {"auc": gain}) for name in names]
    result = headline_of(replace(evaluation, differences=all_beaten))
    assert result.unbeaten == []
    assert "6 other baselines" in result.sentences[-1]
    but_one = [replace(d, metrics={"auc": level}) if d.other == "film mean" else d
               for d in all_beaten]  # fmt: skip
    result = headline_of(replace(evaluation, differences=but_one))
    assert result.unbeaten == ["film mean"]
    assert "film mean" in result.sentences[-1] and BEST not in result.sentences[-1]


def test_number_of_baselines_is_singular_for_one(evaluation: Evaluation):
    result = headline_of(only(evaluation, "tuned", BEST))
    assert "1 baseline," in result.sentences[0]
