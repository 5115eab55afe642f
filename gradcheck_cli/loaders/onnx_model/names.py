"""Which module calls a node ran in, as the user wrote them: from exporter metadata, or from node names.

torch's dynamo exporter writes them down (``pkg.torch.onnx.name_scopes``), its older exporter puts them into the node's name
(``/layer1/layer1.0/conv1/Conv``), Keras and tf2onnx into a path with slashes. Other nodes tell nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable

import onnx

from gradcheck_cli.loaders.onnx_model.program import Frame

Frames = tuple[Frame, ...]
MAX_DEPTH = 60
"""Of modules within modules: names are the file's own, and a tree of them is walked recursively."""
MAX_LENGTH = 300
_SCOPES = "pkg.torch.onnx.name_scopes"
_CLASSES = "pkg.torch.onnx.class_hierarchy"
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")
_WRAPPERS = re.compile(r"^(StatefulPartitionedCall|PartitionedCall|tf2onnx|(model|functional|sequential)(_\d+)*)$")
"""Names around everything that Keras and tf2onnx made and that the user did not."""
_NUMBERED = re.compile(r"^(.+?)(_\d+)$")
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

    def __init__(self, nodes: Iterable[onnx.NodeProto], initial: Iterable[str] = ()) -> None:
        """`nodes`: all of the main graph; some names tell something only beside others. `initial`: the initialisers' names."""
        listed = list(nodes)
        self._paths = [_old_pieces(node.name) for node in listed if node.name.startswith("/")]
        self._siblings = {tuple(pieces[: depth + 1]) for pieces in self._paths for depth in range(len(pieces))}
        self._counts: dict[tuple[str, ...], int] = {}
        for pieces in self._paths:
            self._counts[tuple(pieces)] = self._counts.get(tuple(pieces), 0) + 1
        self._uncalled = self._find_uncalled(listed, set(initial))
        self.of_dynamo = any(_scopes(node) is not None for node in listed)
        """The nodes say which classes their modules are."""
        self.of_torch = bool(self._paths) or self.of_dynamo
        """The file comes from one of torch's exporters."""
        self._suffix = _common_suffix(listed)
        """Of all layers of a model that Keras traced again: ``_1``."""

    def frames(self, node: onnx.NodeProto) -> Frames | None:
        """The module calls around a node, outermost first; None where its name tells nothing."""
        scopes = _scopes(node)
        if scopes is not None:
            return _bounded(scopes)
        if node.name.startswith("/"):
            return _bounded(self._old_frames(node))
        if not self.of_torch and "/" in node.name:
            return _bounded(self._slashed(node.name))
        return None

    def module_of(self, initial: str) -> str:
        """The path in the name of an initialiser of Keras's: ``functional_1/stem_1/convolution/merged_input:0`` → ``stem``."""
        if self.of_torch or "/" not in initial or self._suffix is None:
            return ""
        frames = _bounded(self._slashed(initial))
        return frames[-1][0] if frames else ""

    def _slashed(self, name: str) -> Frames:
        pieces = _slashed_pieces(name)
        if self._suffix is not None:  # what has it is a layer, and not an operation in it
            end = next((at for at, piece in enumerate(pieces) if not piece.endswith(self._suffix)), len(pieces))
            pieces = [piece.removesuffix(self._suffix) for piece in pieces[:end]]
        path = ".".join(pieces)
        return ((path, MODULE),) if path else ()

    def _old_frames(self, node: onnx.NodeProto) -> Frames:
        pieces = self._merged(_old_pieces(node.name))
        frames: list[Frame] = []
        for depth, path in enumerate(_paths(pieces, self._uncalled.get(pieces[0], "") if pieces else "")):
            alone = depth == len(pieces) - 1 and self._counts.get(tuple(pieces), 0) == 1
            frames.append((path, kind_of(node) if alone else MODULE))
        return tuple(frames)

    def _find_uncalled(self, nodes: Iterable[onnx.NodeProto], initial: Collection[str]) -> dict[str, str]:
        """Outermost module in the nodes' names → path of the module around it, where that is not called itself.

        After ``self.model.decoder(x)`` nodes begin with ``/decoder``, and their weights with ``model.decoder``.
        """
        around: dict[str, set[str]] = {}
        for node in nodes:
            pieces = self._merged(_old_pieces(node.name)) if node.name.startswith("/") else []
            path = _paths(pieces)[-1] if pieces else ""
            for name in node.input:
                owner = name.rpartition(".")[0]
                if path and name in initial and f".{owner}".endswith(f".{path}"):
                    around.setdefault(pieces[0], set()).add(owner.removesuffix(path).removesuffix("."))
        return {piece: found.pop() for piece, found in around.items() if len(found) == 1}

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


def _paths(pieces: list[str], around: str = "") -> list[str]:
    """The module paths that the pieces of a node's name stand for, outermost first, all within the path `around`."""
    paths: list[str] = []
    path = around
    for depth, piece in enumerate(pieces):
        previous = pieces[depth - 1] if depth else ""
        # A child of a container comes with the container's name: layer1, layer1.0.
        within = bool(previous) and piece.startswith(previous + ".")
        path = path[: len(path) - len(previous)] + piece if within else _join(path, piece)
        paths.append(path)
    return paths


def _old_pieces(name: str) -> list[str]:
    return [piece for piece in name.split("/")[:-1] if piece]


def _slashed_pieces(name: str) -> list[str]:
    """Of the path that a node's name is, without its last part and without what converters put around it."""
    pieces = [piece.replace(".", "_") for piece in name.split("/") if piece]
    while len(pieces) > 1 and _WRAPPERS.match(pieces[0]):
        del pieces[0]
    return pieces[:-1]


def _common_suffix(nodes: Iterable[onnx.NodeProto]) -> str | None:
    """The number that most layers' names end with."""
    firsts = [pieces[0] for node in nodes if "/" in node.name and (pieces := _slashed_pieces(node.name))]
    found = Counter(numbered[2] for first in firsts if (numbered := _NUMBERED.match(first)))
    suffix, count = found.most_common(1)[0] if found else ("", 0)
    return suffix if 2 * count > len(firsts) and len(found) == 1 else None


def _join(path: str, piece: str) -> str:
    return f"{path}.{piece}" if path else piece


def _bounded(frames: Frames) -> Frames | None:
    last = frames[-1][0] if frames else ""
    return None if len(last) > MAX_LENGTH or last.count(".") > MAX_DEPTH else frames
