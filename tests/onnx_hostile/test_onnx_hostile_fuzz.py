"""An honest ONNX file with some bytes or parts changed is refused or run. By hand: ``test_onnx_hostile_fuzz.py 20000 7``."""

from __future__ import annotations

import contextlib
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import onnx
from hostile_case import DIAGNOSED, model, saved, scalar, value, weight, whole
from hostile_run import in_child, warm_up
from onnx import TensorProto, helper

REFUSALS = {
    *("damaged-file", "truncated-file", "unsupported-operator", "not-a-model", "unsupported-format", "unsafe-path"),
    *("missing-file", "unreadable-file", "out-of-memory"),
}
RAN, FAILED = "runs", "its forward fails"
AT_ONCE = 250
"""Files that are looked at in one child."""


def varied() -> onnx.ModelProto:
    """A small model with something of everything."""
    node = helper.make_node
    inside = [node("Identity", ["going"], ["go"]), node("MatMul", ["s", "w"], ["m"]), node("Tanh", ["m"], ["t"])]
    body = helper.make_graph(
        inside,
        "body",
        [value("i", [], TensorProto.INT64), value("going", [], TensorProto.BOOL), value("s", ["N", 4])],
        [value("go", [], TensorProto.BOOL), value("t", ["N", 4])],
        [weight("w", 4, 4)],
    )
    twice = helper.make_function(
        "f", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 18)]
    )
    nodes = [
        node("Conv", ["x", "conv.weight", "conv.bias"], ["c"], name="/conv/Conv", kernel_shape=[3, 3], pads=[1] * 4),
        node("BatchNormalization", ["c", "norm.weight", "norm.bias", "mean", "var"], ["n"], epsilon=1e-5),
        node("Relu", ["n"], ["r"], name="/relu/Relu"),
        node("GlobalAveragePool", ["r"], ["p"]),
        node("Reshape", ["p", "shape"], ["q"]),
        node("Loop", ["trips", "", "q"], ["l"], body=body),
        node("Twice", ["l"], ["d"], domain="f"),
        node("Gemm", ["d", "head.weight", "head.bias"], ["g"], transB=1),
        node("Softmax", ["g"], ["y"], axis=-1),
    ]
    tensors = [
        *(weight("conv.weight", 4, 3, 3, 3), weight("conv.bias", 4), weight("norm.weight", 4), weight("norm.bias", 4)),
        *(weight("mean", 4), helper.make_tensor("var", TensorProto.FLOAT, [4], [1.0, 2.0, 1.0, 2.0])),
        *(whole("shape", 0, 4), scalar("trips", 3), weight("head.weight", 2, 4), weight("head.bias", 2)),
    ]
    return model(nodes, tensors, [value("x", ["N", 3, 6, 6])], [value("y", ["N", 2])], [twice], domains=["f"])


def mutated(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to eight changes: bits, bytes, pieces cut out, put in, or moved."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at, kind, length = rng.randrange(len(changed)), rng.choice((0, 0, 0, 1, 1, 2, 3, 4, 4)), rng.randrange(1, 9)
        if kind == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind == 2 and len(changed) > 100:
            del changed[at : at + length]
        elif kind == 3:
            changed[at:at] = rng.randbytes(length)
        else:
            other = rng.randrange(len(changed))
            changed[at : at + length] = changed[other : other + length]
    return bytes(changed)


EXTREMES = (0, 1, -1, 2, 3, 7, -3, 2**31, 2**40, 2**62, -(2**63), 2**63 - 1)
OPERATORS = (
    *("Add", "Transpose", "Squeeze", "Concat", "Slice", "Gather", "Expand", "Tile", "Pad", "MaxPool", "LSTM", "Resize"),
    *("Loop", "If", "Cast", "Split", "TopK", "ReduceMean", "ConstantOfShape", "Range", "MatMul", "Unsqueeze", "Einsum"),
)


def scrambled(rng: random.Random) -> bytes:
    """The model with one to four parts of it changed, as a message that can still be read."""
    found = varied()
    for _ in range(rng.choice((1, 1, 2, 4))):
        _scramble(found.graph, rng)
    return bytes(found.SerializeToString())


def _scramble(graph: onnx.GraphProto, rng: random.Random) -> None:
    names = [name for node in graph.node for name in (*node.input, *node.output)]
    node, tensor, kind = rng.choice(graph.node), rng.choice(graph.initializer), rng.randrange(9)
    if kind == 0 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif kind == 1:
        node.output[rng.randrange(len(node.output))] = rng.choice(names)
    elif kind == 2:
        node.op_type, node.domain = rng.choice(OPERATORS), ""
        if rng.random() < 0.7:
            del node.attribute[:]
    elif kind == 3 and node.attribute:
        attribute = rng.choice(node.attribute)
        attribute.i = rng.choice(EXTREMES)
        attribute.ints[:] = [rng.choice(EXTREMES) for _ in range(rng.randrange(5))]
    elif kind == 4:
        tensor.dims[:] = [rng.choice(EXTREMES) for _ in range(rng.randrange(4))]
    elif kind == 5:
        tensor.data_type = rng.randrange(30)
    elif kind == 6 and tensor.data_type == TensorProto.INT64:
        tensor.raw_data = b"".join(
            rng.choice(EXTREMES).to_bytes(8, "little", signed=True) for _ in range(len(tensor.raw_data) // 8)
        )
    elif kind == 7:
        graph.initializer.remove(tensor) if rng.random() < 0.5 else graph.node.remove(node)
    else:
        value_info = rng.choice([*graph.input, *graph.output]).type.tensor_type
        value_info.elem_type = rng.randrange(30)


def outcomes(count: int, seed: int, folder: Path) -> Counter[str]:
    """What comes of `count` mutations; one that crashes, hangs or raises something else is named by itself."""
    data, rng = bytes(varied().SerializeToString()), random.Random(seed)
    found: Counter[str] = Counter()
    files = [mutated(data, rng) if at % 2 else scrambled(rng) for at in range(count)]
    for begin in range(0, count, AT_ONCE):
        found.update(_of(files[begin : begin + AT_ONCE], folder))
    return found


def _of(files: list[bytes], folder: Path) -> Counter[str]:
    outcome = in_child(lambda: json.dumps(Counter(_one(data, folder) for data in files)))
    if outcome.what == DIAGNOSED:
        return Counter(json.loads(outcome.text))
    if len(files) == 1:
        (folder / f"crash-{abs(hash(files[0]))}.onnx").write_bytes(files[0])
        return Counter({f"{outcome.what}: {outcome.text}": 1})
    middle = len(files) // 2
    return _of(files[:middle], folder) + _of(files[middle:], folder)


def _one(data: bytes, folder: Path) -> str:
    import torch

    from gradcheck_cli.errors import GradcheckError
    from gradcheck_cli.loaders import inspect, load
    from gradcheck_cli.loaders.onnx_model.program import NodeError
    from gradcheck_cli.records import Batch

    path = saved(data, folder)
    with contextlib.suppress(GradcheckError):
        inspect(str(path))
    try:
        subject = load(str(path))
    except GradcheckError as error:
        return error.slug if str(error).isprintable() else f"unprintable: {error!r}"
    x = torch.zeros(2, 3, 6, 6)
    try:
        subject.module(x)
    except (NodeError, TypeError):  # inputs may be more
        return FAILED
    assert subject.parity is not None
    try:
        subject.parity(Batch((x,)))
    except GradcheckError as error:
        return error.slug
    return RAN


def test_mutations_of_a_file(tmp_path: Path) -> None:
    warm_up(saved(varied(), tmp_path))
    found = outcomes(500, 7, tmp_path)
    assert set(found) <= REFUSALS | {RAN, FAILED}, found
    assert {"damaged-file", "truncated-file", "unsupported-operator", RAN} <= set(found)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        warm_up(saved(varied(), Path(place)))
        for what, times in outcomes(int(sys.argv[1]), int(sys.argv[2]), Path(place)).most_common():
            sys.stdout.write(f"{times:7} {what}\n")
