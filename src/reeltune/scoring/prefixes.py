"""Keys and values of trunks that were computed before, for the trunks that begin like them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import PreTrainedModel

from reeltune.attention.shared import Layers

Ids = npt.NDArray[np.int32]

_MOVING: Final = {"dynamic", "longrope"}
"""Rotary embeddings in which a token's key depends on how long the longest prompt of a pass is."""


@dataclass(frozen=True, eq=False)
class ModelState:
    """What keys and values depend on besides the tokens: the weights, and which adapters are on.

    Weights are compared as objects and by the counters of their changes in place.
    """

    switches: tuple[object, ...]
    weights: tuple[torch.nn.Parameter, ...]
    versions: tuple[int, ...]

    @classmethod
    def of(cls, model: PreTrainedModel | PeftModel) -> ModelState:
        """Return the present state of a model."""
        tuned = [layer for layer in model.modules() if isinstance(layer, BaseTunerLayer)]
        switches = tuple(
            (each.disable_adapters, *each.active_adapters, "merged", *each.merged_adapters)
            for each in tuned
        )
        weights = tuple(model.parameters())
        return cls(switches, weights, tuple(weight._version for weight in weights))

    def same(self, other: ModelState) -> bool:
        """Return whether keys and values are equal in both."""
        return (
            (self.switches, self.versions) == (other.switches, other.versions)
            and len(self.weights) == len(other.weights)
            and all(a is b for a, b in zip(self.weights, other.weights, strict=True))
        )


@dataclass(frozen=True, eq=False)
class _Entry:
    state: ModelState
    ids: Ids
    layers: Layers
    size: int


class PrefixCache:
    """Keys and values of the trunks used last, at most ``max_bytes`` in all.

    In a conversation that grows at its end, the trunk of a request is nearly a prefix of the next.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._entries: deque[_Entry] = deque()  # the one used last is the last

    @classmethod
    def for_model(cls, model: PreTrainedModel, max_bytes: int) -> PrefixCache | None:
        """Return a cache; None without room, on a GPU, and where keys depend on the batch."""
        rope = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
        nested = [value for value in rope.values() if isinstance(value, dict)]
        moving = any(each.get("rope_type") in _MOVING for each in (rope, *nested))
        return cls(max_bytes) if max_bytes and not moving and model.device.type == "cpu" else None

    @property
    def size(self) -> int:
        """Bytes in use."""
        return sum(entry.size for entry in self._entries)

    def find(self, state: ModelState, ids: Ids) -> tuple[int, Layers]:
        """Return how many of the first tokens are known, and their keys and values."""
        best, found = 0, None
        for entry in self._entries:
            if (common := _common(entry.ids, ids)) > best and entry.state.same(state):
                best, found = common, entry
        if found is None:
            return 0, []
        self._entries.remove(found)
        self._entries.append(found)
        return best, [(key[:, :best], value[:, :best]) for key, value in found.layers]

    def add(self, state: ModelState, ids: Ids, layers: Layers) -> None:
        """Keep the keys and values of all tokens, and drop what has not been used for longest."""
        size = sum(tensor.nbytes for layer in layers for tensor in layer)
        if size > self.max_bytes:
            return
        while self.size + size > self.max_bytes:
            self._entries.popleft()
        self._entries.append(_Entry(state, ids.copy(), layers, size))

    def clear(self) -> None:
        """Drop all of them."""
        self._entries.clear()


def joined(parts: list[Layers]) -> Layers:
    """Return the keys and values of several prefixes, one after the other."""
    layers: Layers = []
    for same_layer in zip(*parts, strict=True):
        keys, values = zip(*same_layer, strict=True)
        layers.append((torch.cat(keys, dim=1), torch.cat(values, dim=1)))
    return layers


def _common(first: Ids, second: Ids) -> int:
    """Return how many tokens two prompts have in common before the first difference."""
    shortest = min(len(first), len(second))
    differing = np.flatnonzero(first[:shortest] != second[:shortest])
    return int(differing[0]) if len(differing) else shortest
