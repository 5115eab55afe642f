"""Loads an ONNX file as a differentiable module: read, checked, its weights mapped, its graph compiled."""

from __future__ import annotations

import functools

import onnx
from google.protobuf.message import DecodeError

from gradcheck_cli.loaders.onnx_model import external
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
_INFERENCE = (
    "ONNX is an inference format: batch norms may be folded into convolutions, dropout and zero biases dropped, "
    "tied weights split"
)


def load(source: Source) -> Subject:
    """The model as a module whose parameters have the user's names.

    Raises:
        ModelError: damaged, unsafe or unsupported.
    """
    model = read(source)
    try:
        check(model)
        stored = external.read(model.graph, source.path)
        specs = input_specs(model.graph)
        module = build(model, stored)
    except GraphFault as error:
        raise refuse(Slug.DAMAGED_FILE, source.path, f"the ONNX graph cannot be run: {error}", _SAVE_AGAIN) from error
    except AttributeFault as error:
        raise refuse(Slug.DAMAGED_FILE, source.path, f"the ONNX graph cannot be run: {error}", _SAVE_AGAIN) from error
    except UnsupportedError as error:
        raise _unsupported(error, source.path) from error
    except (ValueError, TypeError, RuntimeError, KeyError, OverflowError) as error:
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
        remarks=(_INFERENCE,),
        parity=Parity(module, functools.partial(read, source), source.path, external=bool(stored)),
    )


def read(source: Source) -> onnx.ModelProto:
    """The file's protobuf message. Raises a `ModelError` where it is none."""
    if source.size > MAX_BYTES:
        message = f"it has {source.size} bytes, over protobuf's limit of 2 GB"
        raise refuse(Slug.DAMAGED_FILE, source.path, message, "save it with external data")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(source.data)
    except DecodeError as error:
        raise refuse(
            Slug.TRUNCATED_FILE, source.path, "this ONNX file ends too early or is damaged", "copy or save it again"
        ) from error
    return model


def _has_modes(module: OnnxModule) -> bool:
    """Whether train and eval mode differ: the file has batch norms, or dropout."""
    return any(step.operator in ("BatchNormalization", "Dropout") for step in module.steps)


def _unsupported(error: UnsupportedError, path: str) -> Exception:
    listed = sorted(error.missing.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(
        f"{count} × {printable(f'{domain}.{name}' if domain else name, 60)} (version {version})"
        for (domain, name, version), count in listed[:20]
    )
    more = f" and {len(listed) - 20} more" if len(listed) > 20 else ""
    message = f"it uses ONNX operators that cannot be differentiated here: {shown}{more}"
    hint = f"export it with standard operators, or {BUILD_IN_PYTHON}"
    return refuse(Slug.UNSUPPORTED_OPERATOR, path, message, hint)
