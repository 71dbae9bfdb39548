"""The benchmark of serving runs at a tiny size and compares the predictions of both modes."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import serve_load
from benchmarks.render import problems, render
from reeltune.data.folder import PreparedFolder
from tests import forked


@pytest.mark.slow
def test_it_writes_a_result(
    tiny_qwen3: Path,
    prepared: PreparedFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(serve_load, "subprocess", forked)
    file = tmp_path / "result.json"
    serve_load.main(
        f"--model {tiny_qwen3} --prepared {prepared.path} --clients 1 6 --clients-per-history 1 3 "
        f"--candidates 2 --rounds 3 --set model.dtype=float32 "
        f"--tolerance 1e-5 --note rough --result {file}".split()
    )
    result = json.loads(file.read_text(encoding="utf-8"))
    assert problems(result) == []
    assert result["note"] == "rough"
    assert result["command"].startswith("python -m benchmarks.serve_load --prepared prepared ")
    assert str(tmp_path) not in json.dumps(result)
    cases = [(case["case"], case["clients"], case["mode"]) for case in result["cases"]]
    modes = ("one at a time", "batched")
    assert cases == [
        (load, clients, mode)
        for load in ("own history", "3 clients per history")
        for clients in (1, 6)
        for mode in modes
    ]
    for alone, batched in zip(result["cases"][::2], result["cases"][1::2], strict=True):
        assert alone["requests_per_batch"] == 1
        assert alone["ratio_to_one_at_a_time"] == 1
        assert batched["ratio_to_one_at_a_time"] == pytest.approx(
            batched["predictions_per_s"] / alone["predictions_per_s"]
        )
        assert 0 < batched["p50_ms"] <= batched["p99_ms"]
        assert (batched["requests_per_batch"] > 1) == (batched["clients"] > 1)
    assert render("serve_load", result).count("\n|") == 2 + len(cases)
    assert len(capsys.readouterr().out.splitlines()) == len(cases)


def test_the_requests_of_clients(prepared: PreparedFolder):
    requests = serve_load.Requests(prepared, candidates=4, rounds=3)
    timelines, items = prepared.timelines, prepared.items

    def request(client: int, number: int, sharing: int) -> tuple[list[int], list[int]]:
        body = json.loads(requests.body(client, number, sharing))
        return [event["item_id"] for event in body["history"]], body["item_ids"]

    rated, candidates = request(1, 0, 1)
    first = int(np.flatnonzero(timelines.position == 0)[1])
    expected = timelines.item_idx[first : first + prepared.history_len]
    assert rated == [items[row].item_id for row in expected]
    assert len(set(candidates)) == 4
    # One more item is rated, so the oldest is no longer shown.
    assert request(1, 1, 1)[0][:-1] == rated[1:]
    assert request(2, 0, 1)[0] != rated
    # Clients that share a history request different items.
    assert request(2, 1, 3)[0] == request(0, 1, 3)[0]
    assert request(2, 1, 3)[1] != request(0, 1, 3)[1]
    assert request(3, 1, 3)[0] != request(0, 1, 3)[0]


def test_histories_grow_to_what_prompts_show(prepared: PreparedFolder):
    requests = serve_load.Requests(prepared, candidates=4, rounds=3, growing=True)
    rated = [
        [event["item_id"] for event in json.loads(requests.body(0, number, 1))["history"]]
        for number in range(3)
    ]
    assert [len(each) for each in rated] == [prepared.history_len - 2 + more for more in range(3)]
    assert rated[0] == rated[2][:-2] and rated[1] == rated[2][:-1]


def test_predictions_that_differ_are_an_error(
    prepared: PreparedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    @contextlib.contextmanager
    def served(mode: str, options: argparse.Namespace) -> Iterator[serve_load.Served]:
        del options
        yield serve_load.Served(mode, 0)

    def load(service: serve_load.Served, *_: object) -> object:
        shift = 0.0 if service.mode == "one at a time" else 0.01
        return {"predictions_per_s": 1.0}, np.full((2, 3), 0.5 + shift)

    monkeypatch.setattr(serve_load, "served", served)
    monkeypatch.setattr(serve_load, "load", load)
    monkeypatch.setattr(serve_load, "line", lambda case, first: f"{case} {first}")
    with pytest.raises(SystemExit, match=r"0\.01"):
        serve_load.main(
            f"--model m --prepared {prepared.path} --clients 1 --rounds 3 --tolerance 0.005".split()
        )
