"""The whole meta.json of a tiny edition, worked out by hand."""

import hashlib
import json

from reeltune import __version__
from reeltune.data.folder import PreparedFolder, meta_digest
from reeltune.data.prepare import prepare
from reeltune.data.settings import PrepareSettings, SplitSettings

RATINGS = """userId,movieId,rating,timestamp
1,30,4.0,103
1,10,5.0,101
1,20,2.5,102
1,40,3.5,103
1,99,3.0,104
1,50,4.5,105
1,10,1.0,106
2,10,4.0,200
2,20,x,201
"""
ITEMS = """movieId,title,genres
20,Fargo (1996),Crime|Drama
10,Heat (1995),Crime
30,Babylon 5,(no genres listed)
40,"Matrix, The (1999)",Sci-Fi
50,Up (2009),Animation
"""
# User 1 in time order: 10 (liked), 20, 30 (liked), 40, 50 (liked); with two events of history the
# examples are 30, 40 and 50: one to train, one to validate, one to test. User 2 has one event.


def test_meta_by_hand(tmp_path) -> None:
    source = tmp_path / "ml-tiny"
    source.mkdir()
    (source / "ratings.csv").write_text(RATINGS)
    (source / "movies.csv").write_text(ITEMS)
    split = SplitSettings(val_fraction=0.34, test_fraction=0.34)
    settings = PrepareSettings(tmp_path / "out", history_len=2, split=split, skip_bad_rows=True)
    report = prepare(source, settings)

    def described(path, rows: int) -> dict:
        content = path.read_bytes()
        return {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "rows": rows,
        }

    expected = {
        "format_version": 3,
        "reeltune_version": __version__,
        "edition": "ml-tiny",
        "layout": "csv",
        "source": [
            {"name": "ratings.csv", **described(source / "ratings.csv", 9)},
            {"name": "movies.csv", **described(source / "movies.csv", 5)},
        ],
        "settings": {
            "history_len": 2,
            "min_history": 2,
            "rating_threshold": 4.0,
            "split": "user",
            "val_fraction": 0.34,
            "test_fraction": 0.34,
            "val_from": None,
            "test_from": None,
            "genres": False,
            "skip_bad_rows": True,
            "export": "chat",
        },
        "prompt": {
            "threshold": 4.0,
            "scale_min": 0.5,
            "scale_max": 5.0,
            "genres": False,
            "form": "window",
            "signals": [],
            "version": "5",
        },
        "counts": {
            "ratings_in_source": 9,
            "dropped": 3,
            "events": 6,
            "context": 3,
            "examples": 3,
            "train": 1,
            "validation": 1,
            "test": 1,
            "users": 2,
            "users_without_examples": 1,
            "items_rated": 5,
            "items_in_source": 5,
            "items_dropped": 0,
            "items": 5,
            "items_without_year": 1,
        },
        "label_rates": {"train": 1.0, "validation": 0.0, "test": 1.0},
        "span": {"first": "1970-01-01T00:01:41+00:00", "last": "1970-01-01T00:03:20+00:00"},
        "dropped": {
            "duplicate_rating": {
                "count": 1,
                "first": [{"file": "ratings.csv", "line": 8, "value": "user 1, item 10"}],
            },
            "not_a_number": {
                "count": 1,
                "first": [{"file": "ratings.csv", "line": 10, "value": "x"}],
            },
            "unknown_item": {
                "count": 1,
                "first": [{"file": "ratings.csv", "line": 6, "value": "99"}],
            },
        },
        "checks": [
            "no missing values",
            "event count",
            "order in time",
            "positions",
            "items once per user",
            "item rows",
            "one split per event",
            "context first",
            "splits in order",
            "ratings",
            "labels",
        ],
        "warnings": report.meta["warnings"],
        "files": {
            name: described(tmp_path / "out" / name, rows)
            for name, rows in (
                ("timelines.parquet", 6),
                ("items.parquet", 5),
                ("train.json", 1),
                ("eval.json", 1),
                ("test_raw.jsonl", 1),
            )
        },
    }
    expected["digest"] = meta_digest(expected)
    assert report.meta == expected
    times, label = report.meta["warnings"]
    assert "from 101 to 200" in times
    assert "all 1 training rows are liked" in label
    written = (tmp_path / "out" / "meta.json").read_text(encoding="utf-8")
    assert json.loads(written) == expected
    assert list(json.loads(written)) == list(expected)

    timelines = PreparedFolder.open(tmp_path / "out").timelines
    assert timelines.user_id.tolist() == [1, 1, 1, 1, 1, 2]
    assert timelines.item_idx.tolist() == [0, 1, 2, 3, 4, 0]
    assert timelines.position.tolist() == [0, 1, 2, 3, 4, 0]
    assert timelines.rating.tolist() == [5.0, 2.5, 4.0, 3.5, 4.5, 4.0]
    assert timelines.liked.tolist() == [True, False, True, False, True, True]
    assert timelines.split.tolist() == [
        *("context", "context", "train", "validation", "test", "context")
    ]
