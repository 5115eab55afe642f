"""ImageDecoder: a picture in a file's bytes. Needs Pillow, which the package names as an optional dependency."""

from __future__ import annotations

import io

import numpy as np
import torch
from torch import Tensor

from gradcheck_cli.onnx_ops.registry import operator

_MOST_PIXELS = 1 << 26


@operator("ImageDecoder", since=20)
def image_decoder(stream: Tensor, *, pixel_format: str = "RGB") -> Tensor:
    """Bytes (n,) of a picture as (H, W, C) uint8: C is 3, or 1 for ``Grayscale``. Raises ValueError for what is none."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ValueError("decoding a picture needs Pillow: pip install pillow") from error
    if pixel_format not in ("RGB", "BGR", "Grayscale"):
        raise ValueError(f"the pixel format {pixel_format!r} is none of RGB, BGR and Grayscale")
    try:
        image = Image.open(io.BytesIO(stream.to(torch.uint8).cpu().numpy().tobytes()))
        if image.width * image.height > _MOST_PIXELS:
            raise ValueError(f"a picture of {image.width} × {image.height} pixels is more than is decoded")
        pixels = np.array(image.convert("L" if pixel_format == "Grayscale" else "RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"the bytes are no picture that can be decoded: {error}") from error
    found = torch.from_numpy(pixels)
    if pixel_format == "Grayscale":
        return found[..., None]
    return found.flip(-1) if pixel_format == "BGR" else found
