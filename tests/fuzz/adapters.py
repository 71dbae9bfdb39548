"""Runs and base models, damaged, then loaded for predictions."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file

from reeltune.api.recommender import load
from reeltune.data.history import History
from reeltune.scoring.predictor import Predictor, Query
from tests.fuzz.campaign import Case, Kind
from tests.fuzz.damage import damage_file, damage_json_file, damage_path, pick
from tests.fuzz.workplace import Workplace

WEIGHTS = "adapter_model.safetensors"
ADAPTER_FILES = (WEIGHTS, "adapter_config.json", "prompt.json", "run.json")
BASE_FILES = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json")
EXACT = 1e-7
"""Predictions on the same machine, of the same weights, batched in the same way."""

State = dict[str, torch.Tensor]


class Adapters(Kind):
    """An answer must be that of the undamaged adapter on the undamaged base model."""

    name: ClassVar[str] = "adapters"

    def __init__(self, workplace: Workplace) -> None:
        super().__init__(workplace)
        self._right = _p_yes(workplace.run)

    def make(self, random: Random, folder: Path) -> Case:
        run, base = folder / "run", folder / "model"
        run.mkdir()
        for file in self.workplace.run.iterdir():
            if file.is_file():
                shutil.copyfile(file, run / file.name)
        shutil.copytree(self.workplace.model, base)  # run.json names it relative to the run
        way = random.choice(("tensors", "tensors", "bytes", "json", "json", "path", "base"))
        if way == "tensors":
            description = _edit_tensors(random, run / WEIGHTS)
        elif way == "bytes":
            description = damage_file(random, run / random.choice(ADAPTER_FILES))
        elif way == "json":
            description = damage_json_file(random, run / random.choice(ADAPTER_FILES[1:]))
        elif way == "path":
            name = random.choice(ADAPTER_FILES)
            other = self.workplace.other_adapter / name
            description = damage_path(
                random, run / name, other if other.exists() else run / "README.md"
            )
        else:
            file = base / random.choice(BASE_FILES)
            change = random.choice((damage_file, _edit_base))
            description = f"base model: {change(random, file)}"

        def use(_: list[str]) -> str | None:
            p_yes = _p_yes(run)
            difference = float(np.abs(p_yes - self._right).max())
            if not difference <= EXACT:  # NaN is no answer either
                return f"P(Yes) differs by {difference}"
            return None

        return Case(description, use)


def _p_yes(run: Path) -> npt.NDArray[np.floating[Any]]:
    """Load a run, and return a few predictions."""
    predictor: Predictor = load(run).predictor
    queries = [
        Query(History.of([0, 3, 5], [4.5, 2.0, 3.5]), np.array([1, 7, 12])),
        Query(History.of([9], [1.0]), np.array([2])),
    ]
    return np.concatenate([each.p_yes for each in predictor.predict(queries)])


def _edit_base(random: Random, file: Path) -> str:
    if file.suffix == ".json":
        return damage_json_file(random, file)
    return _edit_tensors(random, file)


def _edit_tensors(random: Random, file: Path) -> str:
    """Rename, remove, add or change tensors of a file."""
    state = {name: tensor.clone() for name, tensor in load_file(file).items()}
    names = sorted(state)
    name, other = random.choice(names), random.choice(names)
    old = state[name]

    def put(changed: State, description: str) -> str:
        tensors = {key: tensor.clone().contiguous() for key, tensor in changed.items()}
        save_file(tensors, file, metadata={"format": "pt"})
        return f"{file.name}: {description}"

    def renamed(change: Callable[[str], str], description: str) -> str:
        return put({change(key): tensor for key, tensor in state.items()}, description)

    def only(change: Callable[[torch.Tensor], torch.Tensor], description: str) -> str:
        return put({**state, name: change(old)}, f"{name}: {description}")

    def every(change: Callable[[torch.Tensor], torch.Tensor], description: str) -> str:
        return put({key: change(tensor) for key, tensor in state.items()}, description)

    def one_value(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
        def change(tensor: torch.Tensor) -> torch.Tensor:
            changed = tensor.clone()
            changed.view(-1)[random.randrange(changed.numel())] = value
            return changed

        return change

    rest = {key: tensor for key, tensor in state.items() if key != name}
    return pick(
        random,
        (
            lambda: put(rest, f"{name} removed"),
            lambda: put(dict(list(state.items())[: len(state) // 2]), "half of the tensors"),
            lambda: put({name: old}, f"only {name}"),
            lambda: put({}, "no tensors"),
            lambda: put({**state, "x": old}, "a tensor more"),
            lambda: put({**state, f"{name}.x": old}, f"{name}.x added"),
            lambda: put({**rest, f"{name}_": old}, f"{name} renamed"),
            lambda: renamed(lambda key: f"module.{key}", "every name with a prefix"),
            lambda: renamed(lambda key: key.removeprefix("base_model."), "names without prefix"),
            lambda: renamed(lambda key: key.replace(".0.", ".7."), "another layer"),
            lambda: renamed(lambda key: key.replace("layers", "h"), "names of another model"),
            lambda: renamed(lambda key: key.replace(".weight", ".default.weight"), "other names"),
            lambda: renamed(lambda key: key.swapcase(), "names in capitals"),
            lambda: put({**state, name: state[other], other: old}, f"{name} and {other} swapped"),
            lambda: only(lambda t: torch.full_like(t, float("nan")), "NaN"),
            lambda: only(one_value(float("nan")), "one NaN"),
            lambda: only(one_value(float("inf")), "one infinity"),
            lambda: only(one_value(1e30), "one huge value"),
            lambda: only(torch.zeros_like, "zeros"),
            lambda: only(lambda t: t.T, "transposed"),
            lambda: only(lambda t: t.flatten(), "flat"),
            lambda: only(lambda t: torch.cat([t, t]), "twice as long"),
            lambda: only(lambda t: t[:1], "its first row"),
            lambda: only(lambda t: t * 1.5, "larger by half"),
            lambda: only(lambda t: t.flip(0), "rows in reverse"),
            lambda: every(torch.zeros_like, "all zeros"),
            lambda: every(lambda t: t * 0.5, "all halved"),
            lambda: every(lambda t: t.to(torch.bfloat16), "all in bfloat16"),
            lambda: every(lambda t: t.to(torch.int8), "all whole numbers"),
            lambda: every(lambda t: t.to(torch.float64), "all in float64"),
        ),
    )
