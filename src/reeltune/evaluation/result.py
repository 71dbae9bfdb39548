"""What an evaluation found: read by the report, the model card and ``metrics.json``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from reeltune.evaluation.intervals import Interval

Kind = Literal["tuned", "base", "signals", "baseline", "average"]
"""What a scorer is: the tuned model, the base model, a classical method that is told what the
prompt tells, a classical baseline, a mean of two."""


@dataclass(frozen=True)
class ScorerResult:
    """One scorer on the rows all scorers share.

    Attributes:
        name: As in the predictions.
        kind: What it is.
        metrics: Each metric of ``docs/EVALUATION.md`` by name, with its interval over users; None
            where it is not defined on these rows.
        threshold: P(Yes) from which it says Yes, chosen on validation rows.
        settings: What was chosen for it on validation rows, and how much it was given to learn.
        seconds: What fitting and scoring took.
    """

    name: str
    kind: Kind
    metrics: dict[str, Interval | None]
    threshold: float
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True)
class Difference:
    """One scorer less another on the same rows, drawn with the same users for both.

    Attributes:
        scorer: The scorer of interest.
        other: What it is compared with.
        metrics: The difference of each metric; None where it is not defined.
    """

    scorer: str
    other: str
    metrics: dict[str, Interval | None]


@dataclass(frozen=True)
class Group:
    """Some of the rows: one bar of a breakdown.

    Attributes:
        label: What they have in common, for people.
        rows: How many they are.
        users: Of how many users.
        positive_rate: Share of them whose true answer is Yes; None without rows.
        auc: The AUC of each scorer within the group, with its interval over users; None where the
            group holds one label only.
    """

    label: str
    rows: int
    users: int
    positive_rate: float | None
    auc: dict[str, Interval | None]


@dataclass(frozen=True)
class Breakdown:
    """The rows by one property.

    Attributes:
        name: A short name, such as ``history length``.
        about: What the property is and how the groups were cut, in one sentence.
        groups: In their natural order. Every row is in exactly one of them.
    """

    name: str
    about: str
    groups: list[Group]


@dataclass(frozen=True)
class Control:
    """The tuned model asked with something taken away.

    Attributes:
        name: A short name, such as ``stars hidden``.
        about: What was changed and what a loss would mean, in one or two sentences.
        rows: How many rows were asked.
        auc: With the change; None where all rows have one label.
        difference: AUC with the change less AUC without it, on the same rows.
    """

    name: str
    about: str
    rows: int
    auc: Interval | None
    difference: Interval | None

    @classmethod
    def from_dict(cls, written: dict[str, Any]) -> Control:
        """Return a control as :meth:`Evaluation.to_dict` writes it."""
        auc, difference = (
            None if ends is None else Interval(**ends)
            for ends in (written["auc"], written["difference"])
        )
        return cls(written["name"], written["about"], written["rows"], auc, difference)


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows whose P(Yes) lies in one stretch.

    Attributes:
        low: Where the stretch begins.
        high: Where it ends.
        rows: How many rows lie in it.
        mean_p_yes: Their mean P(Yes); None without rows.
        positive_rate: Share of them whose true answer is Yes; None without rows.
    """

    low: float
    high: float
    rows: int
    mean_p_yes: float | None
    positive_rate: float | None


@dataclass(frozen=True)
class Reliability:
    """How far P(Yes) can be taken at its word.

    Attributes:
        name: ``as the model gives it``, ``temperature``, ``platt`` or ``isotonic``.
        bins: Of equal width over 0 to 1.
        ece: Expected calibration error over these bins.
        ece_by_chance: What it would be on average if P(Yes) were right to the last digit.
        ece_by_chance_high: What it would not exceed then in 19 of 20 cases.
        log_loss: In nats.
        brier: Mean squared difference of P(Yes) and the label.
    """

    name: str
    bins: list[ReliabilityBin]
    ece: float
    ece_by_chance: float
    ece_by_chance_high: float
    log_loss: float
    brier: float


@dataclass(frozen=True)
class PastEvent:
    """A film of a history.

    Attributes:
        title: With its year.
        rating: What the user gave it.
    """

    title: str
    rating: float


@dataclass(frozen=True)
class Example:
    """One row worth reading.

    Attributes:
        why: Why it was chosen, for people: ``confident and right`` and so on.
        user_id: Whose row it is.
        history: The newest films before it, as many as the data were prepared with, oldest first;
            in blocks the model was shown more.
        candidate: The film judged, with its year.
        rating: What the user gave it afterwards.
        liked: The label.
        p_yes: P(Yes) of each scorer.
    """

    why: str
    user_id: int
    history: list[PastEvent]
    candidate: str
    rating: float
    liked: bool
    p_yes: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """Everything one evaluation found.

    Attributes:
        about: How it was run, by name, for people: data, split, model, adapter, versions, time.
        split: ``validation`` or ``test``.
        rows: How many rows were scored.
        users: Of how many users.
        positive_rate: Share of rows whose true answer is Yes.
        scorers: The tuned model first, then the base model, then those told what the prompt tells,
            then baselines, then averages.
        differences: The tuned model less every other scorer.
        breakdowns: Where it works and where not.
        controls: What it makes use of; empty without an adapter.
        reliability: Before and after calibration, of the tuned model.
        examples: Rows worth reading.
        warnings: What a reader has to know before trusting a number here.
        strongest: By metric, and within it by kind, the scorer with the highest value on
            validation rows: the one to beat. What is missing leaves the choice to these rows.
    """

    about: dict[str, str]
    split: str
    rows: int
    users: int
    positive_rate: float
    scorers: list[ScorerResult]
    differences: list[Difference]
    breakdowns: list[Breakdown]
    controls: list[Control]
    reliability: list[Reliability]
    examples: list[Example]
    warnings: list[str]
    strongest: dict[str, dict[Kind, str]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self)
