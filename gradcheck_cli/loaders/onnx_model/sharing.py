"""Our weights in ONNX Runtime: it computes on the memory of our tensors, so that a big model lies in memory once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from gradcheck_cli.loaders.onnx_model import values
from gradcheck_cli.loaders.onnx_model.skeleton import BIG


def hand_over(graph: onnx.GraphProto, stored: Mapping[str, Any], options: Any) -> list[Any]:
    """Give the initialisers in `stored`, name → value, to the sessions that `options` make for `graph`, which is changed.

    What it returns must live as long as the session. Small ones are put into the graph: shapes are inferred by them.
    """
    import onnxruntime

    # An initialiser without data must lie in some file, which must be there, and is not read.
    place = Path(onnxruntime.__file__).resolve()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(place.parent))
    # Packed for faster products, the weights would be copies.
    options.add_session_config_entry("session.disable_prepacking", "1")
    shared = []
    for proto in graph.initializer:
        if proto.name not in stored:
            continue
        value = stored[proto.name]
        proto.ClearField("external_data")
        proto.ClearField("data_location")
        if value.nbytes < BIG:
            proto.raw_data = values.from_torch(value).tobytes()
            continue
        proto.data_location = onnx.TensorProto.EXTERNAL
        proto.external_data.add(key="location", value=place.name)
        shared.append(_view(np.ascontiguousarray(values.from_torch(value)), proto.data_type))
        options.add_initializer(proto.name, shared[-1])
    return shared


def _view(array: np.ndarray[Any, Any], element: int) -> Any:
    """ONNX Runtime's view of the same memory; types that numpy does not have go by their bits."""
    import onnxruntime

    if array.dtype.isbuiltin == 1:
        return onnxruntime.OrtValue.ortvalue_from_numpy(array)
    bits = array.view(np.uint16 if array.itemsize == 2 else np.uint8)
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, element)
