"""Reads images through Pillow, an extra: to the size and channels that the model takes, scaled and normalised."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.files import open_data
from gradcheck_cli.sample.folders import ImageFolder

MAX_PIXELS = 25_000_000
"""Of one image as its header declares it: a small file can expand to gigabytes. Each takes four bytes, or twice that."""
MAX_FILE = 256 << 20
FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
"""Only these of Pillow's decoders are ever tried."""
_KINDS = {1: "L", 3: "RGB", 4: "RGBA"}
_MEAN = {3: (0.485, 0.456, 0.406)}
_SPREAD = {3: (0.229, 0.224, 0.225)}
"""Of ImageNet, which most image models were made with; 0.5 for any other number of channels."""


def natural_size(folder: ImageFolder) -> tuple[int, int] | None:
    """Return height and width if the first images are all of one size.

    Raises:
        SampleError: as `read_images`.
    """
    sizes = {_opened(path, None) for path in folder.paths[:8]}
    return sizes.pop() if len(sizes) == 1 else None


def read_images(folder: ImageFolder, channels: int, height: int, width: int) -> torch.Tensor:
    """Return ``(B, channels, height, width)`` float32: cut to the shape from the middle, 0 … 1, normalised by channel.

    Raises:
        SampleError: ``missing-package``, ``broken-data`` (no image, or damaged), ``unsupported-data`` (too large).
    """
    images = np.stack([_opened(path, (_KINDS[channels], width, height)) for path in folder.paths])
    scaled = torch.from_numpy(images).reshape(len(images), height, width, channels).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(_MEAN.get(channels, (0.5,) * channels)).reshape(1, channels, 1, 1)
    spread = torch.tensor(_SPREAD.get(channels, (0.5,) * channels)).reshape(1, channels, 1, 1)
    return ((scaled - mean) / spread).contiguous()


def described(folder: ImageFolder, channels: int, height: int, width: int) -> str:
    """Return the remark on what was done to the images."""
    norm = "the mean and spread of ImageNet" if channels in _MEAN else "mean 0.5 and spread 0.5"
    classes = f"; the target is the index of {len(folder.classes)} class folders" if folder.classes else ""
    return f"images cut from the middle to {channels}×{height}×{width}, scaled to 0…1, normalised by {norm}{classes}"


def _opened(path: str, wanted: tuple[str, int, int] | None) -> Any:
    """Return height and width, or the pixels ``(height, width[, channels])`` uint8 in the wanted mode and size."""
    pillow, operations = _pillow("PIL.Image", path), _pillow("PIL.ImageOps", path)
    with open_data(path) as file:
        if file.size > MAX_FILE:
            raise _too_large(f"the file has {file.size} bytes, over the limit of {MAX_FILE}", path)
        try:
            with pillow.open(file.stream, formats=FORMATS) as image:
                size = (int(image.height), int(image.width))
                if image.mode[:1] in ("I", "F"):
                    message = "its pixels have more than 8 bits, and how to scale them is not known"
                    raise SampleError("unsupported-data", message, hint="write it with 8 bits", file=path)
                if size[0] * size[1] <= MAX_PIXELS:
                    return size if wanted is None else _pixels(image, operations, wanted)
        except (MemoryError, SampleError):
            raise
        except Exception as error:  # Pillow raises many kinds on garbage; all mean the same
            kinds = ", ".join(kind.lower() for kind in FORMATS)
            message = f"this is no image ({kinds}), or it is damaged"
            raise SampleError("broken-data", message, hint="leave it out, or write it again", file=path) from error
    raise _too_large(f"the image declares {size[0]} × {size[1]} pixels, over the limit of {MAX_PIXELS}", path)


def _pixels(image: Any, operations: Any, wanted: tuple[str, int, int]) -> np.ndarray[Any, Any]:
    mode, width, height = wanted
    operations.exif_transpose(image, in_place=True)  # a copy of a large image is as large
    converted = image if image.mode == mode else image.convert(mode)
    return np.asarray(operations.fit(converted, (width, height)), dtype=np.uint8)


def _too_large(message: str, path: str) -> SampleError:
    return SampleError("unsupported-data", message, hint="make it smaller", file=path)


def _pillow(module: str, path: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = "reading images needs the package Pillow, which is not installed"
        hint = "pip install 'gradcheck-cli[images]', or save the arrays with numpy.savez('data.npz', x=x, y=y)"
        raise SampleError("missing-package", message, hint=hint, file=path) from error
