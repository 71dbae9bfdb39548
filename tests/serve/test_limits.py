"""When there is too much to do: who is sent away, how, and what is not computed for nothing."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from reeltune.asking.judge import Judge
from reeltune.scoring.ranking import Question
from reeltune.scoring.scorer import Verdicts
from tests.serve.running import Running, error_of, running


class Held:
    """A judge's answers, held back until a test lets them go."""

    def __init__(self, judge: Judge) -> None:
        self._verdicts = judge.verdicts
        self.begun = threading.Semaphore(0)
        self.may_answer = threading.Event()
        self.asked: list[int] = []
        self.error: Exception | None = None

    def verdicts(self, questions: Sequence[Question], *, base: bool = False) -> list[Verdicts]:
        """Answer when it may."""
        self.asked += [int(film) for one in questions for film in one.candidates]
        self.begun.release()
        assert self.may_answer.wait(60)
        if self.error is not None:
            raise self.error
        return self._verdicts(questions, base=base)


@pytest.fixture
def held(served_judge: Judge, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """The judge's answers, held back."""
    held = Held(served_judge)
    monkeypatch.setattr(served_judge, "verdicts", held.verdicts)
    yield held
    held.may_answer.set()


def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def unavailable(answer: httpx.Response) -> str:
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    return answer.json()["code"]


def ask(service: Running, item_id: int) -> httpx.Response:
    """Ask after a history that no other film is asked after."""
    rated = [{"item_id": item_id, "rating": 4.0}]
    return service.post("/verdicts", rated=rated, item_ids=[item_id])


def test_more_requests_than_may_wait_are_sent_away(served_judge: Judge, held: Held):
    with running(served_judge, max_requests=2) as service, ThreadPoolExecutor(2) as pool:
        accepted = [pool.submit(ask, service, 1)]
        # Both would be in one pass, and none waiting, if the second came before it had begun.
        assert held.begun.acquire(timeout=60)
        accepted.append(pool.submit(ask, service, 4))
        until(lambda: service.value("reeltune_queries_waiting") == 1)
        assert unavailable(ask(service, 7)) == "too_many_requests"
        assert unavailable(service.post("/recommendations", rated=[])) == "too_many_requests"
        assert service.client.get("/films").status_code == 200
        held.may_answer.set()
        assert [future.result().status_code for future in accepted] == [200, 200]
        assert ask(service, 7).status_code == 200
    assert sorted(held.asked) == [0, 1, 2]


def test_a_request_whose_time_is_up_is_sent_away_and_not_computed(served_judge: Judge, held: Held):
    with running(served_judge, timeout_s=0.3) as service, ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda film: ask(service, film), (1, 4)))
        assert {unavailable(answer) for answer in answers} == {"answer_timed_out"}
        held.may_answer.set()
        until(lambda: service.value("reeltune_batch_seconds_count") == 1)
        assert ask(service, 7).status_code == 200
    # One of both had begun; the other one never did.
    assert len(held.asked) == 2
    assert held.asked[1] == 2


def test_a_client_that_has_gone_is_not_computed_for(served_judge: Judge, held: Held):
    body = b'{"rated": [{"item_id": 4, "stars": 4.0}], "item_ids": [4]}'
    lines = ["POST /verdicts HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    request = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
    with running(served_judge) as service, ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, service, 1)
        assert held.begun.acquire(timeout=30)
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(request)
            until(lambda: service.value("reeltune_queries_waiting") == 1)
        counted = 'reeltune_requests_total{route="/verdicts",status="499"}'
        until(lambda: service.value(counted) == 1)
        held.may_answer.set()
        assert first.result().status_code == 200
        assert ask(service, 7).status_code == 200
    assert held.asked == [0, 2]


def test_a_long_request_does_not_keep_short_ones_waiting(served_judge: Judge, held: Held):
    # A pass of one token holds little more than one history.
    with running(served_judge, target_batch_seconds=1e-9) as service, ThreadPoolExecutor(2) as pool:
        long = pool.submit(service.post, "/recommendations", rated=[])
        assert held.begun.acquire(timeout=30)
        short = pool.submit(ask, service, 1)
        until(lambda: service.value("reeltune_queries_waiting") == 1)
        held.may_answer.set()
        assert short.result().status_code == 200
        assert long.result().json()["judged"] == 40
    films = len(served_judge.subject.folder.items)
    last = len(held.asked) - 1 - held.asked[::-1].index(0)
    assert last < films - 1


def test_what_is_unforeseen_is_logged_and_not_told(
    served_judge: Judge, held: Held, caplog: pytest.LogCaptureFixture
):
    held.may_answer.set()
    with running(served_judge) as service:
        held.error = ZeroDivisionError("a secret of the inside")
        for path, fields in (("/verdicts", {"item_ids": [1]}), ("/recommendations", {})):
            answer = service.post(path, rated=[], **fields)
            error_of(answer, 500, "internal_error")
            assert "secret" not in answer.text
            assert answer.headers["x-content-type-options"] == "nosniff"
        held.error = None
        assert ask(service, 1).status_code == 200
        assert service.value('reeltune_requests_total{route="/verdicts",status="500"}') == 1
    assert "a secret of the inside" in caplog.text
    assert any(record.levelno == logging.ERROR for record in caplog.records)


def test_requests_and_passes_are_counted(served_judge: Judge):
    def fields(count: int, **more: Any) -> dict[str, Any]:
        return {"rated": [], "item_ids": [3 * i + 1 for i in range(count)], **more}

    with running(served_judge) as service:
        service.post("/verdicts", **fields(3))
        service.post("/verdicts", **fields(4, base=True))
        service.post("/verdicts", wrong=1)
        service.client.get("/nothing/1")
        service.client.get("/nothing/2")
        counted = 'reeltune_requests_total{route="%s",status="%s"}'
        assert service.value(counted % ("/verdicts", 200)) == 2
        assert service.value(counted % ("/verdicts", 422)) == 1
        assert service.value(counted % ("other", 404)) == 2
        assert service.value('reeltune_request_seconds_count{route="/verdicts"}') == 3
        assert service.value('reeltune_predictions_total{model="tuned"}') == 7
        assert service.value('reeltune_predictions_total{model="base"}') == 4
        assert service.value("reeltune_batch_seconds_count") == 2
        assert service.value("reeltune_batch_queries_sum") == 3
        assert service.value("reeltune_batch_predictions_sum") == 11
        assert service.value("reeltune_queries_waiting") == 0
        assert "nothing/1" not in service.client.get("/metrics").text
