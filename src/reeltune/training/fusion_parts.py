"""The parts of the fusion, fitted in a process of their own while a GPU trains the model.

Neither reads the model, and a GPU leaves most of the processor idle.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from reeltune.config import Config
from reeltune.data.folder import PreparedFolder
from reeltune.prompts.rows import choose_blocks, prompt_settings
from reeltune.runs.log import LOGGER
from reeltune.scoring.fusion import Parts
from reeltune.signals.folder import open_prepared
from reeltune.training.inputs import validation_rows

MOST_EVENTS: Final = 5_000_000
"""With more, memory would have to hold the data twice."""


def fit(config: Config, folder: PreparedFolder) -> Parts:
    """Fit the parts to the training rows of a configuration; errors are those of ``Parts.fit``."""
    event = choose_blocks(folder, validation_rows(config)).examples.target
    return Parts.fit(folder, prompt_settings(folder, config.prompt), event, config.train.seed)


@contextlib.contextmanager
def fitted_beside(config: Config) -> Iterator[Callable[[], Parts | None]]:
    """Fit the parts in another process inside the block; yield the function that waits for them.

    It returns None, with a warning, if that process failed.
    """
    with tempfile.TemporaryDirectory(prefix="reeltune-") as folder:
        file, errors = Path(folder, "parts.npz"), Path(folder, "errors")
        spare = max(1, (os.cpu_count() or 1) - 2)  # the training's own threads keep theirs
        environment = {"OMP_NUM_THREADS": str(spare), **os.environ, "CUDA_VISIBLE_DEVICES": ""}
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=environment,
            )
        LOGGER.info("fusion: fitting gradient boosting and the sequence model beside the training")
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:  # it has failed
                stdin.write(config.model_dump_json().encode())
            yield partial(_result, process, file, errors)
        finally:
            process.kill()
            process.wait()


def _result(process: subprocess.Popen[bytes], file: Path, errors: Path) -> Parts | None:
    if process.wait():
        said = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        reason = said[-1] if said else f"exit code {process.returncode}"
        LOGGER.warning("fusion: the process beside the training failed (%s)", reason)
        return None
    with np.load(file, allow_pickle=False) as arrays:
        return Parts.from_arrays(dict(arrays))


if __name__ == "__main__":
    given = Config.model_validate_json(sys.stdin.read())
    np.savez(sys.argv[1], allow_pickle=False, **fit(given, open_prepared(given)).to_arrays())
