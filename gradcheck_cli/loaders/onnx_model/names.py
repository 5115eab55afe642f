"""Which module calls a node ran in, as the user wrote them: from exporter metadata, or from node names.

torch's dynamo exporter writes them down (``pkg.torch.onnx.name_scopes``), its older exporter puts them into the node's name
(``/layer1/layer1.0/conv1/Conv``), Keras and tf2onnx into a path with slashes. Other nodes tell nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import onnx

from gradcheck_cli.loaders.onnx_model.program import Frame

Frames = tuple[Frame, ...]
MAX_DEPTH = 60
"""Of modules within modules: names are the file's own, and a tree of them is walked recursively."""
MAX_LENGTH = 300
_SCOPES = "pkg.torch.onnx.name_scopes"
_CLASSES = "pkg.torch.onnx.class_hierarchy"
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")
_WRAPPERS = re.compile(
    r"^(StatefulPartitionedCall|PartitionedCall|tf2onnx|model_\d+|functional(_\d+)?|sequential(_\d+)?)$"
)
"""Names around everything that Keras and tf2onnx made and that the user did not."""
_NUMBERED = re.compile(r"^(.+)_\d+$")
MODULE = "Module"
"""Kind of a module that the file tells by name only."""

KINDS = {
    **{
        "Relu": "ReLU",
        "LeakyRelu": "LeakyReLU",
        "PRelu": "PReLU",
        "Elu": "ELU",
        "Selu": "SELU",
        "Celu": "CELU",
        "Gelu": "GELU",
    },
    **{
        "Sigmoid": "Sigmoid",
        "Tanh": "Tanh",
        "Softplus": "Softplus",
        "Softsign": "Softsign",
        "HardSigmoid": "Hardsigmoid",
    },
    **{"HardSwish": "Hardswish", "Mish": "Mish", "Swish": "SiLU", "Softmax": "Softmax", "LogSoftmax": "LogSoftmax"},
    **{
        "ThresholdedRelu": "Threshold",
        "Dropout": "Dropout",
        "Gemm": "Linear",
        "MatMul": "Linear",
        "Gather": "Embedding",
    },
    **{"FusedMatMul": "Linear", "FusedGemm": "Linear", "FastGelu": "GELU", "BiasGelu": "GELU", "QuickGelu": "GELU"},
    **{"LayerNormalization": "LayerNorm", "GroupNormalization": "GroupNorm", "RMSNormalization": "RMSNorm"},
    **{
        "BatchNormalization": "BatchNorm",
        "InstanceNormalization": "InstanceNorm",
        "LSTM": "LSTM",
        "GRU": "GRU",
        "RNN": "RNN",
    },
}
"""Operator → class name of the module that does the same in torch."""


def kind_of(node: onnx.NodeProto, weight_dims: int = 0) -> str:
    """Class name of the torch module that a node would be; `weight_dims`: of its weight, for convolutions."""
    if node.op_type in ("Conv", "FusedConv", "ConvTranspose", "QLinearConv"):
        name = "ConvTranspose" if node.op_type == "ConvTranspose" else "Conv"
        return f"{name}{weight_dims - 2}d" if weight_dims > 2 else name
    return KINDS.get(node.op_type, node.op_type)


class Names:
    """The module calls around the nodes of one model."""

    def __init__(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """`nodes`: all of the main graph; some names tell something only beside others."""
        listed = list(nodes)
        self._paths = [_old_pieces(node.name) for node in listed if node.name.startswith("/")]
        self._siblings = {tuple(pieces[: depth + 1]) for pieces in self._paths for depth in range(len(pieces))}
        self._counts: dict[tuple[str, ...], int] = {}
        for pieces in self._paths:
            self._counts[tuple(pieces)] = self._counts.get(tuple(pieces), 0) + 1
        self.of_dynamo = any(_scopes(node) for node in listed)
        """The nodes say which classes their modules are."""
        self.of_torch = bool(self._paths) or self.of_dynamo
        """The file comes from one of torch's exporters."""

    def frames(self, node: onnx.NodeProto) -> Frames | None:
        """The module calls around a node, outermost first; None where its name tells nothing."""
        scopes = _scopes(node)
        if scopes is not None:
            return _bounded(scopes)
        if node.name.startswith("/"):
            return _bounded(self._old_frames(node))
        if not self.of_torch and "/" in node.name:
            return _bounded(_slashed(node))
        return None

    def _old_frames(self, node: onnx.NodeProto) -> Frames:
        pieces = self._merged(_old_pieces(node.name))
        frames: list[Frame] = []
        path = ""
        for depth, piece in enumerate(pieces):
            previous = pieces[depth - 1] if depth else ""
            # A child of a container comes with the container's name: layer1, layer1.0.
            path = (
                path[: len(path) - len(previous)] + piece
                if previous and piece.startswith(previous + ".")
                else _join(path, piece)
            )
            alone = depth == len(pieces) - 1 and self._counts.get(tuple(pieces), 0) == 1
            frames.append((path, kind_of(node) if alone else MODULE))
        return tuple(frames)

    def _merged(self, pieces: list[str]) -> list[str]:
        """A module that is called again gets a number: ``relu_1`` is ``relu`` if there is one beside it."""
        merged = list(pieces)
        for depth, piece in enumerate(pieces):
            numbered = _NUMBERED.match(piece)
            if numbered and (*pieces[:depth], numbered[1]) in self._siblings:
                merged[depth] = numbered[1]
        return merged


def _scopes(node: onnx.NodeProto) -> Frames | None:
    notes = {each.key: each.value for each in node.metadata_props}
    if _SCOPES not in notes:
        return None
    paths, kinds = (_QUOTED.findall(notes.get(key, "")) for key in (_SCOPES, _CLASSES))
    kinds += [MODULE] * (len(paths) - len(kinds))
    pairs = zip(paths[:-1], kinds[: len(paths) - 1], strict=True)
    return tuple((path.partition("@")[0], kind.rpartition(".")[2]) for path, kind in pairs if path)


def _old_pieces(name: str) -> list[str]:
    return [piece for piece in name.split("/")[:-1] if piece]


def _slashed(node: onnx.NodeProto) -> Frames:
    pieces = [piece.replace(".", "_") for piece in node.name.split("/") if piece]
    while len(pieces) > 2 and _WRAPPERS.match(pieces[0]):
        del pieces[0]
    path = ".".join(pieces[:-1])
    return ((path, MODULE),) if path else ()


def _join(path: str, piece: str) -> str:
    return f"{path}.{piece}" if path else piece


def _bounded(frames: Frames) -> Frames | None:
    last = frames[-1][0] if frames else ""
    return None if len(last) > MAX_LENGTH or last.count(".") > MAX_DEPTH else frames
