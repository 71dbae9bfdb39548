"""Tags from the past: a tag given at or after the time of an event never reaches its prompt."""

from __future__ import annotations

from pathlib import Path

import pytest

from reeltune.data.folder import PreparedFolder
from reeltune.data.history import NOW
from reeltune.data.invariants import EventTable
from reeltune.data.prepare import prepare
from reeltune.data.settings import PrepareSettings, SplitSettings
from reeltune.data.tags import ItemTags
from reeltune.leakage.outcomes import FAILED, NOT_APPLICABLE, OK
from reeltune.leakage.tags import tags_are_from_the_past
from tests.data.editions import items, timeline, write_edition

HALF = SplitSettings(val_fraction=0.2, test_fraction=0.3)


@pytest.fixture
def table(tmp_path: Path) -> EventTable:
    """Events of two users; film 100 has a tag before, at and after their ratings."""
    ratings = [*timeline(1, 12), *timeline(2, 12, start=2_000_000)]
    source = write_edition(tmp_path / "in", ratings, items(12))
    tags = ["7,100,before,1000009", "7,100,same,1000010", "7,100,after,2000011"]
    (source / "tags.csv").write_text(
        "\n".join(["userId,movieId,tag,timestamp", *tags, ""]), encoding="utf-8"
    )
    columns = ("genres", "tags")
    prepare(source, PrepareSettings(tmp_path / "out", history_len=3, item_text=columns, split=HALF))
    return EventTable.read(PreparedFolder.open(tmp_path / "out", verify=False))


def test_earlier_tags_are_shown_and_later_ones_are_not(table: EventTable):
    outcome = tags_are_from_the_past(table)
    assert (outcome.status, outcome.about) == (OK, "2 events of tagged items")


def at_the_same_time(self: ItemTags, item_idx, timestamp):
    return BEFORE(self, item_idx, timestamp + 1)


def at_any_time(self: ItemTags, item_idx, timestamp):
    return BEFORE(self, item_idx, NOW)


BEFORE = ItemTags.before


@pytest.mark.parametrize(("planted", "users"), [(at_the_same_time, [1]), (at_any_time, [1, 2])])
def test_a_planted_tag_of_the_same_time_or_later_is_found(
    table: EventTable, planted, users: list[int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ItemTags, "before", planted)
    outcome = tags_are_from_the_past(table)
    assert outcome.status == FAILED
    assert [(f.user_id, f.item_id) for f in outcome.offenders.first] == [(u, 100) for u in users]
    assert "before, same" in str(outcome.offenders.first[0])


def test_data_without_tags_are_not_checked(tmp_path):
    source = write_edition(tmp_path / "in", timeline(1, 12), items(12))
    prepare(source, PrepareSettings(tmp_path / "out", history_len=3, split=HALF))
    table = EventTable.read(PreparedFolder.open(tmp_path / "out", verify=False))
    assert tags_are_from_the_past(table).status == NOT_APPLICABLE
