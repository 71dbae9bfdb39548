"""Ratings and times of a table: the scale and the threshold, and the unit of the times."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import polars as pl

from reeltune.data.columns import YEAR_2100
from reeltune.domain import HALF_STARS, WHOLE_STARS, RatingScale
from reeltune.errors import ConfigError, DataError

LIKE: Final = RatingScale(0.0, 1.0, 1.0)
"""Likes and dislikes."""

_LIKED: Final = ("1", "true", "yes", "y", "like", "liked", "up", "thumbs_up", "thumbs up", "+1")
_DISLIKED: Final = (
    *("0", "-1", "false", "no", "n", "dislike", "disliked", "down", "thumbs_down", "thumbs down"),
)
_LIKE_VALUES: Final[Mapping[str, float]] = {
    **dict.fromkeys(_LIKED, 1.0),
    **dict.fromkeys(_DISLIKED, 0.0),
}
_USUAL_SCALES: Final = (
    *(LIKE, RatingScale(1, 3, 1), WHOLE_STARS, RatingScale(0, 5, 1), HALF_STARS),
    *(RatingScale(0, 5, 0.5), RatingScale(1, 7, 1), RatingScale(1, 10, 1), RatingScale(0, 10, 1)),
    *(RatingScale(0.5, 10, 0.5), RatingScale(0, 10, 0.5), RatingScale(20, 100, 20)),
    *(RatingScale(0, 100, 20), RatingScale(10, 100, 10), RatingScale(0, 100, 10)),
    *(RatingScale(1, 10, 0.1), RatingScale(0, 10, 0.1), RatingScale(1, 100, 1)),
    RatingScale(0, 100, 1),
)
"""Scales that are guessed, those with fewer ratings first where the same values fit several."""
_DECIMALS: Final = 6  # of ratings that were stored in 32 bits
_MOST_VALUES: Final = 101
_FEW_VALUES: Final = 8  # values of a scale of likes
_BAR: Final = 40  # characters
_SCALE_TEXT: Final = re.compile(r"(-?[\d.]+):(-?[\d.]+)(?::([\d.]+))?")
_HINT: Final = "Give the scale, such as --scale 1:10, --scale 0.5:5:0.5 (with the step) or like"


def parse_scale(text: str | None) -> RatingScale | None:
    """Return the value of ``--scale``: ``1:10``, ``0.5:5:0.5`` or ``like``; None to guess it.

    Without a step it is 1 between whole numbers, 0.5 between halves and 0.1 otherwise.

    Raises:
        ConfigError: It is no scale.

    >>> parse_scale("1:10"), parse_scale("like")
    (RatingScale(min=1.0, max=10.0, step=1.0), RatingScale(min=0.0, max=1.0, step=1.0))
    """
    if text is None or text == "like":
        return LIKE if text else None
    match = _SCALE_TEXT.fullmatch(text.strip())
    try:
        low, high = (float(match[group]) for group in (1, 2)) if match else (math.nan, math.nan)
        fitting = (s for s in (1.0, 0.5, 0.1) if (low / s).is_integer() and (high / s).is_integer())
        step = float(match[3]) if match and match[3] else next(fitting, 0.1)
        scale = RatingScale(low, high, step)
    except ValueError:
        scale = RatingScale(math.nan, math.nan, 1.0)
    if not scale.is_valid:
        raise ConfigError(f"--scale {text} is no scale", code="bad_scale", hint=_HINT)
    return scale


@dataclass(frozen=True)
class Histogram:
    """How often each rating occurs, lowest first."""

    count: Mapping[float, int]

    @classmethod
    def of(cls, ratings: pl.Series) -> Histogram:
        """Count the ratings that are finite numbers."""
        ratings = ratings.filter(ratings.is_finite()).round(_DECIMALS)
        counts = ratings.value_counts().sort(ratings.name)
        return cls(dict(counts.iter_rows()))

    def lines(self, scale: RatingScale) -> list[str]:
        """Return a line of text per rating, at most a dozen."""
        most, shown = max(self.count.values()), list(self.count.items())
        more = len(shown) - 12
        lines = [
            f"  {scale.number(rating):>5}  {n:>11,}  {'#' * math.ceil(_BAR * n / most)}"
            for rating, n in (shown if more <= 0 else shown[:6] + shown[-6:])
        ]
        if more > 0:
            lines.insert(6, f"    ... {more:,} more ...")
        return lines

    def threshold(self, scale: RatingScale) -> float:
        """Return the rating from which on the share of likes is nearest to one half."""
        total = sum(self.count.values())

        def distance(threshold: float) -> float:
            liked = sum(
                n for rating, n in self.count.items() if rating > threshold - scale.step / 2
            )
            return abs(liked / max(total, 1) - 0.5)

        return min(scale.ratings()[1:], key=distance)


def _to_numbers(column: pl.Expr, scale: RatingScale | None) -> pl.Expr:
    """Return ratings as float64, null where they are none. Words of liking are 1 and 0."""
    if scale == LIKE:
        text = column.cast(pl.String).str.to_lowercase().str.replace(r"\.0+$", "")
        return text.replace_strict(_LIKE_VALUES, default=None, return_dtype=pl.Float64)
    return column.cast(pl.Float64, strict=False)


def _says_like(values: pl.Series) -> bool:
    """Return whether all values are of a scale of likes: 0 and 1, -1 and 1, or words."""
    texts = {str(value).lower().removesuffix(".0") for value in values.unique().drop_nulls()}
    return bool(texts) and texts <= _LIKE_VALUES.keys()


def _guess_scale(histogram: Histogram, where: str) -> RatingScale:
    """Return the usual scale of the ratings.

    It ends at the highest rating, has all others, and at least half of its ratings occur.

    Raises:
        DataError: There is only one rating, or no such scale.
    """
    values = list(histogram.count)
    if len(values) == 1:
        raise _one_label_error(f"every rating is {values[0]:g}", where)
    if len(values) > _MOST_VALUES:
        found = f"there are {len(values):,} different ratings"
    else:
        for scale in _USUAL_SCALES:
            if (
                math.isclose(values[-1], scale.max)
                and all(map(scale.contains, values))
                and 2 * len(values) >= len(scale.ratings())
            ):
                return scale
        shown = ", ".join(f"{value:g}" for value in values[:12])
        found = f"the ratings are {shown}{' ...' if len(values) > 12 else ''}"
    raise DataError(
        f"the scale cannot be determined: {found}",
        code="unclear_scale",
        where=where,
        hint=_HINT,
    )


def _one_label_error(found: str, where: str) -> DataError:
    """Return the error of data in which everything is liked, or nothing."""
    return DataError(
        f"{found}: a model needs both likes and dislikes",
        code="one_label",
        where=where,
        hint="Add the ratings of the other kind, or choose another --rating-threshold",
    )


def read_numbers(
    given: pl.Series, scale: RatingScale | None
) -> tuple[pl.Series, RatingScale | None]:
    """Return ratings as numbers, null where they are none; and their scale, also if it is likes."""
    if scale is None and given.n_unique() <= _FEW_VALUES and _says_like(given):
        scale = LIKE
    return given.to_frame().select(_to_numbers(pl.col(given.name), scale)).to_series(), scale


def read_scale(
    ratings: pl.Series,
    scale: RatingScale | None,
    where: str,
    notify: Callable[[str], None],
    *,
    given: bool,
) -> tuple[RatingScale, Histogram]:
    """Return the scale of numbers, given or guessed, and how often each occurs."""
    how = "as given, for" if given else "guessed from"
    histogram = Histogram.of(ratings)
    scale = scale or _guess_scale(histogram, where)
    which = "dislikes (0) and likes (1)" if scale == LIKE else scale
    notify(f"Scale: {which}, {how} {sum(histogram.count.values()):,} ratings")
    for line in histogram.lines(scale):
        notify(line)
    return scale, histogram


def choose_threshold(
    given: float | None,
    histogram: Histogram,
    scale: RatingScale,
    where: str,
    notify: Callable[[str], None],
) -> float:
    """Return the threshold, by default the step with the share of likes nearest to one half.

    Raises:
        DataError: Everything is liked, or nothing.
    """
    on_scale = Histogram({r: n for r, n in histogram.count.items() if scale.contains(r)})
    threshold = on_scale.threshold(scale) if given is None else given
    total = sum(on_scale.count.values())
    liked = sum(n for rating, n in on_scale.count.items() if rating >= threshold)
    if total and liked in (0, total):
        raise _one_label_error(f"of {total:,} ratings, {liked:,} are liked", where)
    how = "the share nearest to one half" if given is None else "as given"
    which = "1" if scale == LIKE else f"{scale.number(threshold)} or higher, {how}"
    notify(f"Liked: {which}: {liked / max(total, 1):.1%} of the ratings")
    return threshold


_UNITS: Final = (
    ("seconds", 1),
    ("milliseconds", 10**3),
    ("microseconds", 10**6),
    ("nanoseconds", 10**9),
)
_ISO: Final = (
    r"^(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ]+(\d\d):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?)?"
    r"\s*(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?$"
)


class Times(NamedTuple):
    """The times of a table.

    Attributes:
        unit: In what they were given.
        seconds: Since 1970, UTC; null where they are neither an ISO date nor a number.
        other_unit: Whether each is in a smaller unit of its own.
    """

    unit: str
    seconds: pl.Series
    other_unit: pl.Series


def read_times(column: pl.Series) -> Times:
    """Return times. Numbers have one unit: that which puts their median before the year 2100."""
    none = pl.Series([False]).new_from_index(0, len(column))
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        return Times("dates", column.dt.epoch("s").cast(pl.Int64), none)
    numbers = column.cast(pl.Int64, strict=False)
    if column.dtype == pl.String and numbers.null_count():
        numbers = numbers.zip_with(
            numbers.is_not_null(), _whole(column.cast(pl.Float64, strict=False))
        )
    elif column.dtype.is_float():
        numbers = _whole(column)
    if column.dtype == pl.String and 2 * numbers.null_count() > len(column):
        seconds = column.to_frame("text").select(_iso_seconds(pl.col("text"))).to_series()
        return Times("ISO dates", seconds, none)
    middle = numbers.median()
    middle = middle if isinstance(middle, float) else 0.0
    name, unit = next((u for u in _UNITS if middle < YEAR_2100 * u[1]), _UNITS[-1])
    smaller = (numbers > 0) & (numbers < YEAR_2100 * unit // 1000) if unit > 1 else none
    return Times(name, numbers // unit, smaller)


def _whole(numbers: pl.Series) -> pl.Series:
    return numbers.set(~numbers.is_finite(), None).floor().cast(pl.Int64, strict=False)


def text_seconds(text: pl.Expr) -> pl.Expr:
    """Return texts as seconds since 1970: whole ones or ISO dates; null where they are neither."""
    numbers = text.str.replace(r"\.0*$", "").cast(pl.Int64, strict=False)
    return numbers.fill_null(_iso_seconds(text))


def _iso_seconds(text: pl.Expr) -> pl.Expr:
    part = [text.str.extract(_ISO, group) for group in range(1, 8)]
    year, month, day, hour, minute, second, zone = part
    date = pl.concat_str(year, month, day)
    clock = pl.concat_str(*(piece.fill_null("00") for piece in (hour, minute, second)))
    local = (date + clock).str.to_datetime("%Y%m%d%H%M%S", strict=False).dt.epoch("s")
    digits = zone.str.replace(":", "", literal=True)
    hours = digits.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = digits.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
    sign = pl.when(digits.str.starts_with("-")).then(-1).otherwise(1)
    return local - sign * (60 * hours + minutes) * 60
