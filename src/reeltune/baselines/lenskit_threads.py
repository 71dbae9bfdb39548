"""LensKit's settings for this process, so that they change nothing for the language model."""

from __future__ import annotations

import logging
import warnings
from functools import cache


@cache
def prepare_lenskit() -> None:
    """Start LensKit's worker threads, and leave torch's settings as they are.

    By itself LensKit (2025.8) would do so at its first training, and set torch and the BLAS to
    fewer threads for the rest of the process.
    """
    import torch
    from lenskit.parallel import effective_cpu_count, initialize

    threads, sharing = torch.get_num_threads(), torch.multiprocessing.get_sharing_strategy()
    log = logging.getLogger("lenskit.parallel.config")
    level = log.level
    # Once at work, torch refuses another number of threads between operations, which nothing here
    # needs; LensKit would warn of it.
    log.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        initialize(threads=effective_cpu_count(), backend_threads=threads)
    log.setLevel(level)
    torch.multiprocessing.set_sharing_strategy(sharing)
