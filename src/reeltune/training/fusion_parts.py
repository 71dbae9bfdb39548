"""The parts of the fusion, fitted in a process of their own while a GPU trains the model.

They do not read the model, and a GPU leaves most of the processor idle. The process starts before
the model is loaded, and fits the sequence model, which takes longest and reads no signals, at once.
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Final

import numpy as np

from reeltune.baselines.boosting import BoostingModel
from reeltune.baselines.sequence_model import SequenceModel
from reeltune.config import Config
from reeltune.data.folder import PreparedFolder
from reeltune.data.timelines import Ints
from reeltune.prompts.rows import choose_blocks, prompt_settings, validation_rows
from reeltune.runs.log import LOGGER
from reeltune.scoring.fusion import Parts
from reeltune.signals.folder import open_prepared

MOST_EVENTS: Final = 5_000_000
"""With more, memory would have to hold the data twice."""


def validation_events(config: Config, folder: PreparedFolder) -> Ints:
    """Return the event of each of ``validation_rows``, as an index in the timelines."""
    return choose_blocks(folder, validation_rows(config)).examples.target


def fit(
    config: Config, folder: PreparedFolder, wait_for_signals: Callable[[], object] = lambda: None
) -> Parts:
    """Fit the parts of ``Parts.fit`` to the training rows at the same time; errors are the same.

    Gradient boosting begins when ``wait_for_signals`` returns.
    """
    event, seed = validation_events(config, folder), config.train.seed
    settings = prompt_settings(folder, config.prompt)
    signals, text = settings.context, bool(settings.item_text)
    with ThreadPoolExecutor() as threads:
        sequence = threads.submit(SequenceModel.fit, folder, event, seed)
        wait_for_signals()
        boosting = threads.submit(BoostingModel.fit, folder, signals, event, seed, text)
        return Parts(boosting.result(), sequence.result())


@dataclass(frozen=True)
class PartsProcess:
    """A process that fits the parts, and the file of its errors."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def begin(self, config: Config) -> None:
        """Let it fit the sequence model."""
        LOGGER.info("fusion: fitting gradient boosting and the sequence model beside the training")
        self._write(config.model_dump_json().encode())

    def read_signals(self) -> None:
        """Let it fit gradient boosting; it reads the signals from the cache, which has them now."""
        self._write(b"")

    def _write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended; the reason is among its errors
            self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()

    def result(self) -> Parts | None:
        """Wait for the parts; return None, with a warning, if the process failed."""
        if self.process.poll() is None:
            LOGGER.info("fusion: waiting for the process beside the training")
        assert self.process.stdout is not None
        written = self.process.stdout.read()
        if self.process.wait():
            self.errors.seek(0)
            lines = self.errors.read().decode("utf-8", errors="replace").strip().splitlines()
            reason = lines[-1] if lines else f"exit code {self.process.returncode}"
            LOGGER.warning("fusion: the process beside the training failed (%s)", reason)
            return None
        with np.load(io.BytesIO(written), allow_pickle=False) as arrays:
            return Parts.from_arrays(dict(arrays))


@contextlib.contextmanager
def parts_process() -> Iterator[PartsProcess | None]:
    """Start the process, which ends with the block; None, with a warning, if it cannot start."""
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
            yield None
            return
        try:
            yield PartsProcess(process, errors)
        finally:
            process.kill()
            with contextlib.suppress(OSError), process:  # closes the pipes and waits
                pass


def _main() -> None:
    """Fit the parts, and write their arrays to the output.

    The first line of standard input is the configuration, the second says that signals are cached.
    """
    output, sys.stdout = sys.stdout.buffer, sys.stderr
    import sklearn.ensemble  # noqa: F401  # now, while the training still loads the model

    def end_with_the_training() -> None:
        os.read(sys.stdin.fileno(), 1)  # ends when that process closes its end, or is killed
        os._exit(1)

    def wait_for_signals() -> None:
        if not sys.stdin.buffer.readline():
            os._exit(1)
        threading.Thread(target=end_with_the_training, daemon=True).start()

    config = Config.model_validate_json(sys.stdin.buffer.readline())
    arrays = io.BytesIO()
    parts = fit(config, open_prepared(config), wait_for_signals)
    np.savez(arrays, allow_pickle=False, **parts.to_arrays())
    output.write(arrays.getvalue())
    output.flush()


if __name__ == "__main__":
    _main()
