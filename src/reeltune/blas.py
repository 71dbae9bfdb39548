"""Limit the linear algebra behind NumPy and SciPy to one thread where more would only wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache

from threadpoolctl import ThreadpoolController


@cache  # finding the libraries takes longer than a small product
def _libraries() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


_LIMITING = threading.Lock()
"""Held by the block that set the limit: OpenBLAS has one for the whole process."""


def blas_threads() -> int:
    """Return the number of threads that BLAS uses."""
    return max((library.num_threads for library in _libraries().lib_controllers), default=1)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Use one thread of BLAS inside the block, or inside the decorated function.

    Threads of BLAS wait for each other by spinning. Small products then take many times as long as
    with one thread, most of all where other threads or programs compute, too. Of blocks that
    overlap in several threads, the first sets and restores the limit and the others change nothing,
    so that a number of threads is never restored that another block had set.
    """
    if blas_threads() == 1 or not _LIMITING.acquire(blocking=False):
        yield
        return
    try:
        limit = _libraries().limit(limits=1)
        # threadpoolctl ignores it while another thread, of the user's, has a limit.
        with limit if blas_threads() == 1 else nullcontext():
            yield
    finally:
        _LIMITING.release()
