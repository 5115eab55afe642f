"""Inputs of Hugging Face models, from their config and the names in forward's signature. Imports no transformers."""

from __future__ import annotations

from typing import Any

from torch import nn

from gradcheck_cli.sample.leaf_inputs import IMAGE_SIZES, LENGTHS
from gradcheck_cli.sample.noise import Noise, Recipe
from gradcheck_cli.sample.signature import Signature

_PARTS = ("text_config", "vision_config", "audio_config", "encoder", "decoder", "backbone_config")
_SPECIAL = ("pad", "bos", "eos", "sep", "cls", "mask", "unk", "decoder_start", "image", "video", "audio")
_IMAGES = ("pixel_values", "images")


def main_input(root: nn.Module) -> str | None:
    """Return the name of the input that the model calls its main one."""
    name = getattr(root, "main_input_name", None)
    return name if isinstance(name, str) else None


def recipes(root: nn.Module, signature: Signature) -> list[Recipe]:
    """Return the calls to try, the likeliest first; none where the model has no config of that kind."""
    config = getattr(root, "config", None)
    main = main_input(root)
    if config is None or main is None:
        return []
    found = []
    for size in _image_sizes(config) if any(map(signature.names, _IMAGES)) else (0,):
        for length in _lengths(config):
            inputs = _inputs(config, signature, length, size)
            found.append(Recipe(kwargs=inputs))
            if main in inputs and len(inputs) > 1:
                found.append(Recipe(kwargs={main: inputs[main]}))
    return [recipe for recipe in found if recipe.kwargs]


def _inputs(config: Any, signature: Signature, length: int, size: int) -> dict[str, Noise]:
    inputs: dict[str, Noise] = {}
    tokens = _tokens(config, length)
    if signature.names("input_ids") and tokens is not None:
        inputs["input_ids"] = tokens
        if signature.names("attention_mask"):
            inputs["attention_mask"] = Noise((length,), fill=1)
    for name in _IMAGES:
        if signature.names(name):
            inputs[name] = _image(config, size)
    if signature.names("input_values"):
        inputs["input_values"] = Noise((4000,))
    if signature.names("input_features"):
        inputs["input_features"] = _spectrogram(config)
    if signature.names("decoder_input_ids") and tokens is not None and _setting(config, "is_encoder_decoder"):
        inputs["decoder_input_ids"] = tokens
    return inputs


def _tokens(config: Any, length: int) -> Noise | None:
    vocabulary = _setting(config, "vocab_size")
    if not isinstance(vocabulary, int) or vocabulary < 1:
        return None
    ids = {_setting(config, f"{name}_token_id") for name in _SPECIAL} | {_setting(config, "image_token_index")}
    avoid = frozenset(i for i in ids if isinstance(i, int))
    end = _setting(config, "eos_token_id") if _setting(config, "is_encoder_decoder") else None
    ends = end if isinstance(end, int) and 0 <= end < vocabulary else None
    return Noise((length,), high=vocabulary, avoid=avoid, last=ends)


def _image(config: Any, size: int) -> Noise:
    channels = _setting(config, "num_channels") or 3
    frames = _setting(config, "num_frames")
    leading = (int(frames),) if isinstance(frames, int) else ()
    declared = _setting(config, "image_size")
    sides = tuple(declared) if isinstance(declared, (tuple, list)) else (size, size)
    return Noise((*leading, int(channels), *map(int, sides)))


def _image_sizes(config: Any) -> tuple[int, ...]:
    declared = _setting(config, "image_size")
    return (declared,) if isinstance(declared, int) else IMAGE_SIZES


def _spectrogram(config: Any) -> Noise:
    bins = _setting(config, "num_mel_bins") or _setting(config, "feature_size") or 80
    positions = _setting(config, "max_source_positions")
    # Whisper takes exactly twice its positions, bins first; speech encoders take any length, bins last.
    return Noise((int(bins), 2 * positions)) if isinstance(positions, int) else Noise((64, int(bins)))


def _lengths(config: Any) -> tuple[int, ...]:
    limits = (_setting(config, name) for name in ("max_position_embeddings", "n_positions", "max_target_positions"))
    limit = min((value for value in limits if isinstance(value, int) and value > 0), default=LENGTHS[0])
    return tuple(dict.fromkeys(min(length, limit) for length in LENGTHS))


def _setting(config: Any, name: str) -> Any:
    """Return a setting of the config, or of the part of it that has one."""
    for part in (config, *(getattr(config, part, None) for part in _PARTS)):
        value = getattr(part, name, None)
        if value is not None:
            return value
    return None
