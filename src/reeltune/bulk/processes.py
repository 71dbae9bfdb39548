"""The processes of one launch: which of them does what, and what they agree on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from accelerate.utils import broadcast_object_list

from reeltune.errors import ReeltuneError
from reeltune.models.processes import process_state

T = TypeVar("T")


class Processes:
    """The processes that ``accelerate launch`` or ``torchrun`` started, or this one alone."""

    def __init__(self) -> None:
        self._state = process_state()

    @property
    def main(self) -> bool:
        """Whether this is the process that speaks and decides."""
        return self._state.is_main_process

    @property
    def count(self) -> int:
        """How many there are."""
        return self._state.num_processes

    def share(self, items: Sequence[T]) -> list[T]:
        """Return what this process is to do: every ``count``-th item, from its own number on."""
        return list(items[self._state.process_index :: self.count])

    def decided_by_main(self, decide: Callable[[], T]) -> T:
        """Return in every process what the main one decides.

        Args:
            decide: Called in the main process alone.

        Raises:
            ReeltuneError: In the main process; the others leave in silence, with its exit code.
        """
        told: list[Any] = [None, None]
        if self.main:
            try:
                told[0] = decide()
            except ReeltuneError as error:
                broadcast_object_list([None, error.exit_code])
                raise
        broadcast_object_list(told)
        if told[1] is not None:
            raise SystemExit(told[1])
        return told[0]

    def main_first(self, work: Callable[[], T]) -> T:
        """Return in every process what it makes itself, once the main one has made it.

        Raises:
            ReeltuneError: In the main process; the others leave in silence, with its exit code.
        """
        made: list[T] = []
        self.decided_by_main(lambda: made.append(work()))
        return made[0] if self.main else work()

    def wait(self) -> None:
        """Go on when every process is here."""
        self._state.wait_for_everyone()

    def part(self) -> None:
        """Leave the group; nothing may be agreed on afterwards."""
        self._state.destroy_process_group()
