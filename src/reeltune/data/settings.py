"""Settings of ``prepare``. Settings that contradict each other cannot be constructed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

from reeltune.domain import FILM, Domain, RatingScale
from reeltune.errors import ConfigError

SplitKind = Literal["user", "time", "items", "users"]
ExportFormat = Literal["chat", "alpaca"]

DEFAULT_VAL_FRACTION: Final = 0.05
DEFAULT_TEST_FRACTION: Final = 0.10


@dataclass(frozen=True)
class SplitSettings:
    """How examples are divided into train, validation and test.

    Attributes:
        kind: ``user``: the end of each user's timeline is held out; ``time``: cuts in time for all;
            ``items``: the items rated first most recently; ``users``: some users.
        val_fraction: Share of examples, items or users in validation.
        test_fraction: Share of them in test.
        val_from: First second of validation (since 1970, UTC); for ``time``, instead of shares.
        test_from: First second of test.

    Raises:
        ConfigError: A value is not possible, or values contradict each other.
    """

    kind: SplitKind = "user"
    val_fraction: float = DEFAULT_VAL_FRACTION
    test_fraction: float = DEFAULT_TEST_FRACTION
    val_from: int | None = None
    test_from: int | None = None

    def __post_init__(self) -> None:
        _check_choice("--split", self.kind, get_args(SplitKind))
        for flag, value in (
            ("--val-fraction", self.val_fraction),
            ("--test-fraction", self.test_fraction),
        ):
            if not (_is_number(value) and 0 <= value < 1):
                raise ConfigError(
                    f"{flag} is {value!r}",
                    code="bad_fraction",
                    hint=f"Give {flag} a share from 0 to below 1",
                )
        if self.val_share + self.test_share >= 1:
            raise ConfigError(
                f"--val-fraction {self.val_fraction} and --test-fraction {self.test_fraction} "
                "leave nothing to train on",
                code="no_training_share",
                hint="Lower --val-fraction or --test-fraction until their sum is below 1",
            )
        self._check_dates()

    def _check_dates(self) -> None:
        given = [
            flag
            for flag, value in (("--val-from", self.val_from), ("--test-from", self.test_from))
            if value is not None
        ]
        if given and self.kind != "time":
            raise ConfigError(
                f"{' and '.join(given)} given, but the split by {self.kind} is made by shares",
                code="dates_need_time_split",
                hint="Add --split time, or leave the dates out",
            )
        if len(given) == 1:
            raise ConfigError(
                f"{given[0]} given without the other date",
                code="bad_split_dates",
                hint="Give both --val-from and --test-from, or neither",
            )
        if (
            self.val_from is not None
            and self.test_from is not None
            and self.test_from <= self.val_from
        ):
            raise ConfigError(
                "--test-from is not later than --val-from",
                code="bad_split_dates",
                hint="Move --test-from after --val-from: validation is between them",
            )

    @property
    def by_dates(self) -> bool:
        """Whether the cuts are given as dates rather than as shares."""
        return self.val_from is not None

    @property
    def val_share(self) -> Fraction:
        """The validation share as the exact decimal that was written."""
        return _exact(self.val_fraction)

    @property
    def test_share(self) -> Fraction:
        """The test share as the exact decimal that was written."""
        return _exact(self.test_fraction)


@dataclass(frozen=True)
class PrepareSettings:
    """One call of ``prepare``.

    Attributes:
        output: The prepared folder to write.
        edition: The edition's name; by default the name of the folder or zip.
        history_len: The most events shown before a candidate.
        min_history: The fewest events before an example; by default ``history_len``. With 0, a
            user's first event is an example, too.
        rating_threshold: The lowest rating that counts as liked.
        keep: Which of several ratings of one item by one user is kept: the last in time; None if
            there must be only one.
        domain: The words for items and ratings.
        item_text: Columns of the items file whose text prompts show under items.
        export: The format of ``train.json`` and ``eval.json``; None writes no JSON files.

    Raises:
        ConfigError: A value is not possible, or values contradict each other.
    """

    output: Path
    edition: str | None = None
    history_len: int = 15
    min_history: int | None = None
    rating_threshold: float = 4.0
    split: SplitSettings = field(default_factory=SplitSettings)
    genres: bool = False
    item_text: tuple[str, ...] = ()
    skip_bad_rows: bool = False
    keep: Literal["last"] | None = None
    export: ExportFormat | None = "chat"
    domain: Domain = FILM

    def __post_init__(self) -> None:
        _check_choice("--keep", self.keep, (None, "last"))
        _check_choice("--format", self.export, (None, *get_args(ExportFormat)))
        for flag, value, least in (
            ("--history-len", self.history_len, 1),
            ("--min-history", self.least_history, 0),
        ):
            if not (_is_number(value, int) and value >= least):
                raise ConfigError(
                    f"{flag} is {value!r}",
                    code="bad_history_length",
                    hint=f"Give {flag} a whole number, at least {least}",
                )
        if not _is_number(self.rating_threshold):
            raise ConfigError(
                f"--rating-threshold is {self.rating_threshold!r}",
                code="bad_rating_threshold",
                hint="Give --rating-threshold a number, such as 4.0",
            )
        if len(set(self.item_text)) < len(self.item_text) or not all(self.item_text):
            raise ConfigError(
                f"--item-text {','.join(self.item_text)} names a column twice, or none",
                code="bad_item_text",
                hint="Name each column once, separated by commas",
            )
        if self.least_history > self.history_len:
            raise ConfigError(
                f"--min-history {self.min_history} is more than --history-len {self.history_len}",
                code="bad_history_length",
                hint="Lower --min-history or raise --history-len",
            )

    @property
    def least_history(self) -> int:
        """The fewest events before an example, default resolved."""
        return self.history_len if self.min_history is None else self.min_history

    def check_threshold(self, scale: RatingScale) -> None:
        """Raise a ConfigError unless the threshold divides the scale and prompts can show it."""
        threshold = self.rating_threshold
        if not scale.min < threshold <= scale.max:
            raise ConfigError(
                f"--rating-threshold {threshold} does not divide ratings from {scale}",
                code="bad_rating_threshold",
                hint=f"Give --rating-threshold a value above {scale.min} and up to {scale.max}",
            )
        if round(threshold, 1) != threshold and not scale.contains(threshold):
            raise ConfigError(
                f"--rating-threshold {threshold} has more than the one decimal prompts show",
                code="bad_rating_threshold",
                hint=f"Give --rating-threshold {threshold:.1f}",
            )


def _is_number(value: object, *kinds: type) -> bool:
    """Return whether a value has one of the types, by default those of numbers, and is no bool."""
    return isinstance(value, kinds or (int, float)) and not isinstance(value, bool)


def _check_choice(flag: str, value: object, choices: Sequence[str | None]) -> None:
    if value not in choices:
        raise ConfigError(
            f"{flag} is {value!r}",
            code="unknown_choice",
            hint=f"Choose one of {', '.join(map(str, choices))}",
        )


def _exact(fraction: float) -> Fraction:
    """Return 1/10 for 0.1, not the binary number nearest to it."""
    return Fraction(fraction).limit_denominator(10**9)


def parse_time(flag: str, text: str | date | None) -> int | None:
    """Return the ISO 8601 date or time of a flag as seconds since 1970, by default in UTC.

    Raises:
        ConfigError: It is not a date.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise ConfigError(
            f"{flag} {text} is not an ISO date",
            code="bad_date",
            hint=f"Write {flag} 2015-01-31 or 2015-01-31T12:00:00",
        ) from error
    zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return math.ceil(zoned.timestamp())


class Cuts(NamedTuple):
    """When validation and test begin in a time split, in seconds since 1970, UTC."""

    val_from: int
    test_from: int


def iso_time(seconds: int) -> str:
    """Return seconds since 1970 as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat()
