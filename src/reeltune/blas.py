"""Limit the linear algebra behind NumPy and SciPy to one thread where more would only wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache  # finding the libraries takes longer than a small product
def _libraries() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def blas_threads() -> int:
    """Return the number of threads that BLAS uses."""
    return max((library["num_threads"] for library in _libraries().info()), default=1)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Use one thread of BLAS inside the block, or inside the decorated function.

    Threads of BLAS wait for each other by spinning. Small products then take many times as long as
    with one thread, most of all where other threads or programs compute, too. OpenBLAS has one
    limit for the whole process, which threadpoolctl lets one thread set: that which did so first,
    while it lives. In others the block changes nothing.
    """
    with _libraries().limit(limits=1):
        yield
