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
    runs_code: bool = False
    """Opening the file the usual way would run code that is not torch.nn's."""
    code: tuple[str, ...] = ()
    """The names that it would look up and that are not torch.nn's."""
    remarks: tuple[str, ...] = ()
    needs: str = ""
    """What diagnosing needs beside the file; empty for nothing."""
    command: str = ""
    """The command that diagnoses it; empty where none can."""
