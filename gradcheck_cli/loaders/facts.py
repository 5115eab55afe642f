"""What `gradcheck inspect` tells of a file; crosses from the worker to the command line, and imports no torch."""

from __future__ import annotations

import msgspec


class TensorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor in the file, or an input of the program in it."""

    name: str
    dtype: str
    """Name of a torch dtype, ``float32``."""
    shape: tuple[int | str, ...]
    """A free dimension is a symbol, ``s0``."""


class LayerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A module in the file."""

    name: str
    """Its path; empty for the whole model."""
    kind: str
    """Its class; empty where the file does not tell."""


class OperatorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An operator of an ONNX model."""

    name: str
    domain: str
    """Empty for the standard one, ``ai.onnx``."""
    version: int
    """Of its domain's operators, as the file asks for."""
    count: int
    """How many nodes it is of, those in bodies and functions included."""
    supported: bool
    """Whether it can be run, and differentiated, here."""


class DataFileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A file beside the model in which weights lie."""

    name: str
    """As the model says it."""
    tensors: int
    """How many of its tensors lie in it."""
    bytes: int | None
    """None where it is not there, cannot be read, or must not be: it lies outside of the model's folder."""


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a file is and what it holds; the JSON of ``gradcheck inspect --json``, field by field."""

    schema_version: int = 1
    path: str
    format: str
    """Stable slug: ``state-dict``, ``pickled-module``, ``safetensors`` …"""
    is_: str = msgspec.field(name="is")
    """The same for people: the end of the sentence 'this is …'."""
    bytes: int | None = None
    sha256: str | None = None
    found_under: str = ""
    """Key of a checkpoint under which the tensors lie."""
    class_name: str = ""
    """Of the pickled module, or of the Hugging Face model."""
    tensors: tuple[TensorFacts, ...] = ()
    parameters: int | None = None
    """Numbers in all tensors together, buffers included; None where the file does not tell without running it."""
    layers: tuple[LayerFacts, ...] = ()
    inputs: tuple[TensorFacts, ...] = ()
    outputs: tuple[TensorFacts, ...] = ()
    versions: dict[str, int] = {}
    """ONNX: of the format (``IR``), and of the operators by domain (``ai.onnx``)."""
    producer: str = ""
    """ONNX: what wrote the file, with its version."""
    operators: tuple[OperatorFacts, ...] = ()
    """ONNX: the most frequent first."""
    data_files: tuple[DataFileFacts, ...] = ()
    runs_code: bool = False
    """Opening the file the usual way would run code that is not torch.nn's."""
    code: tuple[str, ...] = ()
    """The names that it would look up and that are not torch.nn's."""
    remarks: tuple[str, ...] = ()
    needs: str = ""
    """What diagnosing needs beside the file; empty for nothing."""
    command: str = ""
    """The command that diagnoses it; empty where none can."""
