"""Made-up samples like the example inputs that a file carries."""

from __future__ import annotations

from typing import Any

import torch

from gradcheck_cli.records import Batch, Subject
from gradcheck_cli.sample.arrays import inputs_of, shapes
from gradcheck_cli.sample.fitting import own_batch_size, try_batch
from gradcheck_cli.tensors import leaves, map_tensors


def example_batches(
    subject: Subject, batch_size: int, batches: int, generator: torch.Generator
) -> tuple[list[Batch], str]:
    """Return the file's example inputs as the first batch, and noise like them for the others, with a remark.

    The noise has the examples' mean and spread, and `batch_size` samples where the model takes as many, else their own
    number. Examples that are constant (zeros, ones) tell nothing and are left out.
    """
    example = subject.example_inputs
    assert example is not None
    own = own_batch_size(subject) or 1
    size = batch_size if batch_size != own and _takes(subject, _like(example, own, batch_size, generator)) else own
    described = shapes(inputs_of(example))
    first = [] if _is_constant(example) else [Batch(example.args, example.kwargs, size=own)]
    rest = [_like(example, own, size, generator) for _ in range(batches - len(first))]
    if first and rest:
        return (
            first + rest,
            f"made-up input: the file's example inputs ({described}), then noise of their mean and spread",
        )
    what = "the file's example inputs" if first else "normal noise in the shape of the file's example inputs"
    return first + rest, f"made-up input: {what} ({described})"


def _takes(subject: Subject, batch: Batch) -> bool:
    try:
        try_batch(subject, batch)
    except Exception:  # whatever the model raises: it does not take it
        return False
    return True


def _is_constant(example: Batch) -> bool:
    return all(bool((tensor == tensor.flatten()[:1]).all()) for tensor in leaves((example.args, dict(example.kwargs))))


def _like(example: Batch, own: int, size: int, generator: torch.Generator) -> Batch:
    def noise(tensor: torch.Tensor) -> Any:
        if not tensor.dim() or tensor.shape[0] != own:
            return tensor
        shape = (size, *tensor.shape[1:])
        if tensor.is_floating_point():
            return _normal(tensor, shape, generator)
        if tensor.dtype in (torch.int64, torch.int32) and tensor.numel():
            low, high = int(tensor.min()), int(tensor.max())
            return torch.randint(low, high + 1, shape, generator=generator, dtype=tensor.dtype)
        return tensor[torch.arange(size, device=tensor.device) % own]

    args, kwargs = map_tensors(noise, (example.args, dict(example.kwargs)))
    return Batch(args, kwargs, size=size)


def _normal(tensor: torch.Tensor, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    values = tensor.detach().double().cpu()
    spread = values.std(correction=0).item()
    unit = torch.randn(shape, generator=generator, dtype=torch.float32)
    # A single value, or a constant one, tells no spread.
    scaled = unit * spread + values.mean().item() if spread > 0 else unit
    return scaled.to(tensor.dtype)
