"""Two processes that share one model's weights (FSDP) learn what one process learns.

accelerate shards on GPUs only: its state switches FSDP on for those kinds of processes. Here that
state is given FSDP for processes of a CPU, with gloo; all else is what runs on GPUs.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_multi_gpu_env
from safetensors.torch import load_file

from reeltune.errors import RunError
from reeltune.models import choices
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


def scale_on_a_cpu() -> None:
    """Shard in float16 with loss scaling, which accelerate has for GPUs only.

    The gradients that one process has in the second step overflow.
    """
    shard_on_a_cpu()
    choices._dtype = lambda *_: choices.Choice(torch.float16, "for the test")
    inner, clip, steps = Accelerator.__init__, Accelerator.clip_grad_norm_, count(1)

    def with_scaler(self: Any, *args: Any, **kwargs: Any) -> None:
        inner(self, *args, **kwargs)
        self.native_amp, self.scaler = True, torch.amp.GradScaler("cpu", init_scale=1024.0)

    def overflowing(self: Any, parameters: Any, *args: Any, **kwargs: Any) -> Any:
        parameters = list(parameters)
        if next(steps) == 2 and os.environ["RANK"] == "1":
            gradient = next(each.grad for each in parameters if each.grad is not None)
            gradient.to_local().fill_(torch.inf)
        return clip(self, parameters, *args, **kwargs)

    Accelerator.__init__, Accelerator.clip_grad_norm_ = with_scaler, overflowing


def scale_until_checkpoint_2() -> None:
    """Do both."""
    scale_on_a_cpu()
    kill_after_checkpoint_2()


def shard_until_checkpoint_2() -> None:
    """Do both."""
    shard_on_a_cpu()
    kill_after_checkpoint_2()


def kill_after_checkpoint_2() -> None:
    """Kill this process once it has written its files of the second checkpoint."""
    save = WriteChecksums.on_save

    def killing(self: WriteChecksums, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        save(self, args, state, control, **kwargs)
        if state.global_step == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    WriteChecksums.on_save = killing  # type: ignore[method-assign]


def start(*words: str, before: Callable[[], None] = shard_on_a_cpu) -> list[Any]:
    return forked.several(2, [*COMMAND, *words], more=fsdp_environment(), before=before)


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be forked"),
    pytest.mark.skipif("CI" in os.environ, reason="four processes for over 10 s: unset CI to run"),
]


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


def test_in_float16_an_overflow_skips_the_step_in_all_processes_and_the_scale_is_resumed(
    tiny_qwen3, prepared, tmp_path
):
    settings = {"lora__dropout": 0.0, "model__dtype": "float16", "train__batch_size": 1}
    steps = {
        "train__max_steps": 3,
        "train__eval_steps": 1,
        "train__save_steps": 1,
        "train__save_total_limit": 3,
    }
    overrides = tiny_overrides(tiny_qwen3, prepared.path, tmp_path, **settings, **steps)
    words = [part for override in overrides for part in ("--set", override)]
    killed = start(*words, before=scale_until_checkpoint_2)
    assert [process.wait() for process in killed] == [-signal.SIGKILL] * 2
    resumed = start(*words, "--resume", before=scale_on_a_cpu)
    assert [process.wait() for process in resumed] == [0, 0]
    run = RunFolder(tmp_path / "run")
    assert run.record()["resumed_from"] == ["checkpoint-2"]
    saved = [run.path / f"checkpoint-{step}" for step in (1, 2, 3)]
    scales = [torch.load(folder / "scaler.pt")["scale"] for folder in saved]
    assert scales == [1024, 512, 512]
    first, second, third = (load_file(folder / ADAPTER_WEIGHTS) for folder in saved)
    for name, weights in first.items():
        assert torch.equal(second[name], weights)
        assert weights.dtype == torch.float32
        assert bool(third[name].isfinite().all())
    assert any(not torch.equal(third[name], second[name]) for name in third)
