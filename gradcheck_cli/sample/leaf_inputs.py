"""Inputs that a layer could take, the likeliest first, to be tried one after the other until the model takes one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from gradcheck_cli.sample.noise import Noise

LENGTHS = (16, 8, 4, 2)
"""S, positions of a made-up sequence."""
IMAGE_SIZES = (32, 28, 64, 96, 128, 224, 256, 299, 16, 8)
_SIGNAL_SIZES = (64, 128, 256, 1024, 4096, 16000, 32, 16, 8)
_VOLUME_SIZES = (16, 32, 64, 8)
_SEED_SIZES = (1, 4, 8, 16)
"""Of transposed convolutions, which make large from small."""
_ATTENTION = (nn.RNNBase, nn.MultiheadAttention, nn.Transformer)


@dataclass(frozen=True)
class Surroundings:
    """What the whole model tells about the inputs of its first layers."""

    sequential: bool
    """It has recurrent or attention layers, so a position dimension is likely."""
    batch_dim: int
    """Of sequences: 1 where all of these layers are time-major."""
    linear_widths: tuple[int, ...]
    """``in_features`` of its linear layers."""


def surroundings_of(root: nn.Module) -> Surroundings:
    """Look at the model as a whole."""
    layers = [part for part in root.modules() if isinstance(part, (nn.RNNBase, nn.MultiheadAttention))]
    time_major = bool(layers) and not any(layer.batch_first for layer in layers)
    widths = tuple(dict.fromkeys(part.in_features for part in root.modules() if isinstance(part, nn.Linear)))
    sequential = any(isinstance(part, _ATTENTION) for part in root.modules())
    return Surroundings(sequential, int(time_major), widths)


def telling_layers(root: nn.Module, limit: int = 4) -> list[nn.Module]:
    """Return the first layers, in the order of registration, that say what they take; one of each kind and width."""
    found: list[nn.Module] = []
    seen: set[tuple[object, ...]] = set()
    around = Surroundings(False, 0, ())
    for part in root.modules():
        inputs = tuple(inputs_of(part, around))
        if (inputs and (type(part), inputs) not in seen) or isinstance(part, nn.Embedding):
            seen.add((type(part), inputs))
            found.append(part)
    return found[:limit]


def inputs_of(layer: nn.Module, around: Surroundings, position: int = 0) -> list[Noise]:
    """Return what `layer` could take as its input (as its input `position`, of a bilinear one); empty if not known."""
    if isinstance(layer, nn.Bilinear):
        width = layer.in2_features if position else layer.in1_features
        return [Noise((width,))]
    if isinstance(layer, nn.Linear):
        wide = _vectors(layer.in_features, around) + _images_of(layer.in_features)
        return wide + [noise for width in _hidden_widths(layer) for noise in _vectors(width, around)]
    if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):
        return _tokens(layer, around)
    if isinstance(layer, nn.modules.conv._ConvNd):
        return _grids(layer.in_channels, len(layer.kernel_size), transposed=layer.transposed)
    if isinstance(layer, nn.RNNBase):
        return _sequences(layer.input_size, 0 if layer.batch_first else 1)
    if isinstance(layer, nn.RNNCellBase):
        return [Noise((layer.input_size,)), Noise((LENGTHS[0], layer.input_size))]
    if isinstance(layer, nn.MultiheadAttention):
        return _sequences(layer.embed_dim, 0 if layer.batch_first else 1)
    return _of_norm(layer) or _of_weight(layer, around)


def _of_norm(layer: nn.Module) -> list[Noise]:
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        dims = {"BatchNorm1d": 1, "BatchNorm3d": 3}.get(type(layer).__name__, 2)
        flat = [Noise((layer.num_features,))] if dims == 1 else []
        return flat + _grids(layer.num_features, dims, transposed=False)
    if isinstance(layer, nn.modules.instancenorm._InstanceNorm):
        return _grids(layer.num_features, int(type(layer).__name__[-2]), transposed=False)
    if isinstance(layer, nn.GroupNorm):
        return [Noise((layer.num_channels, 32, 32)), Noise((layer.num_channels, 16)), Noise((layer.num_channels,))]
    if isinstance(layer, (nn.LayerNorm, nn.RMSNorm)):
        shape = tuple(layer.normalized_shape)
        return [Noise((16, *shape)), Noise(shape)]
    return []


def _of_weight(layer: nn.Module, around: Surroundings) -> list[Noise]:
    """Of a layer that we do not know: either side of its first matrix could be the width of its input."""
    own = [parameter for parameter in layer.parameters(recurse=False) if parameter.dim() == 2]
    if not own or any(True for _ in layer.children()):
        return []
    width = tuple(own[0].shape)
    return [noise for size in (width[1], width[0]) for noise in _vectors(int(size), around)]


def _hidden_widths(layer: nn.Linear) -> list[int]:
    """Widths of inputs that become this one: with a state put beside, by half of them, as features of coordinates."""
    beside = layer.in_features - layer.out_features
    return [width for width in (beside, 2 * layer.in_features, 3, 2, 1) if width > 0]


def _vectors(width: int, around: Surroundings) -> list[Noise]:
    flat, sequences = [Noise((width,))], _sequences(width, around.batch_dim)
    return sequences + flat if around.sequential else flat + sequences


def _sequences(width: int, batch_dim: int) -> list[Noise]:
    return [Noise((length, width), batch_dim) for length in LENGTHS[:2]]


def _tokens(layer: nn.Embedding | nn.EmbeddingBag, around: Surroundings) -> list[Noise]:
    # A linear layer over all positions at once fixes their number.
    fixed = [width // layer.embedding_dim for width in around.linear_widths if width % layer.embedding_dim == 0]
    lengths = dict.fromkeys([*LENGTHS, *(length for length in fixed if 1 < length <= 4096)])
    avoid = frozenset() if layer.padding_idx is None else frozenset({layer.padding_idx})
    high = layer.num_embeddings
    return [*(Noise((s,), around.batch_dim, high, avoid) for s in lengths), Noise((), 0, high, avoid)]


def _grids(channels: int, dims: int, *, transposed: bool) -> list[Noise]:
    ladder = _SEED_SIZES if transposed else {1: _SIGNAL_SIZES, 2: IMAGE_SIZES, 3: _VOLUME_SIZES}[dims]
    # Signals come with the channels last, too: the model then transposes them itself.
    last = [Noise((_SIGNAL_SIZES[0], channels))] if dims == 1 else []
    return [Noise((channels, *(size,) * dims)) for size in ladder] + last


def _images_of(width: int) -> list[Noise]:
    """Images of `width` values, for models that flatten or cut patches themselves; then the ladder of usual sizes."""
    exact = [
        Noise((channels, side, side))
        for channels in (3, 1)
        if width % channels == 0 and (side := math.isqrt(width // channels)) ** 2 * channels == width and side > 3
    ]
    return exact + [Noise((3, size, size)) for size in (32, 64, 224)]
