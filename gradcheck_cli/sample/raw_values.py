"""Values as they lie in a file, row after row, into a tensor: for the formats that torch and safetensors write."""

from __future__ import annotations

import math
from typing import BinaryIO

import torch

from gradcheck_cli.errors import SampleError

_CHUNK = 1 << 24


def read_values(
    stream: BinaryIO, offset: int, shape: tuple[int, ...], dtype: torch.dtype, what: str, path: str
) -> torch.Tensor:
    """Return a tensor of `shape` and `dtype` from the little-endian bytes at `offset`.

    Raises:
        SampleError: ``broken-data`` where the file ends too early.
    """
    count = math.prod(shape) * dtype.itemsize
    stream.seek(offset)
    data = bytearray()
    while len(data) < count:
        piece = stream.read(min(count - len(data), _CHUNK))
        if not piece:
            raise SampleError("broken-data", f"{what} is cut short", hint="write the file again", file=path)
        data += piece
    if not data:
        return torch.empty(shape, dtype=dtype)
    if dtype is torch.bool:
        # Any byte but 0 is true; a bool of another byte than 0 or 1 is undefined.
        return torch.frombuffer(data, dtype=torch.uint8).ne(0).reshape(shape)
    return torch.frombuffer(data, dtype=dtype).reshape(shape)
