"""What a model expects, as far as its modules and its file tell: ``fc1 (Linear) takes (…, 64) float32``."""

from __future__ import annotations

import torch
from torch import nn

from gradcheck_cli.records import Subject
from gradcheck_cli.sample.arrays import inputs_of, shapes


def expected(subject: Subject, name: str, module: nn.Module | None) -> str:
    """Return a clause for a message, from the module where it failed or else the first that owns parameters.

    Empty where nothing is known. The file's own example inputs, where it has them, come first.
    """
    parts = []
    if subject.example_inputs is not None:
        example = shapes(inputs_of(subject.example_inputs))
        parts.append(f"the file's example inputs are {example}")
    takes = layer_takes(module) if module is not None else None
    if takes is None:
        name, module = first_layer(subject.module)
        takes = layer_takes(module) if module is not None else None
    if takes is not None:
        parts.append(f"{name or 'the model'} ({type(module).__name__}) takes {takes}")
    return "".join(f"; {part}" for part in parts)


def first_layer(root: nn.Module) -> tuple[str, nn.Module | None]:
    """Return the first module, in the order of registration, of a kind that says what it takes."""
    return next(((name, module) for name, module in root.named_modules() if layer_takes(module)), ("", None))


def layer_takes(module: nn.Module) -> str | None:
    """Return shape and dtype of the input of one layer, ``…`` for any leading dimensions; None for other kinds."""
    shape = _shape(module)
    if shape is None:
        return None
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return f"{shape} of integers from 0 to {module.num_embeddings - 1}"
    dtype = next((p.dtype for p in module.parameters(recurse=False)), None)
    return f"{shape} {str(dtype).removeprefix('torch.')}" if dtype else shape


def _shape(module: nn.Module) -> str | None:
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return "(…)"
    if isinstance(module, nn.Bilinear):
        return f"(…, {module.in1_features}) and (…, {module.in2_features})"
    if isinstance(module, nn.Linear):
        return f"(…, {module.in_features})"
    if isinstance(module, nn.modules.conv._ConvNd):
        spatial = ", ".join(_AXES[len(module.kernel_size)])
        return f"(B, {module.in_channels}, {spatial})"
    if isinstance(module, nn.RNNBase):
        return f"({'B, S' if module.batch_first else 'S, B'}, {module.input_size})"
    if isinstance(module, nn.RNNCellBase):
        return f"(B, {module.input_size})"
    if isinstance(module, nn.MultiheadAttention):
        return f"({'B, S' if module.batch_first else 'S, B'}, {module.embed_dim})"
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return f"(B, {module.num_features}, …)"
    return _norm_shape(module)


def _norm_shape(module: nn.Module) -> str | None:
    if isinstance(module, nn.GroupNorm):
        return f"(B, {module.num_channels}, …)"
    if isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        return f"(…, {', '.join(map(str, module.normalized_shape))})"
    return None


_AXES = {1: ("S",), 2: ("H", "W"), 3: ("D", "H", "W")}


def floating_dtype(root: torch.nn.Module) -> torch.dtype:
    """Return the dtype of the first floating parameter or buffer; torch's default where there is none."""
    for tensor in (*root.parameters(), *root.buffers()):
        if tensor.is_floating_point() and tensor.element_size() >= 2:
            return tensor.dtype
    return torch.get_default_dtype()


def device_of(root: torch.nn.Module) -> torch.device:
    """Return the device of the first parameter or buffer; the CPU where there is none."""
    return next((tensor.device for tensor in (*root.parameters(), *root.buffers())), torch.device("cpu"))
