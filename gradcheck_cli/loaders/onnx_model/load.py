"""Loads an ONNX file as a differentiable module: read, checked, its weights mapped, its graph compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from gradcheck_cli.errors import GradcheckError, ModelError
from gradcheck_cli.loaders.onnx_model import external, skeleton
from gradcheck_cli.loaders.onnx_model.bodies import hoist
from gradcheck_cli.loaders.onnx_model.build import build
from gradcheck_cli.loaders.onnx_model.check import GraphFault, check
from gradcheck_cli.loaders.onnx_model.compiler import AttributeFault, UnsupportedError
from gradcheck_cli.loaders.onnx_model.inputs import input_specs
from gradcheck_cli.loaders.onnx_model.module import OnnxModule
from gradcheck_cli.loaders.onnx_model.parity import Parity
from gradcheck_cli.loaders.refusals import BUILD_IN_PYTHON, Slug, printable, refuse
from gradcheck_cli.loaders.source import Source
from gradcheck_cli.records import Subject

FORMAT = "onnx"
MAX_BYTES = (2 << 30) - 1
"""Protobuf's own limit; more weights lie in files beside."""
_SAVE_AGAIN = "export the model again"


def load(source: Source) -> Subject:
    """The model as a module whose parameters have the user's names.

    Raises:
        ModelError: damaged, unsafe or unsupported.
    """
    message, stored = read(source)
    model = parse(message, source.path)
    try:
        check(model)
        hoist(model.graph)
        stored |= external.read(model.graph, source.path, known=stored)
        specs, lost = input_specs(model.graph), _lost({node.op_type for node in model.graph.node})
        module = build(model, stored)
    except (GradcheckError, MemoryError):
        raise
    except (GraphFault, AttributeFault) as error:
        raise refuse(Slug.DAMAGED_FILE, source.path, f"the ONNX graph cannot be run: {error}", _SAVE_AGAIN) from error
    except UnsupportedError as error:
        raise unsupported(error.missing, source.path) from error
    except Exception as error:  # whatever the libraries raise on what the checks let pass
        reason = printable(" ".join(str(error).split()), 200)
        raise refuse(
            Slug.DAMAGED_FILE, source.path, f"the ONNX graph cannot be built: {reason}", _SAVE_AGAIN
        ) from error
    return Subject(
        path=source.path,
        format=FORMAT,
        module=module,
        sha256=source.sha256,
        inputs=specs,
        mode_fixed=not _has_modes(module),
        remarks=(lost,),
        parity=Parity(module, message, stored, source.path),
    )


def read(source: Source) -> tuple[bytes, dict[str, Any]]:
    """The file's protobuf message without its big weights, and these. Raises a `ModelError` where the file is too big."""
    if source.size > MAX_BYTES:
        message = f"it has {source.size} bytes, over protobuf's limit of 2 GB"
        raise refuse(Slug.DAMAGED_FILE, source.path, message, "save it with external data")
    found = skeleton.read(source)
    return found.message, dict(found.stored)


def parse(message: bytes, path: str) -> onnx.ModelProto:
    """A file's protobuf message. Raises a `ModelError` where it is none."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(message)
    except DecodeError as error:
        raise refuse(
            Slug.TRUNCATED_FILE, path, "this ONNX file ends too early or is damaged", "copy or save it again"
        ) from error
    return model


def _lost(operators: set[str]) -> str:
    """What may be missing that the PyTorch model has; not what the file shows that it still has."""
    folded = "" if "BatchNormalization" in operators else "batch norms may be folded into the layers before them, "
    dropout = "" if "Dropout" in operators else "dropout is left out, "
    return f"ONNX is an inference format: {folded}{dropout}biases of zero may be missing, and tied weights apart"


def _has_modes(module: OnnxModule) -> bool:
    """Whether train and eval mode differ: the file has batch norms, or dropout."""
    return any(step.operator in ("BatchNormalization", "Dropout") for step in module.steps)


def unsupported(missing: Mapping[tuple[str, str, int], int], path: str) -> ModelError:
    """The refusal of a file with operators that the table does not have: (domain, name, version) → how many nodes."""
    listed = sorted(missing.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(
        f"{count} × {printable(f'{domain}.{name}' if domain else name, 60)} (version {version})"
        for (domain, name, version), count in listed[:20]
    )
    more = f" and {len(listed) - 20} more" if len(listed) > 20 else ""
    message = f"it uses ONNX operators that cannot be differentiated here: {shown}{more}"
    hint = f"export it with standard operators, or {BUILD_IN_PYTHON}"
    return refuse(Slug.UNSUPPORTED_OPERATOR, path, message, hint)
