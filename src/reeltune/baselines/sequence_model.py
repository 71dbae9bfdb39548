"""The sequence model: fitted to training rows, kept to predict events and queries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit

from reeltune.baselines.features import FeatureSource
from reeltune.baselines.problem import BaselineScores, Floats, Ints, Problem, make_problem
from reeltune.baselines.sequence_network import Events, SequenceNetwork, fit_network
from reeltune.baselines.trees import Arrays
from reeltune.data.columns import TRAIN
from reeltune.data.folder import PreparedFolder
from reeltune.data.history import NOW, History, NoContext
from reeltune.errors import ModelError, one_line
from reeltune.signals.item_statistics import assign_folds

_PREFIX: Final = "sequence_"
_NO_EVENTS: Final = np.empty(0, dtype=np.int64)


def sequence_model(problem: Problem) -> BaselineScores:
    """Predict with the network of the epoch with the lowest log loss on validation rows."""
    events = Events.of(_source(problem).events())
    network, settings = fit_network(problem, events)
    scored = (problem.validation, problem.test)
    validation, test = (expit(network.of_events(events, event)) for event in scored)
    return BaselineScores(validation, test, settings.pop("learned_from"), settings)


@dataclass(frozen=True)
class SequenceModel:
    """The sequence model as a run keeps it; settings are plain values for JSON.

    A query has the log-odds of the event it is, up to rounding in float32: statistics of items
    never include the user's fold, held out or not.
    """

    network: SequenceNetwork
    settings: dict[str, Any]

    @classmethod
    def fit(cls, folder: PreparedFolder, validation_event: Ints, seed: int) -> SequenceModel:
        """Fit to training rows, and choose the epoch on validation rows, given by index.

        It reads no signals. Errors are those of :func:`make_problem`.
        """
        plain = folder.with_context(lambda _: NoContext())
        problem = make_problem(plain, validation_event, _NO_EVENTS, seed=seed)
        network, settings = fit_network(problem, Events.of(_source(problem).events()))
        return cls(network, settings | {"seed": seed})

    def features_of(self, folder: PreparedFolder) -> FeatureSource:
        """Return what computes the features of queries; made once for all of them.

        Raises:
            ModelError: The data have another number of items than the model was fitted to.
        """
        if len(folder.items) != len(self.network.items):
            raise ModelError(
                f"the sequence model was fitted to {len(self.network.items):,} other items",
                code="sequence_model_does_not_fit",
                where=str(folder.path),
                hint="Use the data it was fitted with",
            )
        known, none, seed = folder.ratings, _NO_EVENTS, self.settings["seed"]
        rows = (np.flatnonzero(known.split == TRAIN), none, none, seed)
        threshold = folder.prompt_settings.threshold
        return _source(Problem(known, folder.items, *rows, threshold=threshold))

    def of_events(self, folder: PreparedFolder, event: Ints) -> Floats:
        """Return the log-odds of events, given by index, shape ``(n,)``; errors as above."""
        return self.network.of_events(Events.of(self.features_of(folder).events()), event)

    def of_query(
        self,
        features: FeatureSource,
        history: History,
        candidates: Ints,
        asked_at: Ints | int = NOW,
    ) -> Floats:
        """Return the log-odds of candidates, given by item index, shape ``(n,)``.

        The history has all ratings of the user; the network sees the newest :data:`HISTORY`.
        :meth:`FeatureSource.query` explains ``NOW``.
        """
        events = Events.of(features.query(history, candidates, asked_at))
        return self.network.of_query(events, len(candidates))

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return arrays to store; none needs pickle, and all names begin with ``sequence_``."""
        weights = {_PREFIX + name: each.numpy() for name, each in self.network.state_dict().items()}
        return {_PREFIX + "settings": np.array(json.dumps(self.settings)), **weights}

    @classmethod
    def from_arrays(cls, arrays: Arrays, where: str | None = None) -> SequenceModel:
        """Return the model of :meth:`to_arrays`; arrays with other names are ignored.

        Raises:
            ModelError: An array is missing or damaged; ``where`` has them.
        """
        kept = {name[len(_PREFIX) :]: arrays[name] for name in arrays if name.startswith(_PREFIX)}
        try:
            settings = json.loads(str(kept.pop("settings")))
            _ = int(settings["seed"])
            if not all(v.dtype == np.float32 and np.isfinite(v).all() for v in kept.values()):
                raise ValueError("its weights are not finite numbers of float32")
            weights = {name: torch.from_numpy(values) for name, values in kept.items()}
            with torch.device("meta"):  # no random weights are drawn
                network = SequenceNetwork(*weights["items"].shape).eval()
            network.load_state_dict(weights, assign=True)
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ModelError(
                f"the kept sequence model is damaged or of another version ({one_line(error)})",
                code="sequence_model_damaged",
                where=where,
                hint="Copy the file again, or train again",
            ) from None
        return cls(network, settings)


def _source(problem: Problem) -> FeatureSource:
    """Return the features; as in the signals, no user's fold is in its item statistics."""
    return FeatureSource(problem, assign_folds(problem.timelines, problem.seed))
