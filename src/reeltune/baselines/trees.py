"""Trees of gradient boosting as arrays: kept without pickle, evaluated without scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reeltune.baselines.problem import Floats, Ints
from reeltune.errors import ModelError
from reeltune.ragged import offsets_of

Arrays = Mapping[str, npt.NDArray[Any]]

NODE: Final = np.dtype(
    [
        *(("feature", "<i4"), ("threshold", "<f8"), ("missing_left", "?")),
        *(("left", "<i4"), ("right", "<i4"), ("value", "<f8")),
    ]
)
"""A row goes left if the feature is at most the threshold, or NaN and ``missing_left``. Both
children of a leaf, which alone adds its value, are the leaf itself; others come after their node.
"""

_VISITS: Final = 2**20
"""Pairs of a row and a tree that are evaluated at once: they bound the memory."""


@dataclass(frozen=True)
class BoostedTrees:
    """Binary trees of numerical features, whose leaves add up to log-odds.

    Attributes:
        nodes: Of all trees, shape ``(nodes,)``, of type :data:`NODE`.
        root: Index of each tree's first node, shape ``(trees,)``.
        baseline: Log-odds before the first tree.
        features: Columns of a table.
    """

    nodes: npt.NDArray[Any]
    root: Ints
    baseline: float
    features: int

    @classmethod
    def of(cls, model: Any, rounds: int) -> BoostedTrees:
        """Return the first trees of a fitted ``HistGradientBoostingClassifier`` of two classes.

        Raises:
            ModelError: This scikit-learn stores its trees in another way.
        """
        try:
            trees = [tree.nodes for (tree,) in model._predictors[:rounds]]
            known, sizes = np.concatenate(trees), np.array([len(tree) for tree in trees])
            root, leaf = offsets_of(sizes)[:-1], known["is_leaf"] > 0
            nodes = np.zeros(len(known), NODE)
            nodes["feature"] = np.where(leaf, 0, known["feature_idx"])
            nodes["threshold"], nodes["value"] = known["num_threshold"], known["value"]
            nodes["missing_left"] = known["missing_go_to_left"]
            for side in ("left", "right"):
                child = known[side] + np.repeat(root, sizes)
                nodes[side] = np.where(leaf, np.arange(len(known)), child)
            baseline = float(model._baseline_prediction.item())
            return cls(nodes, root, baseline, model.n_features_in_)
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise ModelError(
                f"this version of scikit-learn stores its trees in an unknown way ({error})",
                code="unknown_tree_format",
                hint="Install the version in constraints.txt",
            ) from None

    @classmethod
    def from_arrays(cls, arrays: Arrays, where: str | None = None) -> BoostedTrees:
        """Return the trees of :meth:`to_arrays`; other arrays are ignored.

        Raises:
            ModelError: An array is missing, or they are no trees; ``where`` has them.
        """
        try:
            baseline, features = arrays["baseline"].item(), arrays["features"].item()
            trees = cls(arrays["nodes"], arrays["root"], float(baseline), int(features))
            trees._refuse_invalid()
        except (KeyError, TypeError, ValueError) as error:
            raise damaged_boosting(str(error), where) from None
        return trees

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the attributes by name."""
        return {name: np.asarray(getattr(self, name)) for name in self.__annotations__}

    def log_odds(self, table: Floats) -> Floats:
        """Return the log-odds of rows, shape ``(n,)``, each the same whatever the others are.

        Raises:
            ModelError: The table, of shape ``(n, features)``, has another number of columns.
        """
        if table.shape[1] != self.features:
            raise ModelError(
                f"gradient boosting was fitted to {self.features} features, and the data have "
                f"{table.shape[1]}",
                code="boosting_does_not_fit",
                hint="Use the data and the prompt settings it was fitted with",
            )
        rows = max(1, _VISITS // max(1, len(self.root)))
        sums = [self._sum(table[at : at + rows]) for at in range(0, len(table), rows)]
        return self.baseline + np.concatenate([np.zeros(0), *sums])

    def p_yes(self, table: Floats) -> Floats:
        """Return P(Yes) of rows, shape ``(n,)``."""
        return 1 / (1 + np.exp(-self.log_odds(table)))

    def _sum(self, table: Floats) -> Floats:
        """Return the sum of the leaves that each row reaches, shape ``(n,)``."""
        values, missing = np.ravel(table), np.isnan(table).any()
        row = np.arange(len(table))[:, None] * table.shape[1]
        node = np.tile(self.root, (len(table), 1))
        for _ in range(self._depth):
            tested = values.take(row + self.nodes["feature"].take(node))
            goes_left = tested <= self.nodes["threshold"].take(node)
            if missing:
                goes_left |= np.isnan(tested) & self.nodes["missing_left"].take(node)
            node = self._children.take(2 * node + goes_left)
        return self.nodes["value"].take(node).sum(axis=1)

    @cached_property
    def _children(self) -> Ints:
        """The right and the left child of each node, one after the other."""
        return np.column_stack([self.nodes["right"], self.nodes["left"]]).astype(np.int64).ravel()

    @cached_property
    def _depth(self) -> int:
        """Nodes that are tested from a root to a leaf, at most."""
        depth, node, left = 0, self.root, self.nodes["left"]
        while len(node := node[left[node] != node]):
            depth, node = depth + 1, np.concatenate([left[node], self.nodes["right"][node]])
        return depth

    def _refuse_invalid(self) -> None:
        if (self.nodes.dtype, self.nodes.ndim, self.root.dtype.kind) != (NODE, 1, "i"):
            raise ValueError("its nodes are of another type")
        index, sides = np.arange(len(self.nodes)), [self.nodes["left"], self.nodes["right"]]
        inner = np.flatnonzero(np.not_equal(sides, index).any(axis=0))
        child = np.take(sides, inner, axis=1)
        if not (
            np.isin([*self.root, *child.ravel()], index).all()
            and (child > inner).all()
            and len(np.unique(child)) == child.size
            and np.isin(self.nodes["feature"], np.arange(self.features)).all()
            and np.isfinite([self.baseline, *self.nodes["value"]]).all()
        ):
            raise ValueError("its nodes are no trees")


def damaged_boosting(reason: str, where: str | None) -> ModelError:
    """Return the error about kept gradient boosting that cannot be read."""
    return ModelError(
        f"the kept gradient boosting is damaged or of another version ({reason})",
        code="boosting_damaged",
        where=where,
        hint="Copy the file again, run reeltune evaluate, or give --no-fusion",
    )
