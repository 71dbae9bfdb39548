"""Predictions, recommendations and explanations from a trained adapter or its base model."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa
from pydantic import PositiveInt

from reeltune.api.frames import (
    FRAME,
    FrameT,
    as_table,
    has_distinct_columns,
    is_frame,
    new_frame,
    with_column,
)
from reeltune.api.runs import ConfigLike, PathLike, RunLike, resolve_run
from reeltune.boundary import translated_errors
from reeltune.bulk.input_table import InputRows, InvalidRows, standard_columns
from reeltune.bulk.lookup import Lookup
from reeltune.bulk.tasks import P_YES, predict_pairs
from reeltune.config.arguments import checked, kind
from reeltune.data.columns import Columns
from reeltune.data.history import History
from reeltune.errors import ConfigError
from reeltune.models.loaded_model import load_model
from reeltune.progress import show_progress
from reeltune.recommend.candidates import CandidateCount, Filters
from reeltune.recommend.catalogue import Catalogue
from reeltune.recommend.pipeline import (
    RecommendationPipeline,
    RecommendationRequest,
    leave_one_out,
    queries_about,
    rating_effects,
    require_eligible,
)
from reeltune.recommend.ratings_file import read_ratings_rows
from reeltune.recommend.user_ratings import (
    Entry,
    rated_history,
    refuse_user_and_ratings,
    user_history,
)
from reeltune.runs.log import LOGGER
from reeltune.scoring.predictor import Predictor

if TYPE_CHECKING:
    import polars as pl

    from reeltune.api.frames import Frame

    Ratings = Mapping[str, float] | Mapping[int, float] | Frame
    Pairs = Frame | Iterable[tuple[int | str, int | str]]
else:
    Ratings = kind(
        lambda value: (
            all(isinstance(item, str | Integral) for item in value)
            if isinstance(value, Mapping)
            else has_distinct_columns(value)
        ),
        f"a mapping from titles or item ids, or {FRAME}",
    )
    Pairs = kind(
        lambda value: (
            has_distinct_columns(value)
            if is_frame(value)
            else isinstance(value, Iterable) and not isinstance(value, str | Mapping)
        ),
        f"pairs of user and item, or {FRAME}",
    )


@translated_errors()
@checked
def load(
    run: RunLike | None = None,
    *,
    config: ConfigLike | None = None,
    overrides: Mapping[str, Any] | None = None,
    prepared: PathLike | None = None,
    base: PathLike | None = None,
    base_only: bool = False,
    allow_domain_shift: bool = False,
    fusion: bool = True,
    history_len: PositiveInt | None = None,
) -> Recommender:
    """Load the model of a training run, with the prepared data it was trained on.

    Args:
        run: A run or its folder; None for the base model of ``config``.
        config: By default the run's own.
        overrides: Values by key, such as ``{"scoring.calibration": "platt"}``.
        prepared: The prepared folder, if it has been moved.
        base: The folder of the base model, if it has been moved; its weights must be the same.
        base_only: Use the base model, without the adapter.
        allow_domain_shift: Accept data of another domain or rating scale than the adapter's.
        fusion: False for the language model alone, as ``scoring.fusion: none``.
        history_len: Number of the newest ratings shown to the model; by default as prepared.

    Raises:
        RunError: There is no run in the folder.
        ModelError: There is no adapter, or it cannot be used.
        DataError: There is no prepared folder.
        ConfigError: Neither a run nor a configuration is given, or it is not valid.

    >>> recommender = load("output/demo")
    >>> recommender.recommend(user=7, k=3).columns
    ['item_id', 'title', 'year', 'genres', 'p_yes']
    """
    resolved, adapter = resolve_run(
        run,
        config,
        overrides,
        prepared,
        base,
        base_only=base_only,
        allow_domain_shift=allow_domain_shift,
        fusion=fusion,
    )
    loaded = load_model(resolved, adapter)
    return Recommender(Predictor(loaded, history_len))


class Recommender:
    """Predicts, recommends and explains with one model and the prepared data.

    Unlike :class:`reeltune.recommend.pipeline.RecommendationPipeline`, which only chooses and ranks
    so that the HTTP service can batch the model's work, it holds the model. Not thread-safe.

    Frames may be of polars or pandas; what comes out is of the kind that came in, or of polars.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.catalogue = Catalogue.of(predictor.loaded.folder)
        self._pipeline = RecommendationPipeline.of(predictor, self.catalogue)

    @cached_property
    def _lookup(self) -> Lookup:
        return Lookup(self.predictor.loaded.folder)

    @overload
    def predict(
        self, pairs: FrameT, *, skip_unknown: bool = False, progress: bool = False
    ) -> FrameT: ...
    @overload
    def predict(
        self,
        pairs: Iterable[tuple[int | str, int | str]],
        *,
        skip_unknown: bool = False,
        progress: bool = False,
    ) -> pl.DataFrame: ...
    @checked
    def predict(self, pairs: Pairs, *, skip_unknown: bool = False, progress: bool = False) -> Any:
        """Return P(Yes) of users and items of the prepared data, in a column ``p_yes``.

        A user's history ends before their own rating of the item and, if there is a column
        ``timestamp``, before that time. A column ``p_yes`` of the input is replaced in the result.

        Args:
            pairs: A frame with columns ``user_id`` and ``item_id`` (or other usual names), or pairs
                of both ids, as the data give them.
            skip_unknown: Keep rows that cannot be scored, without a ``p_yes``.
            progress: Show progress on standard error.

        Raises:
            DataError: A column is missing, ambiguous or of the wrong type.
            RequestError: A user or an item does not exist, or a value is missing.

        >>> recommender = load("output/demo")
        >>> recommended = recommender.recommend(user=7, k=2)
        >>> predicted = recommender.predict([(7, item) for item in recommended["item_id"]])
        >>> predicted.columns, predicted["p_yes"].is_sorted(descending=True)
        (['user_id', 'item_id', 'p_yes'], True)
        """
        frame = pairs if is_frame(pairs) else _pairs_frame(pairs)
        table, where = as_table(frame), "pairs"
        columns, schema = standard_columns(table.schema, where, {}, pairs=True)
        table = table.select(list(columns.values())).rename_columns(list(columns)).cast(schema)
        rows = InputRows.resolve(table, self._lookup)
        if not skip_unknown and len(rows.valid) < table.num_rows:
            invalid = InvalidRows()
            invalid.add(table, rows)
            raise invalid.error(where)
        self.predictor.count_short_histories()  # those of earlier calls
        with show_progress(shown=progress) as start:
            task = start("scoring", table.num_rows)
            p_yes = predict_pairs(rows, self._lookup, self.predictor, task.advance)
        if short := self.predictor.count_short_histories():
            LOGGER.warning("%d predictions are from histories shorter than all in training", short)
        return with_column(frame, P_YES, pa.array(p_yes, mask=rows.fault >= 0))

    @checked
    def recommend(
        self,
        user: int | str | None = None,
        ratings: Ratings | None = None,
        k: PositiveInt = 10,
        *,
        filters: Filters | None = None,
        candidates: CandidateCount | None = None,
    ) -> Any:
        """Return the ``k`` items that the user is most likely to like, as a frame.

        Without a user and ratings, it answers for somebody who has rated nothing.

        Args:
            user: A user id, as the data give it.
            ratings: Instead of a user, ratings oldest first: a mapping from titles or item ids, or
                a frame with columns ``title`` or ``item_id``, ``rating`` and perhaps ``timestamp``,
                or other usual names of these.
            k: Number of items.
            filters: Conditions on the items.
            candidates: Number of items to score, most rated first, or ``"all"``; by default all on
                a CUDA device, else 100.

        Returns:
            Columns ``item_id``, ``title``, ``year``, ``genres`` and ``p_yes``, highest first.

        Raises:
            RequestError: The user or an item does not exist, a rating is not on the scale, or no
                item is left.
            ConfigError: Both a user and ratings are given.

        >>> recommender = load("output/demo")
        >>> len(recommender.recommend(ratings={"Heat (1995)": 5, "fargo": 4.5}, k=3))
        3
        """
        history = self._history(user, ratings)
        request = RecommendationRequest(history, filters or Filters(), k, candidates)
        require_eligible(self.catalogue, request)
        result = self._pipeline.recommend(self.predictor, request)
        for note in result.notes:
            LOGGER.warning(note)
        found = result.recommendations
        columns = {
            Columns.ITEM: [each.item.item_id for each in found],
            Columns.TITLE: [each.item.title for each in found],
            Columns.YEAR: [each.item.year for each in found],
            Columns.GENRES: [list(each.item.genres) for each in found],
            P_YES: [each.p_like for each in found],
        }
        return new_frame(columns, like=ratings)

    @checked
    def explain(
        self,
        item: int | str,
        user: int | str | None = None,
        ratings: Ratings | None = None,
        k: PositiveInt | None = None,
    ) -> Any:
        """Return how much each rating shown to the model moved the prediction, as a frame.

        Args:
            item: An item id or a title. Ratings from the user's own rating of it on are left out.
            user: A user id, as the data give it.
            ratings: Instead of a user, as for :meth:`recommend`.
            k: Number of ratings, strongest effect first; None for all that are shown.

        Returns:
            Columns ``item_id``, ``title``, ``year``, ``rating`` and ``effect``: P(Yes) with the
            rating minus P(Yes) without it.

        Raises:
            RequestError: The user or an item does not exist, or a rating is not on the scale.
            ConfigError: Both a user and ratings are given.

        >>> recommender = load("output/demo")
        >>> ratings = {"Heat (1995)": 5, "Fargo (1996)": 1}
        >>> effects = recommender.explain("Casino (1995)", ratings=ratings)
        >>> sorted(effects["title"])
        ['Fargo', 'Heat']
        """
        history = self._history(user, ratings)
        item_idx = self.catalogue.find(self._name(item))
        _, (query,) = queries_about(history, np.array([item_idx]))
        shown = query.history.last(self.predictor.history_len)
        queries = [replace(query, history=each) for each in leave_one_out(shown)]
        predictions = self.predictor.predict(queries)
        if note := self.predictor.history_note(len(shown)):
            LOGGER.warning(note)
        effects = rating_effects([each.p_yes for each in predictions])[:, 0]
        order = np.argsort(-np.abs(effects), kind="stable")[:k]
        items = [self.catalogue.items[index] for index in shown.item_idx[order]]
        scale = self.catalogue.words.scale
        columns = {
            Columns.ITEM: [each.item_id for each in items],
            Columns.TITLE: [each.title for each in items],
            Columns.YEAR: [each.year for each in items],
            Columns.RATING: [scale.nearest(rating) for rating in shown.rating[order].tolist()],
            "effect": effects[order].tolist(),
        }
        return new_frame(columns, like=ratings)

    def _history(self, user: int | str | None, ratings: Ratings | None) -> History:
        folder = self.predictor.loaded.folder
        refuse_user_and_ratings(user, ratings=ratings is not None)
        if user is not None:
            return user_history(folder.ratings, user, folder.user_ids)
        if ratings is None:
            return History.of([], [])
        if isinstance(ratings, Mapping):
            entries = [
                Entry(f"ratings[{item!r}]", self._name(item), str(rating))
                for item, rating in ratings.items()
            ]
        else:
            table = as_table(ratings)
            entries = read_ratings_rows(table.to_pylist(), table.column_names)
        return rated_history(self.catalogue, folder.prompt_settings.scale, entries)

    def _name(self, item: int | str) -> str:
        """Return an item as :meth:`Catalogue.find` reads it; text that is an id is no title."""
        given = item in self.catalogue.index_of_id or not isinstance(item, str)
        return f"#{item}" if given else str(item)


def _pairs_frame(pairs: Iterable[Any]) -> Any:
    pairs = list(pairs)
    for index, pair in enumerate(pairs):
        sized = isinstance(pair, Collection) and not isinstance(pair, str | Mapping | set)
        if not sized or len(pair) != 2:
            raise ConfigError(
                f"input should be a user and an item, got {reprlib.repr(pair)}",
                code="invalid_setting",
                where=f"predict(): pairs.{index}",
            )
    users, items = zip(*pairs, strict=True) if pairs else ((), ())
    return new_frame({Columns.USER: _column(users), Columns.ITEM: _column(items)})


def _column(ids: Sequence[int | str]) -> pa.Array:
    """Return ids as a column, of numbers if all are."""
    if all(isinstance(given, Integral) for given in ids):
        return pa.array(ids, pa.int64())
    return pa.array([str(given) for given in ids], pa.string())
