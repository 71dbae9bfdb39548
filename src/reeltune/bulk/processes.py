"""The processes of one launch: sharing work and agreeing on results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from accelerate.utils import broadcast_object_list

from reeltune.errors import ReeltuneError
from reeltune.models.choices import process_state

T = TypeVar("T")


class Processes:
    """The processes started by ``accelerate launch`` or ``torchrun``, or this one alone."""

    def __init__(self) -> None:
        self._state = process_state()

    @property
    def is_main(self) -> bool:
        """Whether this process decides and prints."""
        return self._state.is_main_process

    @property
    def count(self) -> int:
        """Number of processes."""
        return self._state.num_processes

    def share(self, items: Sequence[T]) -> list[T]:
        """Return this process's share: every ``count``-th item, starting at its rank."""
        return list(items[self._state.process_index :: self.count])

    def on_main(self, decide: Callable[[], T]) -> T:
        """Run a function in the main process and return its result in every process.

        Raises:
            ReeltuneError: In the main process; the others exit silently with its exit code.
        """
        message: list[Any] = [None, None]  # result, exit code
        if self.is_main:
            try:
                message[0] = decide()
            except ReeltuneError as error:
                broadcast_object_list([None, error.exit_code])
                raise
        broadcast_object_list(message)
        if message[1] is not None:
            raise SystemExit(message[1])
        return message[0]

    def main_first(self, work: Callable[[], T]) -> T:
        """Run a function in every process, in the main process before the others.

        Raises:
            ReeltuneError: In the main process; the others exit silently with its exit code.
        """
        result: list[T] = []
        self.on_main(lambda: result.append(work()))
        return result[0] if self.is_main else work()

    def wait(self) -> None:
        """Wait for every process."""
        self._state.wait_for_everyone()

    def close(self) -> None:
        """Leave the process group."""
        self._state.destroy_process_group()
