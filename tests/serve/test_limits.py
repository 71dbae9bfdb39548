"""Limits under load: 503 responses, and no computation that nobody waits for."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from reeltune.scoring.predictions import Predictions
from reeltune.scoring.predictor import Predictor, Query
from tests.helpers import until
from tests.serve.running import Running, error_of, running


class Held:
    """A predictor that blocks until a test releases it."""

    def __init__(self, predictor: Predictor) -> None:
        self._predict = predictor.predict
        self.begun = threading.Semaphore(0)
        self.may_return = threading.Event()
        self.items: list[int] = []
        self.error: Exception | None = None

    def predict(self, queries: Sequence[Query], *, base: bool = False) -> list[Predictions]:
        """Predict once released."""
        self.items += [int(item) for query in queries for item in query.candidates]
        self.begun.release()
        assert self.may_return.wait(60)
        if self.error is not None:
            raise self.error
        return self._predict(queries, base=base)


@pytest.fixture
def held(served_predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """The predictor, blocked."""
    held = Held(served_predictor)
    monkeypatch.setattr(served_predictor, "predict", held.predict)
    yield held
    held.may_return.set()


def unavailable(answer: httpx.Response) -> str:
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    return answer.json()["code"]


def ask(service: Running, item_id: int) -> httpx.Response:
    """Request a prediction with a history that no other item has."""
    rated = [{"item_id": item_id, "rating": 4.0}]
    return service.post("/predictions", history=rated, item_ids=[item_id])


def test_more_than_max_requests_get_a_503(served_predictor: Predictor, held: Held):
    with running(served_predictor, max_requests=2) as service, ThreadPoolExecutor(2) as pool:
        accepted = [pool.submit(ask, service, 1)]
        # If the second came before the first batch, both would be in it, and none would wait.
        assert held.begun.acquire(timeout=60)
        accepted.append(pool.submit(ask, service, 4))
        until(lambda: service.value("reeltune_queries_waiting") == 1)
        assert unavailable(ask(service, 7)) == "too_many_requests"
        assert unavailable(service.post("/recommendations", history=[])) == "too_many_requests"
        assert service.client.get("/items").status_code == 200
        held.may_return.set()
        assert [future.result().status_code for future in accepted] == [200, 200]
        assert ask(service, 7).status_code == 200
    assert sorted(held.items) == [0, 1, 2]


def test_a_timed_out_request_gets_a_503_and_is_not_computed(
    served_predictor: Predictor, held: Held, monkeypatch: pytest.MonkeyPatch
):
    expiries: list[Callable[[], object]] = []
    timeout = asyncio.timeout

    def until_the_test_says_so(seconds: float) -> asyncio.Timeout:
        never, loop = timeout(None), asyncio.get_running_loop()
        if seconds == 77:
            expiries.append(lambda: loop.call_soon_threadsafe(never.reschedule, 0))
        return never

    monkeypatch.setattr("asyncio.timeout", until_the_test_says_so)
    with running(served_predictor, timeout_s=77) as service, ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, service, 1)
        assert held.begun.acquire(timeout=60)
        second = pool.submit(ask, service, 4)
        until(lambda: service.value("reeltune_queries_waiting") == 1)
        for expire in expiries:
            expire()
        answers = first.result(), second.result()
        assert {unavailable(answer) for answer in answers} == {"answer_timed_out"}
        held.may_return.set()
        assert ask(service, 7).status_code == 200
    assert held.items == [0, 2]


def test_requests_of_disconnected_clients_are_not_computed(served_predictor: Predictor, held: Held):
    body = b'{"history": [{"item_id": 4, "rating": 4.0}], "item_ids": [4]}'
    lines = ["POST /predictions HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    request = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
    with running(served_predictor) as service, ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, service, 1)
        assert held.begun.acquire(timeout=30)
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(request)
            until(lambda: service.value("reeltune_queries_waiting") == 1)
        counted = 'reeltune_requests_total{route="/predictions",status="499"}'
        until(lambda: service.value(counted) == 1)
        held.may_return.set()
        assert first.result().status_code == 200
        assert ask(service, 7).status_code == 200
    assert held.items == [0, 2]


@pytest.mark.slow
def test_a_long_request_does_not_keep_short_ones_waiting(served_predictor: Predictor, held: Held):
    # A batch of one token holds little more than one history.
    with (
        running(served_predictor, target_batch_seconds=1e-9) as service,
        ThreadPoolExecutor(2) as pool,
    ):
        long = pool.submit(service.post, "/recommendations", history=[])
        assert held.begun.acquire(timeout=30)
        short = pool.submit(ask, service, 1)
        until(lambda: service.value("reeltune_queries_waiting") == 1)
        held.may_return.set()
        assert short.result().status_code == 200
        assert long.result().json()["scored"] == 40
    items = len(served_predictor.loaded.folder.items)
    last = len(held.items) - 1 - held.items[::-1].index(0)
    assert last < items - 1


def test_unforeseen_errors_are_logged_and_not_sent(
    served_predictor: Predictor, held: Held, caplog: pytest.LogCaptureFixture
):
    held.may_return.set()
    with running(served_predictor) as service:
        held.error = ZeroDivisionError("a secret detail")
        for path, fields in (("/predictions", {"item_ids": [1]}), ("/recommendations", {})):
            answer = service.post(path, history=[], **fields)
            error_of(answer, 500, "internal_error")
            assert "secret" not in answer.text
            assert answer.headers["x-content-type-options"] == "nosniff"
        held.error = None
        assert ask(service, 1).status_code == 200
        assert service.value('reeltune_requests_total{route="/predictions",status="500"}') == 1
    assert "a secret detail" in caplog.text
    assert any(record.levelno == logging.ERROR for record in caplog.records)


def test_requests_and_batches_are_counted(served_predictor: Predictor):
    def fields(count: int, **more: Any) -> dict[str, Any]:
        return {"history": [], "item_ids": [3 * i + 1 for i in range(count)], **more}

    # A slow first batch makes the next ones smaller; with this target it does not.
    with running(served_predictor, target_batch_seconds=600.0) as service:
        service.post("/predictions", **fields(3))
        service.post("/predictions", **fields(4, base=True))
        service.post("/predictions", wrong=1)
        service.client.get("/nothing/1")
        service.client.get("/nothing/2")
        counted = 'reeltune_requests_total{route="%s",status="%s"}'
        assert service.value(counted % ("/predictions", 200)) == 2
        assert service.value(counted % ("/predictions", 422)) == 1
        assert service.value(counted % ("other", 404)) == 2
        assert service.value('reeltune_request_seconds_count{route="/predictions"}') == 3
        assert service.value('reeltune_predictions_total{model="tuned"}') == 7
        assert service.value('reeltune_predictions_total{model="base"}') == 4
        assert service.value("reeltune_batch_seconds_count") == 2
        assert service.value("reeltune_batch_queries_sum") == 3
        assert service.value("reeltune_batch_predictions_sum") == 11
        assert service.value("reeltune_queries_waiting") == 0
        assert "nothing/1" not in service.client.get("/metrics").text
