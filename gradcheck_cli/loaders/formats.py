"""What a model file can be, each kind with its name for people and with what to do with it today."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gradcheck_cli.loaders.refusals import BUILD_IN_PYTHON, Slug

_EXPORT = "export the PyTorch model with torch.export.save, or " + BUILD_IN_PYTHON
_SOURCE = "measure the PyTorch model it was made from: torch.save the module, or " + BUILD_IN_PYTHON
_DATA = "pass it as --data, with the model as the first argument"


class Kind(enum.Enum):
    """What the content says a file or directory is; the value is a sentence's end: 'this is …'."""

    PICKLED_MODULE = "a pickled torch.nn.Module"
    EXPORTED_PROGRAM = "an exported program (.pt2)"
    STATE_DICT = "a state dict: weights without the architecture"
    LIGHTNING = "a PyTorch Lightning checkpoint: weights and training state without the architecture"
    CHECKPOINT = "a training checkpoint: a dict of weights and other state without the architecture"
    TENSOR_FILE = "a torch file with tensors, not with a model"
    OTHER_TORCH_SAVE = "a torch.save file that holds no model"
    FOREIGN_PROTOCOL = "a torch.save file written with another pickle protocol than torch's default, 2"
    LEGACY_TORCH_SAVE = "a file of the old torch.save format (before torch 1.6)"
    PLAIN_PICKLE = "a plain Python pickle"
    JOBLIB = "a joblib pickle, as scikit-learn writes it"
    TORCHSCRIPT = "a TorchScript program"
    TORCH_PACKAGE = "a torch.package archive"
    AOTINDUCTOR = "a package compiled by AOTInductor: machine code that cannot be differentiated"
    OLD_EXPORTED_PROGRAM = "an exported program in the layout of torch before 2.8"
    DISTRIBUTED = "a torch.distributed checkpoint directory: sharded weights without the architecture"
    SAFETENSORS = "a safetensors file: weights without the architecture"
    SHARDED_INDEX = "the index of a sharded checkpoint: names of weight files without the architecture"
    HUGGING_FACE = "a Hugging Face model directory"
    ONNX = "an ONNX model"
    ORT = "an ONNX Runtime (ORT) model"
    GGUF = "a GGUF file: quantised weights for llama.cpp, which cannot be differentiated"
    EXECUTORCH = "an ExecuTorch program (.pte): a compiled program that cannot be differentiated"
    TFLITE = "a TensorFlow Lite model"
    TENSORFLOW = "a TensorFlow SavedModel"
    HDF5 = "an HDF5 file, as Keras writes it (.h5)"
    KERAS = "a Keras model (.keras)"
    COREML = "a Core ML model"
    NUMPY = "a NumPy file: data, not a model"
    LFS_POINTER = "a Git LFS pointer: three lines of text that stand for the real file"
    HTML = "a web page; the download went wrong"
    TEXT = "a text file"
    COMPRESSED = "a compressed file"
    TAR = "a tar archive"
    OTHER_ZIP = "a zip archive without a model in it"
    TRUNCATED_ZIP = "a zip-based file, as torch.save writes it, that ends too early"
    DIRECTORY = "a directory without a known model in it"
    UNKNOWN = "a binary file of no known format"


@dataclass(frozen=True)
class Refusal:
    """How a kind that cannot be loaded is refused."""

    slug: Slug
    hint: str
    """What to do today: one clause."""


def _unsupported(hint: str, *kinds: Kind) -> dict[Kind, Refusal]:
    return {kind: Refusal(Slug.UNSUPPORTED_FORMAT, hint) for kind in kinds}


def _no_model(hint: str, *kinds: Kind) -> dict[Kind, Refusal]:
    return {kind: Refusal(Slug.NOT_A_MODEL, hint) for kind in kinds}


REFUSALS: dict[Kind, Refusal] = {
    **_unsupported(BUILD_IN_PYTHON, Kind.DISTRIBUTED),
    **_unsupported("write it again with torch.export.save of torch 2.8 or later", Kind.OLD_EXPORTED_PROGRAM),
    **_unsupported("save the module with torch.save, or " + BUILD_IN_PYTHON, Kind.PLAIN_PICKLE),
    **_unsupported("gradcheck measures PyTorch networks; " + BUILD_IN_PYTHON, Kind.JOBLIB),
    **_unsupported(_EXPORT, Kind.TORCH_PACKAGE, Kind.AOTINDUCTOR, Kind.EXECUTORCH),
    **_unsupported(_SOURCE, Kind.ORT, Kind.GGUF, Kind.TFLITE, Kind.TENSORFLOW, Kind.HDF5, Kind.KERAS, Kind.COREML),
    **_no_model(_DATA, Kind.NUMPY, Kind.TENSOR_FILE),
    **_no_model("save the module itself: torch.save(model, path)", Kind.OTHER_TORCH_SAVE),
    **_no_model("fetch the file itself: git lfs pull", Kind.LFS_POINTER),
    **_no_model("download the file again", Kind.HTML),
    **_no_model("unpack it and pass the model inside", Kind.COMPRESSED, Kind.TAR, Kind.OTHER_ZIP),
    **_no_model("pass a file written by torch.save or torch.export.save, or an entry point", Kind.TEXT, Kind.UNKNOWN),
    Kind.TRUNCATED_ZIP: Refusal(Slug.TRUNCATED_FILE, "copy or save it again"),
    Kind.DIRECTORY: Refusal(Slug.NOT_A_REGULAR_FILE, "pass the model's file in it"),
}
"""Every kind without a loader."""
