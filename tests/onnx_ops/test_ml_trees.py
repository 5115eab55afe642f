"""Ensembles of trees against ONNX Runtime on random forests."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from runtime_oracle import assert_same

from gradcheck_cli.onnx_ops.ml_tree_ensembles import tree_ensemble, tree_ensemble_classifier, tree_ensemble_regressor

Lists = dict[str, list[Any]]
TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"]
BRANCHES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
LABELS = [3, 5, 7]


class Forest:
    """Random trees of all kinds of branches; every leaf votes for every target."""

    def __init__(self, seed: int, targets: int, *, positive: bool = False, trees: int = 3, features: int = 4) -> None:
        self._rng = np.random.default_rng(seed)
        self._features = features
        names = ("treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids")
        self.nodes: Lists = {f"nodes_{name}": [] for name in (*names, "missing_value_tracks_true")}
        self._votes: Lists = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
        for tree in range(trees):
            self._grow(tree, 0, 4)
        for tree, node, mode in zip(*(self.nodes[f"nodes_{n}"] for n in ("treeids", "nodeids", "modes")), strict=True):
            for target in range(targets) if mode == "LEAF" else ():
                weight = self._rng.random() / trees if positive else self._rng.standard_normal()
                for name, value in zip(self._votes, (tree, node, target, float(weight)), strict=True):
                    self._votes[name].append(value)

    def _grow(self, tree: int, node: int, depth: int) -> int:
        """Add a node and all below; give the number of the next."""
        leaf = depth == 0 or (depth < 4 and self._rng.random() < 0.3)
        mode = "LEAF" if leaf else BRANCHES[self._rng.integers(0, 6)]
        feature, value = int(self._rng.integers(0, self._features)), float(self._rng.integers(-1, 2))
        missing, place = int(self._rng.integers(0, 2)), len(self.nodes["nodes_modes"])
        row = (tree, node, mode, feature, value, 0 if leaf else node + 1, 0, missing)
        for name, each in zip(self.nodes, row, strict=True):
            self.nodes[name].append(each)
        if leaf:
            return node + 1
        other = self._grow(tree, node + 1, depth - 1)
        self.nodes["nodes_falsenodeids"][place] = other
        return self._grow(tree, other, depth - 1)

    def votes(self, kind: str) -> Lists:
        """The votes as the attributes of a regressor (``target``) or of a classifier (``class``)."""
        return {f"{kind}_{name}": values for name, values in self._votes.items()}


def samples() -> np.ndarray:
    """Whole numbers, so that comparisons are often with the very same value, and a few that are missing."""
    x = np.random.default_rng(1).integers(-2, 3, (20, 4)).astype(np.float32)
    x[3, 1] = x[5] = np.nan
    return x


@pytest.mark.parametrize("how", ["SUM", "AVERAGE", "MIN", "MAX"])
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("opset", [1, 3])
def test_tree_ensemble_regressor_is_onnx_runtimes(how: str, transform: str, targets: int, opset: int) -> None:
    forest = Forest(opset, targets)
    base = {"base_values": [0.1, 0.2, 0.3][:targets]} if opset == 3 else {}
    options: dict[str, Any] = {"aggregate_function": how, "post_transform": transform, "n_targets": targets, **base}
    options |= {"domain": "ai.onnx.ml", "opset": opset, **forest.nodes, **forest.votes("target")}
    assert_same("TreeEnsembleRegressor", [samples()], **options)


def test_probit_is_onnx_runtimes() -> None:
    forest = Forest(0, 1, positive=True)
    options: dict[str, Any] = {"domain": "ai.onnx.ml", "opset": 3, "post_transform": "PROBIT", "n_targets": 1}
    options |= {**forest.nodes, **forest.votes("target")}
    assert_same("TreeEnsembleRegressor", [samples()], atol=1e-3, **options)


def test_doubles_are_onnx_runtimes() -> None:
    forest = Forest(2, 2)
    options: dict[str, Any] = {
        "domain": "ai.onnx.ml",
        "opset": 3,
        "n_targets": 2,
        **forest.nodes,
        **forest.votes("target"),
    }
    for name in ("nodes_values", "target_weights"):
        options[f"{name}_as_tensor"] = numpy_helper.from_array(np.array(options.pop(name)))
    assert_same("TreeEnsembleRegressor", [samples().astype(np.float64)], same_dtype=False, **options)  # float64 stays


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("with_base", [False, True])
def test_tree_ensemble_classifier_is_onnx_runtimes(
    transform: str, classes: int, positive: bool, with_base: bool
) -> None:
    forest = Forest(classes, classes, positive=positive)
    options: dict[str, Any] = {"post_transform": transform, "classlabels_int64s": LABELS[: max(classes, 2)]}
    options |= {"base_values": [0.1, -0.2, 0.05][:classes]} if with_base else {}
    options |= {"domain": "ai.onnx.ml", "opset": 3, **forest.nodes, **forest.votes("class")}
    assert_same("TreeEnsembleClassifier", [samples()], ["l", "s"], **options)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_scores_of_two_classes_are_onnx_runtimes(transform: str) -> None:
    """Of their labels ONNX Runtime says 0 and 1, whatever the file calls them."""
    forest = Forest(1, 2)
    options: dict[str, Any] = {"post_transform": transform, "classlabels_strings": ["no", "yes"]}
    options |= {"domain": "ai.onnx.ml", "opset": 1, **forest.nodes, **forest.votes("class")}
    assert_same("TreeEnsembleClassifier", [samples()], ["l", "s"], unlike=["l"], **options)
    del options["domain"], options["opset"]
    labels, scores = tree_ensemble_classifier(torch.from_numpy(samples()), **options)
    assert labels.tolist() == np.array(["no", "yes"])[scores.argmax(1).numpy()].tolist()


def test_leaves_pass_the_gradient_and_inputs_get_none() -> None:
    forest = Forest(4, 2)
    votes = forest.votes("target")
    weights = torch.tensor(votes.pop("target_weights"), dtype=torch.float64, requires_grad=True)
    x = torch.from_numpy(samples()).double().requires_grad_()
    for how in ("SUM", "AVERAGE", "MAX"):
        options: dict[str, Any] = {**forest.nodes, **votes, "n_targets": 2, "aggregate_function": how}
        found = tree_ensemble_regressor(x, target_weights=weights, **options)
        (gradient,) = torch.autograd.grad(found.sum(), x, allow_unused=True, retain_graph=True)
        assert gradient is None

        def regressed(w: torch.Tensor, options: dict[str, Any] = options) -> torch.Tensor:
            return tree_ensemble_regressor(x.detach(), target_weights=w, **options)

        assert torch.autograd.gradcheck(regressed, weights, fast_mode=True)


MEMBERSHIP: dict[str, Any] = {
    "tree_roots": [0],
    "nodes_featureids": [0, 0, 0],
    "nodes_modes": np.array([0, 6, 6], np.uint8),
    "nodes_splits": np.array([11.0, 232344.0, np.nan], np.float32),
    "nodes_truenodeids": [0, 1, 0],
    "nodes_falsenodeids": [1, 2, 1],
    "nodes_trueleafs": [1, 0, 1],
    "nodes_falseleafs": [0, 0, 1],
    "leaf_targetids": [0, 1],
    "leaf_weights": np.array([10.0, 20.0], np.float32),
    "membership_values": np.array([12.0, np.nan, 14.0, 15.0, np.nan], np.float32),
    "n_targets": 2,
}


def test_tree_ensemble_asks_for_members() -> None:
    attributes = {name: _tensor(value) for name, value in MEMBERSHIP.items()}
    attributes["nodes_truenodeids"] = [0, 0, 0]
    attributes["nodes_trueleafs"] = [1, 1, 1]
    x = np.array([[9.0], [12.0], [13.0], [14.0], [15.0], [np.nan]], np.float32)
    expected = [[10, 0], [10, 0], [0, 20], [10, 0], [10, 0], [0, 20]]
    plain: dict[str, Any] = {
        name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in MEMBERSHIP.items()
    }
    plain |= {"nodes_truenodeids": [0, 0, 0], "nodes_trueleafs": [1, 1, 1]}
    assert tree_ensemble(torch.from_numpy(x), **plain).tolist() == expected
    assert_same("TreeEnsemble", [x[:5]], domain="ai.onnx.ml", opset=5, **attributes)


def _tensor(value: Any) -> onnx.TensorProto | Any:
    return numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("how", [0, 1, 2, 3])
@pytest.mark.parametrize("mode", range(6))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tree_ensemble_is_onnx_runtimes(how: int, mode: int, dtype: type) -> None:
    attributes: dict[str, Any] = {
        "tree_roots": [0, 2],
        "nodes_featureids": [0, 1, 2],
        "nodes_modes": numpy_helper.from_array(np.array([mode, 0, mode], np.uint8)),
        "nodes_splits": numpy_helper.from_array(np.array([0.0, 1.0, -1.0], dtype)),
        "nodes_truenodeids": [1, 0, 3],
        "nodes_falsenodeids": [2, 1, 2],
        "nodes_trueleafs": [0, 1, 1],
        "nodes_falseleafs": [1, 1, 1],
        "leaf_targetids": [0, 1, 0, 1],
        "leaf_weights": numpy_helper.from_array(np.array([1.0, 2.0, -3.0, 4.0], dtype)),
        "n_targets": 2,
        "aggregate_function": how,
    }
    x: np.ndarray = samples()[6:, :3].astype(dtype)
    assert_same("TreeEnsemble", [x], domain="ai.onnx.ml", opset=5, **attributes)


def test_what_is_no_tree_is_refused() -> None:
    forest = Forest(0, 1)
    given: dict[str, Any] = {**forest.nodes, **forest.votes("target"), "n_targets": 1}
    x = torch.zeros(2, 4)
    with pytest.raises(ValueError, match="feature that does not exist"):
        tree_ensemble_regressor(torch.zeros(2, 1), **given)
    with pytest.raises(ValueError, match="not just one root"):
        tree_ensemble_regressor(x, **(given | {"nodes_falsenodeids": given["nodes_truenodeids"]}))
    with pytest.raises(ValueError, match="node that it does not have"):
        tree_ensemble_regressor(x, **(given | {"target_nodeids": [99] * len(given["target_ids"])}))
    with pytest.raises(ValueError, match="target that does not exist"):
        tree_ensemble_regressor(x, **(given | {"target_ids": [1] * len(given["target_ids"])}))
    with pytest.raises(ValueError, match="'MEDIAN'"):
        tree_ensemble_regressor(x, **given, aggregate_function="MEDIAN")


def test_a_cycle_comes_to_an_end() -> None:
    cycle: dict[str, Any] = {
        "tree_roots": [0], "nodes_featureids": [0, 0], "nodes_modes": torch.zeros(2, dtype=torch.uint8),
        "nodes_splits": torch.ones(2), "nodes_truenodeids": [1, 0], "nodes_falsenodeids": [1, 0],
        "nodes_trueleafs": [0, 0], "nodes_falseleafs": [0, 0], "leaf_targetids": [0], "leaf_weights": torch.ones(1),
    }  # fmt: skip
    with pytest.raises(ValueError, match="comes to no leaf"):
        tree_ensemble(torch.zeros(1, 1), **cycle)
