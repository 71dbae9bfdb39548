"""The evidence a prompt can tell, in the form in which the guard of features asks for it."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from reeltune.check.baselines import learned_from
from reeltune.check.events import Bools, Events, Ints
from reeltune.check.features import features_are_from_the_past
from reeltune.check.findings import Guard, Outcome
from reeltune.data.folder import Timelines
from reeltune.domain import EVIDENCE, Item
from reeltune.evidence.source import EvidenceSource

TOLD: Final = Guard(
    "evidence from the past",
    "Make this evidence of what others rated in training and the user's own earlier events alone",
)


def evidence_is_from_the_past(events: Events) -> Outcome:
    """Every kind of evidence on held-out events does not change with what it may not know.

    Whether or not a prompt tells it. What the evidence learns from it decides by itself: the mask
    of training events is not shown to it.
    """
    settings = events.folder.prompt_settings
    features = partial(_told, settings.threshold, settings.scale.step)
    mask = learned_from(events)
    return features_are_from_the_past(events, mask, features, tuple(EVIDENCE), guard=TOLD)


def _told(
    threshold: float,
    step: float,
    timelines: Timelines,
    items: list[Item],
    train_mask: Bools,
    events: Ints,
) -> npt.NDArray[np.floating]:
    del train_mask
    source = EvidenceSource(timelines, items, threshold, step, tuple(EVIDENCE))
    return source.of_events(events).astype(np.float64)
