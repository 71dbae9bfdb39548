"""The parts of the fusion, fitted in a process of their own while a GPU trains the model.

They do not read the model, and a GPU leaves most of the processor idle.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import IO, Final

import numpy as np

from reeltune.config import Config
from reeltune.data.folder import PreparedFolder
from reeltune.prompts.rows import prompt_settings
from reeltune.runs.log import LOGGER
from reeltune.scoring.fusion import Parts
from reeltune.signals.folder import open_prepared
from reeltune.training.inputs import validation_events

MOST_EVENTS: Final = 5_000_000
"""With more, memory would have to hold the data twice."""


def fit(config: Config, folder: PreparedFolder) -> Parts:
    """Fit the parts to the training rows of a configuration; errors are those of ``Parts.fit``."""
    event = validation_events(config, folder)
    return Parts.fit(folder, prompt_settings(folder, config.prompt), event, config.train.seed)


@contextlib.contextmanager
def fitted_beside(config: Config) -> Iterator[Callable[[], Parts | None]]:
    """Fit the parts in another process inside the block; yield the function that waits for them.

    It returns None, with a warning, if that process cannot be started or fails.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
            )
        except OSError as error:
            LOGGER.warning("fusion: no process can be started beside the training (%s)", error)
            yield lambda: None
            return
        LOGGER.info("fusion: fitting gradient boosting and the sequence model beside the training")
        try:
            assert process.stdin is not None
            with contextlib.suppress(OSError):  # it has ended; the reason is among its errors
                process.stdin.write(config.model_dump_json().encode() + b"\n")
                process.stdin.flush()
            yield lambda: _result(process, errors)
        finally:
            process.kill()
            with contextlib.suppress(OSError), process:  # closes the pipes and waits
                pass


def _result(process: subprocess.Popen[bytes], errors: IO[bytes]) -> Parts | None:
    if process.poll() is None:
        LOGGER.info("fusion: waiting for the process beside the training")
    assert process.stdout is not None
    written = process.stdout.read()
    if process.wait():
        errors.seek(0)
        lines = errors.read().decode("utf-8", errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit code {process.returncode}"
        LOGGER.warning("fusion: the process beside the training failed (%s)", reason)
        return None
    with np.load(io.BytesIO(written), allow_pickle=False) as arrays:
        return Parts.from_arrays(dict(arrays))


def _main() -> None:
    """Read a configuration from standard input, and write the arrays of its parts to the output."""
    output, sys.stdout = sys.stdout.buffer, sys.stderr
    config = Config.model_validate_json(sys.stdin.buffer.readline())

    def end_with_the_training() -> None:
        os.read(sys.stdin.fileno(), 1)  # ends when that process closes its end, or is killed
        os._exit(1)

    threading.Thread(target=end_with_the_training, daemon=True).start()
    arrays = io.BytesIO()
    np.savez(arrays, allow_pickle=False, **fit(config, open_prepared(config)).to_arrays())
    output.write(arrays.getvalue())
    output.flush()


if __name__ == "__main__":
    _main()
