"""What torch's dynamo exporter notes of initialisers: which are parameters, and which were computed from one.

The notes are metadata of the graph's value infos: ``pkg.torch.export.graph_signature.InputSpec.kind`` (PARAMETER, BUFFER …) and
``pkg.onnxscript.optimizer.folded_from``, the names of all values that a folded constant was computed from.
"""

from __future__ import annotations

import re

import onnx
import torch

_KIND = "pkg.torch.export.graph_signature.InputSpec.kind"
_FOLDED = "pkg.onnxscript.optimizer.folded_from"
_PARAMETRISED = ".parametrizations."
_QUOTED = re.compile(r"'([^']*)'")
_NUMBER = re.compile(r"(_default)?(_\d+)?$")
_MADE = re.compile(r"^(val|tmp|int64|index_tensor|cond|num_bag|indices|offsets|dim|size|shape|axes|one|zero)(_|$)")
"""What values are called in the functions of the exporter's own library."""
_PYTHON = frozenset(
    ("getitem", "sym_size_int", "convert_element_type", "threshold_cast", "const", "min_val", "max_val")
)
"""Names of values that are no operators of aten's, and no parameters either."""

_STATE = (
    *("running_mean", "running_var", "num_batches_tracked", "inv_freq", "mask", "position_ids", "token_type_ids"),
    *("embed_positions", "index", "cos_cached", "sin_cached"),
)


class Origins:
    """The notes on the initialisers of one graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._kinds: dict[str, str] = {}
        self._folded: dict[str, list[str]] = {}
        self._computed = {name for node in graph.node for name in node.output} | {value.name for value in graph.input}
        for value in graph.value_info:
            for note in value.metadata_props:
                if note.key == _KIND:
                    self._kinds[value.name] = note.value
                elif note.key == _FOLDED:
                    self._folded[value.name] = _QUOTED.findall(note.value)

    @property
    def known(self) -> bool:
        """Whether the file has such notes."""
        return bool(self._kinds)

    def is_parameter(self, name: str) -> bool:
        """Whether the notes say that it is one."""
        return self._kinds.get(name) == "PARAMETER"

    def is_buffer(self, name: str) -> bool:
        """Whether the notes say that it is a buffer or a constant."""
        return self._kinds.get(name, "PARAMETER") != "PARAMETER"

    def root(self, name: str) -> str | None:
        """The one parameter that a folded constant was computed from; None where there is none, or more than one."""
        roots = [
            each
            for each in self._folded.get(name, ())
            if may_be_parameter(each) and not is_state(each) and each not in self._computed and not self.is_buffer(each)
        ]
        ready = {
            f"{path}.{rest.partition('.')[0]}" for path, _, rest in (each.partition(_PARAMETRISED) for each in roots)
        }
        if len(ready) == 1 and all(_PARAMETRISED in each for each in roots):
            return ready.pop()  # of a weight norm, a spectral norm
        return roots[0] if len(roots) == 1 else None


def note_parameter(graph: onnx.GraphProto, name: str) -> None:
    """Write down, as the exporter does, that `name` is a parameter."""
    value = graph.value_info.add(name=name)
    value.metadata_props.add(key=_KIND, value="PARAMETER")


def is_state(name: str) -> bool:
    """Whether the last part of a name is what buffers, or constants that the exporter found, are called."""
    last = name.rpartition(".")[2]
    return last.endswith(_STATE) or last.startswith("lifted_tensor")


def may_be_parameter(name: str) -> bool:
    """Parameters have dots, but for those of the model itself; all other values are called after operators of torch."""
    plain = _NUMBER.sub("", name, count=1)
    return "." in name or not (_MADE.match(name) or plain in _PYTHON or hasattr(torch.ops.aten, plain))
