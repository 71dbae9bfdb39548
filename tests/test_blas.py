"""One thread of BLAS: nested, restored, and where small products are computed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from threadpoolctl import OpenBLASController, threadpool_limits

from reeltune.blas import blas_threads, one_blas_thread
from reeltune.scoring import combiner
from reeltune.serve import app
from reeltune.serve.metrics import Metrics
from reeltune.signals import gaussian_process
from tests.scoring.test_combiner import rows
from tests.signals.test_gaussian_process import expectation_of


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = blas_threads()
    set_threads(2)
    yield
    assert blas_threads() == 2  # whatever a test did
    set_threads(before)


def set_threads(number: int) -> None:
    """Set the number without keeping the main thread in control of it, as a limit would."""
    threadpool_limits(number, "blas")
    OpenBLASController.clear_controlling_thread(force=True)


def test_blocks_may_be_nested():
    with one_blas_thread():
        with one_blas_thread():
            assert blas_threads() == 1
        assert blas_threads() == 1


def test_an_error_restores_the_number():
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        raise ZeroDivisionError


def test_blocks_may_overlap_in_threads():
    begun, ended = Barrier(2), Barrier(2)

    def first() -> None:
        with one_blas_thread():
            begun.wait()
            begun.wait()  # the other one is in its block
        ended.wait()

    def second() -> None:
        begun.wait()
        with one_blas_thread():
            begun.wait()
            ended.wait()  # the first one has left its block

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(first), pool.submit(second)]:
            each.result()


def test_generators_may_end_in_the_order_they_began():
    def block() -> Iterator[int]:
        with one_blas_thread():
            yield blas_threads()

    one, other = block(), block()
    assert [next(one), next(other)] == [1, 1]
    one.close()
    other.close()


def test_a_limit_of_the_user_may_end_first():
    with contextlib.ExitStack() as own:
        own.enter_context(threadpool_limits(1, "blas"))
        with one_blas_thread():
            own.close()
            assert blas_threads() == 2


def test_the_posterior_of_a_user_is_computed_in_one(monkeypatch: pytest.MonkeyPatch):
    used, cholesky = [], np.linalg.cholesky

    def recorded(covariance: np.ndarray) -> np.ndarray:
        used.append(blas_threads())
        return cholesky(covariance)

    monkeypatch.setattr(gaussian_process.np.linalg, "cholesky", recorded)
    process, mean = expectation_of(0)
    items = np.array([3, 5, 2])
    process.posterior(0, items, mean[items] + 0.1).before_each_event()
    process.posterior(0, items, mean[items] + 0.1).after_all_events(items)
    assert used == [1, 1]


def test_combinations_are_fitted_in_one(monkeypatch: pytest.MonkeyPatch):
    used, minimize = set(), combiner.minimize

    def recorded(*args: Any, **options: Any) -> Any:
        used.add(blas_threads())
        return minimize(*args, **options)

    monkeypatch.setattr(combiner, "minimize", recorded)
    inputs, liked, user = rows(40)
    combiner.combine(inputs, liked, user, combiner.user_pairs(liked, user))
    assert used == {1}


def test_a_service_uses_one_from_start_to_end():
    async def inside() -> int:
        batcher = SimpleNamespace(running=contextlib.AsyncExitStack)
        routes = app._make_routes(SimpleNamespace(), batcher, Metrics(), False)  # type: ignore[arg-type]
        async with routes.router.lifespan_context(routes):
            return await asyncio.to_thread(blas_threads)

    assert asyncio.run(inside()) == 1
