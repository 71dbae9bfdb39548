from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reeltune.evaluation.intervals import Interval
from reeltune.evaluation.result import Difference, Evaluation
from reeltune.report.cast import Cast
from reeltune.report.headline import Headline, headline, rule
from tests.report.build import without

BEST = "logistic regression on running means"

ends = st.floats(-1, 1, allow_nan=False)


def found(evaluation: Evaluation) -> Headline:
    return headline(evaluation, Cast.of(evaluation))


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


def test_better_than_the_base_and_level_with_the_best_baseline(evaluation: Evaluation):
    level = with_differences(
        evaluation,
        base=Interval(0.21, 0.19, 0.23, 1000, 60),
        best=Interval(0.0012, -0.003, 0.0051, 1000, 60),
    )
    said = found(level)
    assert said.claim == (
        "Tuned: clearly better than the base model, not clearly different from the best baseline"
    )
    base, best, rest = said.sentences
    assert "clearly better than the base model" in base
    assert (
        "a difference of +0.2100. The 95 % interval, +0.1900 to +0.2300, is clear of zero." in base
    )
    assert f"not clearly different from the best of 7 baselines, {BEST}" in best
    assert "+0.0012. The 95 % interval, \u22120.0030 to +0.0051, contains zero." in best
    assert rest.startswith("Of the 6 other baselines, the tuned model is not clearly better than: ")


def test_a_loss_is_said_as_plainly_as_a_gain(evaluation: Evaluation):
    lost = with_differences(
        evaluation,
        base=Interval(-0.02, -0.03, -0.01, 1000, 60),
        best=Interval(-0.2, -0.21, -0.19, 1000, 60),
    )
    said = found(lost)
    assert said.claim == (
        "Tuned: clearly worse than the base model, clearly worse than the best baseline"
    )
    assert "clearly worse than the base model" in said.sentences[0]
    assert "\u22120.0300 to \u22120.0100, is clear of zero" in said.sentences[0]
    assert "better" not in said.claim + "".join(said.sentences[:2])
    assert len(said.sentences) == 3


def test_the_figures_of_both_scorers_are_given(evaluation: Evaluation):
    tuned, base = (s.metrics["auc"] for s in evaluation.scorers[:2])
    assert tuned is not None
    assert base is not None
    expected = f"AUC {tuned.value:.4f} against {base.value:.4f}"
    assert expected in found(evaluation).sentences[0]


def test_the_best_baseline_is_the_one_with_the_highest_auc(evaluation: Evaluation):
    best = max(
        (s for s in evaluation.scorers if s.kind == "baseline"),
        key=lambda s: s.metrics["auc"].value if s.metrics["auc"] else 0,
    )
    assert Cast.of(evaluation).baseline == best
    assert best.name == BEST


def test_without_an_auc_nothing_is_claimed(evaluation: Evaluation):
    said = found(without(evaluation, "auc"))
    assert said.claim == (
        "Tuned: not comparable with the base model, not comparable with the best baseline"
    )
    for sentence in said.sentences[:2]:
        assert sentence.endswith("is undefined, since all rows have one label.")


def test_a_difference_nobody_measured_is_said_to_be_missing(evaluation: Evaluation):
    said = found(with_differences(evaluation, best=Interval(0.1, 0.05, 0.2, 1000, 60)))
    assert said.sentences[0].endswith("the difference in AUC is not measured.")
    assert "clearly better than the best of 7 baselines" in said.sentences[1]


def test_the_tuned_model_alone_is_compared_with_nothing(evaluation: Evaluation):
    said = found(replace(only(evaluation, "tuned"), differences=[]))
    assert said.claim == "The tuned model alone"
    assert said.comparisons == []
    assert said.sentences[0].startswith("The AUC of tuned is 0.")


def test_without_a_tuned_model_the_base_is_compared_and_no_gain_is_claimed(evaluation: Evaluation):
    behind = Difference("base", BEST, {"auc": Interval(-0.2, -0.22, -0.18, 1000, 60)})
    said = found(replace(only(evaluation, "base", BEST), differences=[behind]))
    assert said.claim == "Base: clearly worse than the best baseline"
    assert said.sentences[0].startswith("The base model orders these rows clearly worse than")
    assert said.sentences[-1] == "What training gains is not measured here."


def test_a_model_that_is_told_evidence_is_held_against_it(evaluation: Evaluation):
    told = next(s for s in evaluation.scorers if s.name == "film mean")
    told = replace(told, name="evidence alone", kind="evidence")
    behind = Difference("tuned", "evidence alone", {"auc": Interval(-0.02, -0.03, -0.01, 1000, 60)})
    scorers = [*only(evaluation, "tuned").scorers, told]
    said = found(replace(evaluation, scorers=scorers, differences=[behind], strongest={}))
    assert said.claim == "Tuned: clearly worse than its evidence by itself"
    assert "method that is told what its prompts tell, evidence alone: AUC" in said.sentences[0]
    # A base model by itself has learned nothing of what it is told.
    base = replace(evaluation, scorers=[*only(evaluation, "base").scorers, told], differences=[])
    assert found(replace(base, strongest={})).comparisons == []


def test_without_any_model_nothing_is_compared(evaluation: Evaluation):
    said = found(replace(only(evaluation, BEST), differences=[]))
    assert said.claim == "No model was scored here"
    assert said.sentences[0].startswith(f"The AUC of {BEST} is 0.")
    assert said.comparisons == []


def test_the_baseline_to_beat_is_the_one_that_was_chosen(evaluation: Evaluation):
    chosen = replace(evaluation, strongest={"auc": {"baseline": "film mean"}})
    assert Cast.of(chosen).leads["baseline"].name == "film mean"
    assert "the best of 7 baselines, film mean: AUC" in found(chosen).sentences[1]


def test_within_a_user_the_one_to_beat_is_the_strongest_there(evaluation: Evaluation):
    chosen = {"auc": {"baseline": BEST}, "auc_per_user_mean": {"baseline": "film mean"}}
    level, behind = Interval(0.01, -0.02, 0.04, 900, 60), Interval(-0.03, -0.05, -0.01, 900, 60)
    differences = [
        Difference("tuned", name, {"auc": level, "auc_per_user_mean": within})
        for name, within in (("base", behind), (BEST, level), ("film mean", level))
    ]
    said = found(replace(evaluation, strongest=chosen, differences=differences))
    base, best = said.sentences[-2:]
    assert base.startswith(
        "The tuned model orders each user's rows clearly worse than the base model: AUC per user 0."
    )
    assert best.startswith(
        "Within a user, the tuned model is not clearly different from the best of 7 baselines, "
        "film mean: AUC per user 0."
    )
    assert all(comparison.difference == level for comparison in said.comparisons)


def test_of_a_handful_of_users_nothing_is_ruled(evaluation: Evaluation):
    lone = Interval(0.3, 0.3, 0.3, 1000, 9)
    said = found(with_differences(evaluation, base=lone, best=replace(lone, users=10)))
    assert said.claim == (
        "Tuned: on too few users to be told from the base model, clearly better than the best "
        "baseline"
    )
    assert said.sentences[0].endswith(
        "a difference of +0.3000. There are 9 users: too few for an interval."
    )


def test_baselines_that_are_not_beaten_are_named(evaluation: Evaluation):
    gain, level = Interval(0.1, 0.05, 0.2, 1000, 60), Interval(0.01, -0.05, 0.2, 1000, 60)
    names = [s.name for s in evaluation.scorers if s.kind == "baseline"]
    all_beaten = [Difference("tuned", name, {"auc": gain}) for name in names]
    said = found(replace(evaluation, differences=all_beaten))
    assert said.sentences[-1] == (
        "The tuned model is clearly better than each of the 6 other baselines."
    )
    but_one = [replace(d, metrics={"auc": level}) if d.other == "film mean" else d
               for d in all_beaten]  # fmt: skip
    said = found(replace(evaluation, differences=but_one))
    assert said.sentences[-1] == (
        "Of the 6 other baselines, the tuned model is not clearly better than: film mean."
    )


def test_one_baseline_is_not_the_best_of_many(evaluation: Evaluation):
    said = found(only(evaluation, "tuned", BEST))
    assert f"the best of 1 baseline, {BEST}" in said.sentences[0]
