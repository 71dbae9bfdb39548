"""Two processes that share one model's weights (FSDP) learn what one process learns.

accelerate shards on GPUs only: its state switches FSDP on for those kinds of processes. Here that
state is given FSDP for processes of a CPU, with gloo; all else is what runs on GPUs.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_multi_gpu_env
from safetensors.torch import load_file

from reeltune.errors import RunError
from reeltune.runs.folder import ADAPTER_WEIGHTS, RunFolder
from reeltune.training.checkpoints import WriteChecksums
from reeltune.training.train import train
from tests import forked
from tests.errors import raises_error
from tests.runs import tiny_config, tiny_overrides
from tests.training.test_processes import measured

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "reeltune", "train", "--config", os.devnull]


def fsdp_environment() -> dict[str, str]:
    """Return what ``accelerate launch`` sets for the processes of the example."""
    file = str(ROOT / "examples" / "fsdp.yaml")
    parsed = launch_command_parser().parse_args(["--config_file", file, "script"])
    values = prepare_multi_gpu_env(_validate_launch_command(parsed)[0])
    return {name: value for name, value in values.items() if "FSDP" in name}


def shard_on_a_cpu() -> None:
    """Let accelerate shard over processes without a GPU."""
    inner = AcceleratorState.__init__

    def with_fsdp(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        inner(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None:
            self.fsdp_plugin = fsdp_plugin
            self.distributed_type = DistributedType.FSDP
            PartialState._shared_state["distributed_type"] = self.distributed_type

    AcceleratorState.__init__ = with_fsdp


def shard_until_checkpoint_2() -> None:
    """Shard, and kill this process once it has written its files of the second checkpoint."""
    shard_on_a_cpu()
    save = WriteChecksums.on_save

    def killing(self: WriteChecksums, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        save(self, args, state, control, **kwargs)
        if state.global_step == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    WriteChecksums.on_save = killing  # type: ignore[method-assign]


def start(*words: str, before: Callable[[], None] = shard_on_a_cpu) -> list[Any]:
    return forked.several(2, [*COMMAND, *words], more=fsdp_environment(), before=before)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be forked")
@pytest.mark.skipif("CI" in os.environ, reason="four processes for over 10 s: unset CI to run it")
def test_a_sharded_killed_and_resumed_run_learns_as_one_process_does(
    tiny_qwen3, prepared, tmp_path
):
    settings = {
        "lora__dropout": 0.0,
        "data__max_eval_examples": 20,
        # The two processes have different numbers of batches to score.
        "scoring__tokens_per_batch": 1024,
        "train__max_steps": 3,
        "train__eval_steps": 1,
        "train__save_steps": 1,
        "train__metric_for_best_model": "eval_log_loss",
    }
    alone = train(
        tiny_config(tiny_qwen3, prepared.path, tmp_path / "one", train__batch_size=2, **settings)
    )
    work = tmp_path / "two"
    overrides = tiny_overrides(tiny_qwen3, prepared.path, work, train__batch_size=1, **settings)
    words = [part for override in overrides for part in ("--set", override)]
    run = RunFolder(work / "run")
    killed = start(*words, before=shard_until_checkpoint_2)
    assert [process.wait() for process in killed] == [-signal.SIGKILL] * 2
    with raises_error(RunError, "resume_other_launch", where=str(run.path)):
        train(tiny_config(tiny_qwen3, prepared.path, work, train__batch_size=1, **settings), True)
    assert [process.wait() for process in start(*words, "--resume")] == [0, 0]
    assert run.record()["resumed_from"] == ["checkpoint-2"]
    assert len(run.record()["peak_memory_by_process"]) == 2
    # A hundredth of a step of AdamW, which enlarges what is rounding in a gradient.
    for folder in ("", "checkpoint-3"):
        expected, found = (load_file(at / folder / ADAPTER_WEIGHTS) for at in (alone, run.path))
        assert found.keys() == expected.keys()
        for name, weights in expected.items():
            torch.testing.assert_close(found[name], weights, rtol=0, atol=1e-4)
    assert measured(run.path) == pytest.approx(measured(alone), abs=1e-5)
