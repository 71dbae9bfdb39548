"""Which process of a launch this is, and what device it has."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Final

import torch
from accelerate import PartialState

PATIENCE: Final = timedelta(days=30)
"""How long one process waits for another: longer than any share of the work takes.

The default of ten minutes would end a launch whose processes have unequal work. A process that dies
is noticed by the launcher, which ends the others.
"""


def process_state() -> PartialState:
    """Return the state of the launch that ``accelerate launch`` or ``torchrun`` began.

    Without one, it is that of this process alone.
    """
    several = "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1
    # Where there is no accelerator, each process takes itself for the only one unless told so.
    on_cpu = several and not torch.accelerator.is_available()
    return PartialState(cpu=on_cpu, timeout=PATIENCE)
