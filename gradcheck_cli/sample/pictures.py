"""The forms in which models take images and videos: grids of pixels, stacks of them, packed patches with their grids."""

from __future__ import annotations

from typing import Any

from gradcheck_cli.sample.leaf_inputs import IMAGE_SIZES
from gradcheck_cli.sample.noise import Noise
from gradcheck_cli.sample.patterns import Constant, Packed
from gradcheck_cli.sample.settings import sides, whole
from gradcheck_cli.sample.signature import Signature

Form = dict[str, Noise]
"""One way to give an image: all inputs of the call that belong to it."""
IMAGES = ("pixel_values", "images", "image", "image_pixel_values")
VIDEOS = ("pixel_values_videos",)
_VISION = ("vision", "visual", "image", "backbone")
_GRIDS = ("image_grid_thw", "video_grid_thw", "grid_thw")
_PLACES = ("pixel_position_ids", "image_position_ids", "video_position_ids")
_TILES = (1, 2, 3, 5)
"""Images of one sample that come as a stack; two are a pair to be compared, more are tiles of a large one."""
_FRAMES = (2, 4, 8, 16)
_MAX_VALUES = 1 << 22


def picture_forms(config: Any, signature: Signature) -> list[Form]:
    """Return the forms of an image, else of a video, that the names in `signature` and the config allow; likeliest first."""
    for keys, frames in ((IMAGES, ()), (VIDEOS, _FRAMES)):
        key = next((name for name in keys if signature.names(name)), None)
        if key is not None:
            return _forms(config, signature, key, frames)
    # A tower alone calls its patches by the name of what runs through it.
    return _forms(config, signature, "hidden_states", ()) if signature.names("grid_thw") else []


def _forms(config: Any, signature: Signature, key: str, frames: tuple[int, ...]) -> list[Form]:
    grids = next((name for name in _GRIDS if signature.names(name)), None)
    places = next((name for name in _PLACES if signature.names(name)), None)
    if grids is not None:
        return _packed(config, signature, key, grids)
    if places is not None:
        return _placed(config, key, places)
    found: list[Form] = []
    if signature.names("spatial_shapes"):
        found += _shaped(config, key)
    sizes = next((name for name in ("target_sizes", "target_sizes_videos") if signature.names(name)), None)
    if sizes is not None:
        found += _in_a_row(config, key, sizes)
    return [*found, *_pixels(config, signature, key, frames)]


def channels_of(config: Any) -> int:
    """Return C of the images."""
    return whole(config, "num_channels", "in_channels", "in_chans", "channels", of=_VISION) or 3


def _patch(config: Any) -> int:
    return whole(config, "patch_size", "spatial_patch_size", of=_VISION) or 14


def _packed(config: Any, signature: Signature, key: str, grids: str) -> list[Form]:
    """Patches of all images in one table, and for each image how many there are in time, height and width."""
    merge = whole(config, "spatial_merge_size", "merge_size", "merge_kernel_size", of=_VISION) or 2
    times = whole(config, "temporal_patch_size", of=_VISION) or 1
    side, patch, channels = 2 * max(merge, 2), _patch(config), channels_of(config)
    beside: Form = {grids: Constant((3,), values=(1, side, side))}
    beside |= {name: Constant(values=merge) for name in ("image_merge_sizes", "merge_sizes") if signature.names(name)}
    width = whole(config, "hidden_size", "embed_dim", of=_VISION)
    flat = [channels * time * patch * patch for time in dict.fromkeys((times, 1, 2))]
    shapes = [(flat[0],), (channels, patch, patch), (channels, times, patch, patch)]
    shapes += [(size,) for size in (*flat[1:], *([width] if width else []))]
    return [{key: Packed(shape, rows=side * side), **beside} for shape in shapes]


def _placed(config: Any, key: str, places: str) -> list[Form]:
    """Patches with the place of each, as many as the pooling after them divides."""
    side = 2 * (whole(config, "pooling_kernel_size", of=_VISION) or 2)
    grid = tuple((x, y) for y in range(side) for x in range(side))
    patch, channels = _patch(config), channels_of(config)
    wide = patch * (whole(config, "pooling_kernel_size", of=_VISION) or 1)
    positions = Constant((side * side, 2), values=grid)
    return [
        {key: Noise((side * side, channels * size * size)), places: positions} for size in dict.fromkeys((patch, wide))
    ]


def _shaped(config: Any, key: str) -> list[Form]:
    """Patches with a mask and the height and width of the image in patches."""
    side, width = 4, channels_of(config) * _patch(config) ** 2
    return [
        {
            key: Noise((side * side, width)),
            "pixel_attention_mask": Noise((side * side,), fill=1),
            "spatial_shapes": Constant((2,), values=(side, side)),
        }
    ]


def _in_a_row(config: Any, key: str, sizes: str) -> list[Form]:
    """The patches of all images side by side in one strip, and the height and width of each in patches."""
    side, patch = 4, _patch(config)
    strip = Packed((1, channels_of(config), patch), batch_dim=3, rows=side * side * patch)
    return [{key: strip, sizes: Constant((2,), values=(side, side))}]


def _pixels(config: Any, signature: Signature, key: str, frames: tuple[int, ...]) -> list[Form]:
    channels = channels_of(config)
    declared = sides(config, "image_size", "input_size", "img_size", "size", of=_VISION)
    sizes = [declared] if declared else [(side, side) for side in IMAGE_SIZES]
    own = whole(config, "num_frames", "frames_per_clip", "crop_frames", of=_VISION)
    counts = dict.fromkeys((*([own] if own else []), *(frames or _TILES)))
    plain = [] if frames or own else [(channels, *size) for size in sizes]
    stacks = [(count, channels, *size) for count in counts for size in sizes]
    forms: list[Form] = [{key: Noise(shape)} for shape in (*plain, *stacks) if _few(shape)]
    if not signature.names("image_sizes"):
        return forms
    told: list[Form] = [{**form, "image_sizes": Constant((2,), values=form[key].shape[-2:])} for form in forms]
    return [*forms, *told]


def _few(shape: tuple[int, ...]) -> bool:
    values = 1
    for size in shape:
        values *= size
    return values <= _MAX_VALUES
