"""What an ONNX file says of itself, for `gradcheck inspect`: nothing of it is built or run, no data file is read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import onnx

from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.loaders.facts import DataFileFacts, OperatorFacts, TensorFacts
from gradcheck_cli.loaders.onnx_model import external, values
from gradcheck_cli.loaders.onnx_model.bodies import bodies
from gradcheck_cli.loaders.onnx_model.check import GraphFault, check
from gradcheck_cli.loaders.onnx_model.load import parse, read, unsupported
from gradcheck_cli.loaders.refusals import printable
from gradcheck_cli.loaders.source import Source
from gradcheck_cli.onnx_ops import table

MAX_SHOWN = 1000
"""Tensors, inputs and operators of each kind: a file may name any number."""


def describe(source: Source) -> dict[str, Any]:
    """Fields of `FileFacts`; ``needs`` says why it cannot be diagnosed, and is empty where it can.

    Raises:
        ModelError: the file is no protobuf message of an ONNX model.
    """
    message, _ = read(source)
    model = parse(message, source.path)
    remarks: list[str] = []
    needs = ""
    try:
        check(model)
    except GraphFault as fault:
        remarks.append(f"the ONNX graph cannot be run: {fault}")
        needs = "a whole and sound file: export the model again"
    stored = {value.name for value in model.graph.initializer}
    operators = _operators(model)
    missing = {(each.domain, each.name, each.version): each.count for each in operators if not each.supported}
    if missing:
        refusal = unsupported(missing, source.path)
        remarks.append(refusal.message)
        needs = needs or f"other operators: {refusal.hint}"
    files = _data_files(model, source)
    if any(file.bytes is None for file in files):
        needs = needs or "its data files, in the folder of the model"
    return {
        "versions": _versions(model),
        "producer": printable(f"{model.producer_name} {model.producer_version}".strip()),
        "tensors": tuple(map(_weight, model.graph.initializer))[:MAX_SHOWN],
        "inputs": tuple(_value(value) for value in model.graph.input if value.name not in stored)[:MAX_SHOWN],
        "outputs": tuple(map(_value, model.graph.output))[:MAX_SHOWN],
        "operators": operators[:MAX_SHOWN],
        "data_files": files,
        "remarks": tuple(remarks),
        "needs": needs,
    }


def _versions(model: onnx.ModelProto) -> dict[str, int]:
    listed = {printable(each.domain or "ai.onnx", 60): each.version for each in model.opset_import[:MAX_SHOWN]}
    return {"IR": model.ir_version, **listed}


def _operators(model: onnx.ModelProto) -> tuple[OperatorFacts, ...]:
    functions = {(each.domain, each.name) for each in model.functions}
    versions = _opsets(model.opset_import)
    counts: Counter[tuple[str, str, int]] = Counter()
    places = [(node, versions) for node in _nodes(model.graph)]
    for function in model.functions:
        graph = onnx.GraphProto(node=function.node)
        places += [(node, _opsets(function.opset_import)) for node in _nodes(graph)]
    for node, known in places:
        if (node.domain, node.op_type) not in functions:
            domain = "" if node.domain == "ai.onnx" else node.domain
            counts[(domain, node.op_type, known.get(domain, 1))] += 1
    return tuple(
        OperatorFacts(
            name=printable(name, 60),
            domain=printable(domain, 60),
            version=version,
            count=count,
            supported=table().find(domain, name, version) is not None,
        )
        for (domain, name, version), count in sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    )


def _opsets(imports: Iterable[onnx.OperatorSetIdProto]) -> Mapping[str, int]:
    return {"" if each.domain == "ai.onnx" else each.domain: each.version for each in imports}


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for each in (graph, *bodies(graph)):
        yield from each.node


def _weight(tensor: onnx.TensorProto) -> TensorFacts:
    return TensorFacts(name=printable(tensor.name), dtype=_type(tensor.data_type), shape=tuple(tensor.dims))


def _value(value: onnx.ValueInfoProto) -> TensorFacts:
    kind = value.type.tensor_type
    sizes = (
        each.dim_value if each.HasField("dim_value") else printable(each.dim_param or "?", 40)
        for each in kind.shape.dim
    )
    return TensorFacts(name=printable(value.name), dtype=_type(kind.elem_type), shape=tuple(sizes))


def _type(number: int) -> str:
    dtype = values.DTYPES.get(number)
    if dtype is not None:
        return str(dtype).removeprefix("torch.")
    known = number in onnx.TensorProto.DataType.values() and number
    return onnx.TensorProto.DataType.Name(number).lower() if known else "unknown"


def _data_files(model: onnx.ModelProto, source: Source) -> tuple[DataFileFacts, ...]:
    counts: Counter[str] = Counter()
    for graph in (model.graph, *bodies(model.graph)):
        for tensor in graph.initializer:
            entries = {each.key: each.value for each in tensor.external_data}
            if tensor.data_location == onnx.TensorProto.EXTERNAL and entries:
                counts[entries.get("location", "")] += 1
    return tuple(
        DataFileFacts(name=printable(name, 200), tensors=count, bytes=_size(source.path, name))
        for name, count in list(counts.items())[:MAX_SHOWN]
    )


def _size(path: str, location: str) -> int | None:
    try:
        with external.opened(path, location) as stream:
            return os.fstat(stream.fileno()).st_size
    except GradcheckError:
        return None
