"""A checked model in ONNX Runtime: only what its outputs need, with the weights that were read here, and not for ever.

The runtime opens no file: weights outside of the model are handed to it in memory. All its optimisations are off.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import torch

from gradcheck_cli.loaders.onnx_model.bodies import hoist
from gradcheck_cli.loaders.onnx_model.compiler import needed, reads
from gradcheck_cli.loaders.onnx_model.sharing import hand_over

TIME_LIMIT = 120.0
"""Seconds that a run may take."""
Arrays = dict[str, np.ndarray[Any, Any]]


def outputs_of(model: onnx.ModelProto, stored: Mapping[str, Any], feed: Arrays, names: Iterable[str]) -> Arrays:
    """The values `names` of the main graph, for the inputs `feed`.

    Args:
        model: checked and `written_out`, and used up.
        stored: initialiser → value, for those whose data do not lie in `model`.
        feed: input → array.
        names: of values that nodes of the main graph give.

    Raises whatever ONNX Runtime raises.
    """
    import onnxruntime

    _prune_main(model, names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    shared = hand_over(model.graph, stored, options)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted = {value.name for value in session.get_inputs()}
    given = {name: array for name, array in feed.items() if name in wanted}
    outputs = [value.name for value in session.get_outputs()]
    results = _run(session, outputs, given)
    del session, shared  # the weights last
    return dict(zip(outputs, results, strict=True))


def written_out(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model as it is built: functions where they are called, and the weights of bodies in the main graph."""
    model = onnx.inliner.inline_local_functions(model) if model.functions else model
    hoist(model.graph)
    return model


def _prune_main(model: onnx.ModelProto, names: Iterable[str]) -> None:
    """Leave in `model` only what `names` need, in its bodies too: what nobody reads may be what never ends."""
    wanted = list(dict.fromkeys(names))
    graph = model.graph
    declared = {value.name: value for value in graph.output}
    outputs = [declared.get(name) or onnx.ValueInfoProto(name=name) for name in wanted]
    _prune(graph, wanted)
    read = set(wanted).union(*map(reads, graph.node))
    for kept, name_of in ((graph.initializer, _own), (graph.sparse_initializer, _of_values), (graph.input, _own)):
        unread = [index for index, each in enumerate(kept) if name_of(each) not in read]
        for index in reversed(unread):
            del kept[index]
    graph.ClearField("output")
    graph.output.extend(outputs)
    graph.ClearField("value_info")
    model.ClearField("training_info")


def _prune(graph: onnx.GraphProto, names: Iterable[str]) -> None:
    kept = needed(graph.node, names)
    if len(kept) < len(graph.node):
        del graph.node[:]
        graph.node.extend(kept)
    for node in graph.node:
        for each in node.attribute:
            if each.type == onnx.AttributeProto.GRAPH:
                _prune(each.g, [value.name for value in each.g.output])


def _run(session: Any, outputs: list[str], feed: Mapping[str, Any]) -> list[Any]:
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    timer = threading.Timer(TIME_LIMIT, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        return list(session.run(outputs, feed, options))
    finally:
        timer.cancel()


def _own(each: Any) -> str:
    return str(each.name)


def _of_values(each: Any) -> str:
    return str(each.values.name)
