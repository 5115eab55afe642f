"""The shapes of images that a model could take: from the user, its config, its first layers, or the images themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from gradcheck_cli.errors import UsageError
from gradcheck_cli.sample.huggingface import declared_image
from gradcheck_cli.sample.input_shapes import InputShape
from gradcheck_cli.sample.leaf_inputs import inputs_of, surroundings_of, telling_layers

CHANNELS = (3, 1, 4)
_USUAL = (224, 32, 28)


def image_shapes(
    root: nn.Module, natural: tuple[int, int] | None, given: Sequence[InputShape]
) -> Iterator[tuple[int, int, int]]:
    """Yield ``(C, H, W)``, the likeliest first; `natural` is the images' own height and width where they have one.

    Raises:
        UsageError: ``bad-option`` where what the user gave is no shape of images.
    """
    if given:
        yield _given(given)
        return
    declared = declared_image(root)
    if declared is not None:
        yield declared
    shapes = [noise.shape for layer in telling_layers(root, 1) for noise in inputs_of(layer, surroundings_of(root))]
    grids = [shape for shape in shapes if len(shape) == 3 and shape[0] in CHANNELS]
    # Convolutions tell the channels alone, and then the images' own size, or a usual one, is the best guess.
    channels = list(dict.fromkeys(shape[0] for shape in grids)) or [3, 1]
    best = [natural] if natural is not None and max(natural) <= 512 else []
    for size in best + [(side, side) for side in _USUAL]:
        yield from ((count, *size) for count in channels)
    yield from ((count, height, width) for count, height, width in grids)


def _given(given: Sequence[InputShape]) -> tuple[int, int, int]:
    shape = given[0].shape
    if len(given) == 1 and len(shape) == 3 and shape[0] in CHANNELS:
        return shape[0], shape[1], shape[2]
    message = "with a folder of images, --input-shape is one shape of channels (1, 3 or 4), height and width"
    raise UsageError("bad-option", message, hint="write it as 3,224,224")
