"""The result of an evaluation: shown by the report and the model card, saved in metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from reeltune.evaluation.intervals import Interval

Kind = Literal["shipped", "tuned", "base", "signals", "baseline"]
"""``shipped``: what commands answer with, if that is a fusion; ``signals``: baselines that get the
prompt's signals, the fusion without the model among them."""


@dataclass(frozen=True)
class ScorerResult:
    """One scorer, measured on the rows all scorers share.

    Attributes:
        metrics: By the names of ``docs/EVALUATION.md``; None where undefined.
        threshold: P(Yes) from which it predicts Yes, chosen on validation rows.
        settings: Chosen on validation rows, and how many rows it was trained on.
        seconds: To fit and score, if measured.
    """

    name: str
    kind: Kind
    metrics: dict[str, Interval | None]
    threshold: float
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True)
class Difference:
    """The metrics of one scorer minus those of another on the same rows; None where undefined."""

    scorer: str
    other: str
    metrics: dict[str, Interval | None]


@dataclass(frozen=True)
class Gain:
    """What fine-tuning changed: metrics of both models, and tuned minus base within each sample."""

    base: Mapping[str, Interval | None]
    tuned: Mapping[str, Interval | None]
    difference: Mapping[str, Interval | None]


@dataclass(frozen=True)
class Group:
    """One group of a breakdown, with the AUC of each scorer within it; None where undefined.

    Attributes:
        log_loss: In nats, by scorer; measured from cold to warm only.
        lead: AUC of the first scorer minus that of each other.
        undefined: Why there are no metrics; empty if there are.
    """

    label: str
    rows: int
    users: int
    positive_rate: float | None
    auc: dict[str, Interval | None]
    log_loss: dict[str, Interval | None] = field(default_factory=dict)
    lead: dict[str, Interval | None] = field(default_factory=dict)
    undefined: str = ""


@dataclass(frozen=True)
class Breakdown:
    """The rows grouped by one property; every row is in exactly one group."""

    name: str
    about: str
    groups: list[Group]


@dataclass(frozen=True)
class TopTen:
    """The ten highest of each user's rated rows, by every scorer.

    Attributes:
        users: Those with more than ten rows; ``rows`` and ``items`` are theirs.
        all_rows: The mean over users of the metrics of all their rows, without diversity.
        coverage: By scorer, the share of the items that are in some user's top ten.
        metrics: By scorer and name, means over users; None where undefined.
    """

    users: int
    rows: int
    items: int
    all_rows: dict[str, float]
    coverage: dict[str, float]
    metrics: dict[str, dict[str, Interval | None]]


@dataclass(frozen=True)
class Ablation:
    """The tuned model on prompts with some information removed or exchanged.

    Attributes:
        about: What was changed and what a loss means.
        auc: With the change; None unless both labels occur.
        difference: AUC with the change minus AUC without it, on the same rows.
    """

    name: str
    about: str
    rows: int
    auc: Interval | None
    difference: Interval | None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Ablation:
        """Return an ablation from its entry in ``metrics.json``."""
        auc, difference = (
            None if values[key] is None else Interval(**values[key])
            for key in ("auc", "difference")
        )
        return cls(values["name"], values["about"], values["rows"], auc, difference)


@dataclass(frozen=True)
class ReliabilityBin:
    """The rows whose P(Yes) is between two edges."""

    low: float
    high: float
    rows: int
    mean_p_yes: float | None
    positive_rate: float | None


@dataclass(frozen=True)
class Reliability:
    """How well P(Yes) is calibrated.

    Attributes:
        name: ``uncalibrated``, ``temperature``, ``platt`` or ``isotonic``.
        ece: Expected calibration error over the bins.
        ece_by_chance: Its mean if P(Yes) were perfectly calibrated.
        ece_by_chance_high: Its 95th percentile then.
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
    """An item of a history: its title with the year, and the user's rating."""

    title: str
    rating: float


@dataclass(frozen=True)
class Example:
    """One row in full.

    Attributes:
        why: The reason it was chosen, such as ``confident and right: Yes``.
        history: As many events as the data were prepared with, oldest first; a block may show more.
        p_yes: P(Yes) of each scorer.
    """

    why: str
    user_id: int | str
    history: list[PastEvent]
    candidate: str
    rating: float
    liked: bool
    p_yes: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """Everything an evaluation reports.

    Attributes:
        about: Data, split, model, prompt and so on, as text.
        differences: The shipped predictor, then the tuned model (the base model, without either)
            minus every scorer that follows it.
        ablations: Empty without an adapter.
        reliability: Of the shipped predictor, and of the tuned model before and after calibration,
            or of the base model.
        warnings: Reasons to doubt the figures.
        strongest: By metric, then by kind: the scorer with the highest value on validation rows.
            If absent, the strongest scorer is chosen on the reported rows.
        custom_metrics: Names of the metrics that the caller gave.
        cold_to_warm: The rows by how much is known of the user, and of the item, with every scorer.
        top_ten: None if no user has more than ten rows.
        fusion: How it was fitted and its weights; empty if there is none.
    """

    about: dict[str, str]
    split: str
    rows: int
    users: int
    positive_rate: float
    scorers: list[ScorerResult]
    differences: list[Difference]
    breakdowns: list[Breakdown]
    ablations: list[Ablation]
    reliability: list[Reliability]
    examples: list[Example]
    warnings: list[str]
    strongest: dict[str, dict[Kind, str]] = field(default_factory=dict)
    custom_metrics: list[str] = field(default_factory=list)
    cold_to_warm: list[Breakdown] = field(default_factory=list)
    top_ten: TopTen | None = None
    fusion: dict[str, Any] = field(default_factory=dict)

    @property
    def main(self) -> str:
        """The scorer that the evaluation is about."""
        return next((difference.scorer for difference in self.differences), "")

    @property
    def gain(self) -> Gain | None:
        """Tuned against base model; None unless both were evaluated."""
        by_kind = {scorer.kind: scorer for scorer in self.scorers}
        if "tuned" not in by_kind or "base" not in by_kind:
            return None
        base, tuned = by_kind["base"], by_kind["tuned"]
        names = (tuned.name, base.name)
        difference = next(d for d in self.differences if (d.scorer, d.other) == names)
        return Gain(base.metrics, tuned.metrics, difference.metrics)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self)
