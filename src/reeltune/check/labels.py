"""Guard: a label says what the stars say."""

from __future__ import annotations

from typing import Final

from reeltune.check.events import Events
from reeltune.check.findings import PREPARE_AGAIN, Guard, Outcome

LABELS: Final = Guard("labels", PREPARE_AGAIN)


def labels_follow_stars(events: Events) -> Outcome:
    """An event is liked exactly when its stars reach the threshold."""
    threshold = float(events.folder.meta["settings"]["rating_threshold"])
    stars, liked = events.timelines.stars, events.timelines.liked
    return LABELS.judge(
        f"liked from {threshold:.1f} stars on",
        events.offenders(
            liked != (stars >= threshold),
            lambda i: f"{stars[i]:.1f} stars, but {'liked' if liked[i] else 'not liked'}",
        ),
    )
