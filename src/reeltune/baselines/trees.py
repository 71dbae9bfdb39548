"""Trees of gradient boosting as arrays: kept without pickle, evaluated without scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reeltune.baselines.problem import Floats
from reeltune.errors import ModelError

Array = npt.NDArray[Any]

_VISITS: Final = 2**20
"""Pairs of a row and a tree that are evaluated at once: they bound the memory."""


@dataclass(frozen=True)
class BoostedTrees:
    """Binary trees of numerical features, whose leaves add up to log-odds.

    The nodes of all trees are in one array, each tree's one after another from its root. A row goes
    left if its feature is at most the threshold. Both children of a leaf are the leaf itself, and
    those of other nodes come after them.

    Attributes:
        baseline: Log-odds before the first tree, shape ``()``.
        features: Columns of a table, shape ``()``.
        root: Index of each tree's root, shape ``(trees,)``.
        feature: Column that a node tests, shape ``(nodes,)``, as of all others.
        threshold: The largest value that goes left.
        missing_left: Whether NaN goes left.
        left: Index of the left child.
        right: Index of the right child.
        value: What a leaf adds; anything at other nodes.
    """

    baseline: Floats
    features: npt.NDArray[np.int64]
    root: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int64]
    threshold: Floats
    missing_left: npt.NDArray[np.bool_]
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    value: Floats

    @classmethod
    def of(cls, model: Any, rounds: int) -> BoostedTrees:
        """Return the first trees of a fitted ``HistGradientBoostingClassifier`` of two classes.

        Raises:
            ModelError: This scikit-learn keeps its trees in another way.
        """
        try:
            trees = [tree.nodes for (tree,) in model._predictors[:rounds]]
            sizes = np.array([len(nodes) for nodes in trees])
            root = np.cumsum(sizes) - sizes
            node, index = np.concatenate(trees), np.arange(sizes.sum())
            leaf, first = node["is_leaf"] > 0, np.repeat(root, sizes)
            arrays = {
                "baseline": np.reshape(model._baseline_prediction, ()),
                "features": np.array(model.n_features_in_),
                "root": root,
                "feature": np.where(leaf, 0, node["feature_idx"]),
                "threshold": np.where(leaf, 0, node["num_threshold"]),
                "missing_left": node["missing_go_to_left"] > 0,
                "left": np.where(leaf, index, node["left"] + first),
                "right": np.where(leaf, index, node["right"] + first),
                "value": node["value"],
            }
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise ModelError(
                f"this version of scikit-learn stores its trees in an unknown way ({error})",
                code="unknown_tree_format",
                hint="Install the version in constraints.txt",
            ) from None
        return cls.from_arrays(arrays)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], where: str | None = None) -> BoostedTrees:
        """Return the trees of :meth:`to_arrays`; other arrays are ignored.

        Raises:
            ModelError: An array is missing, or they do not describe trees; ``where`` has them.
        """
        dtypes = {"baseline": float, "threshold": float, "value": float, "missing_left": bool}
        try:
            known = {
                field.name: arrays[field.name].astype(
                    dtypes.get(field.name, np.int64), casting="same_kind"
                )
                for field in fields(cls)
            }
        except (KeyError, TypeError) as error:
            raise damaged_boosting(str(error), where) from None
        trees = cls(**known)
        if not trees._is_valid():
            raise damaged_boosting("its arrays are no trees", where)
        return trees

    def to_arrays(self) -> dict[str, Array]:
        """Return the attributes by name; integers use 32 bits."""
        return {
            name: values.astype(np.int32) if values.dtype == np.int64 else values
            for name, values in ((field.name, getattr(self, field.name)) for field in fields(self))
        }

    def log_odds(self, table: Floats) -> Floats:
        """Return the log-odds of rows, shape ``(n,)``, each the same whatever the others are.

        Args:
            table: Features, shape ``(n, features)``.

        Raises:
            ModelError: The table has another number of columns.
        """
        if table.shape[1] != self.features:
            raise ModelError(
                f"gradient boosting was fitted to {self.features} features, and the data have "
                f"{table.shape[1]}",
                code="boosting_does_not_fit",
                hint="Use the data and the prompt settings it was fitted with",
            )
        rows = max(1, _VISITS // max(1, len(self.root)))
        parts = [self._sum(table[at : at + rows]) for at in range(0, len(table), rows)]
        return float(self.baseline) + np.concatenate([np.zeros(0), *parts])

    def p_yes(self, table: Floats) -> Floats:
        """Return P(Yes) of rows, shape ``(n,)``."""
        return 1 / (1 + np.exp(-self.log_odds(table)))

    def _sum(self, table: Floats) -> Floats:
        """Return the sum of the leaves that each row reaches, shape ``(n,)``."""
        values, missing = np.ravel(table), np.isnan(table).any()
        row = np.arange(len(table))[:, None] * table.shape[1]
        node = np.tile(self.root, (len(table), 1))
        for _ in range(self._depth):
            tested = values.take(row + self.feature.take(node))
            goes_left = tested <= self.threshold.take(node)
            if missing:
                goes_left |= np.isnan(tested) & self.missing_left.take(node)
            node = self._children.take(2 * node + goes_left)
        return self.value.take(node).sum(axis=1)

    @cached_property
    def _children(self) -> npt.NDArray[np.int64]:
        """The right and the left child of each node, one after the other."""
        return np.column_stack([self.right, self.left]).ravel()

    @cached_property
    def _depth(self) -> int:
        """Nodes that are tested from a root to a leaf, at most."""
        depth, nodes = 0, self.root
        while len(nodes := nodes[self.left[nodes] != nodes]):
            depth, nodes = depth + 1, np.concatenate([self.left[nodes], self.right[nodes]])
        return depth

    def _is_valid(self) -> bool:
        """Return whether shapes and indices are those of trees."""
        count, index = len(self.value) if self.value.ndim == 1 else -1, np.arange(self.value.size)
        per_node = (self.feature, self.threshold, self.missing_left, self.left, self.right)
        if any(values.shape != (count,) for values in per_node) or self.root.ndim != 1:
            return False
        if self.baseline.ndim or self.features.ndim or not np.isfinite(self.baseline):
            return False
        inner = (self.left != index) | (self.right != index)
        children = np.concatenate([self.left[inner], self.right[inner]])
        return bool(
            ((self.feature >= 0) & (self.feature < self.features)).all()
            and ((self.root >= 0) & (self.root < count)).all()
            and (children > np.tile(index[inner], 2)).all()
            and (children < count).all()
            and len(np.unique(children)) == len(children)
            and np.isfinite(self.value).all()
        )


def damaged_boosting(reason: str, where: str | None) -> ModelError:
    """Return the error about kept gradient boosting that cannot be read."""
    return ModelError(
        f"the kept gradient boosting is damaged or of another version ({reason})",
        code="boosting_damaged",
        where=where,
        hint="Copy the file again, or train again",
    )
