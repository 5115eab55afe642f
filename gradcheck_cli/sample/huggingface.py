"""Inputs of Hugging Face models, from their config and the names in forward's signature. Imports no transformers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from gradcheck_cli.sample.leaf_inputs import IMAGE_SIZES, LENGTHS
from gradcheck_cli.sample.noise import Noise, Recipe
from gradcheck_cli.sample.signature import Signature

_PARTS = ("text_config", "vision_config", "audio_config", "encoder", "decoder", "backbone_config")
_SPECIAL = ("pad", "bos", "eos", "sep", "cls", "mask", "unk", "decoder_start", "image", "video", "audio")
_IMAGES = ("pixel_values", "images")
_SIGNALS = (*_IMAGES, "input_features")
_MARKERS = ("image_token_id", "image_token_index", "audio_token_id", "audio_token_index", "media_token_id")
_FRAME_MASKS = ("input_features_mask", "feature_attention_mask")
_MAX_FEATURES = 4096


def main_input(root: nn.Module) -> str | None:
    """Return the name of the input that the model calls its main one."""
    name = getattr(root, "main_input_name", None)
    return name if isinstance(name, str) else None


def declared_image(root: nn.Module) -> tuple[int, int, int] | None:
    """Return channels, height and width of the images that the config declares; None where it declares none."""
    config = getattr(root, "config", None)
    if config is None or main_input(root) is None:
        return None
    shape = _image(config, 0).shape[-3:]
    return (shape[0], shape[1], shape[2]) if shape[1] else _square(config, shape[0])


def _square(config: Any, channels: int) -> tuple[int, int, int] | None:
    side = _setting(config, "image_size")
    return (channels, side, side) if isinstance(side, int) else None


def recipes(root: nn.Module, signature: Signature) -> list[Recipe]:
    """Return the calls to try, the likeliest first; none where the model has no config of that kind.

    Models that put features of an image between the tokens come first with as many placeholders as there may be features,
    so that the part for images is reached; at last comes the main input alone.
    """
    config = getattr(root, "config", None)
    main = main_input(root)
    if config is None or main is None:
        return []
    found = []
    for size in _image_sizes(config) if any(map(signature.names, _IMAGES)) else (0,):
        for length in _lengths(config):
            inputs = _inputs(config, signature, length, size)
            if length == _lengths(config)[0]:
                found += [Recipe(kwargs=each) for each in _with_placeholders(config, inputs, size)]
            found.append(Recipe(kwargs=inputs))
    fewer = [Recipe(kwargs=each) for recipe in found[-1:] for each in _parts(recipe.kwargs, main)]
    return [recipe for recipe in (*found, *fewer) if recipe.kwargs]


def _parts(inputs: dict[str, Noise], main: str) -> list[dict[str, Noise]]:
    """Return less than all inputs: one signal with the decoder's tokens, frames and bins swapped, the main input alone."""
    decoder = {name: noise for name, noise in inputs.items() if name.startswith("decoder_")}
    signals = [name for name in (main, "input_features", "input_values") if name in inputs]
    found = [{name: inputs[name], **decoder} for name in dict.fromkeys(signals)]
    if "input_features" in inputs:
        turned = replace(inputs["input_features"], shape=inputs["input_features"].shape[::-1])
        found += [{**each, "input_features": turned} for each in found if "input_features" in each]
    return [*found, *([{main: inputs[main]}] if main in inputs else [])]


def _inputs(config: Any, signature: Signature, length: int, size: int) -> dict[str, Noise]:
    inputs: dict[str, Noise] = {}
    tokens = _tokens(config, length)
    if tokens is not None:
        inputs |= _text(config, signature, tokens, length)
    for name in _IMAGES:
        if signature.names(name):
            inputs[name] = _image(config, size)
    if signature.names("input_values"):
        inputs["input_values"] = _waveform(config)
    if signature.names("input_features"):
        inputs["input_features"] = _spectrogram(config)
        frames = max(inputs["input_features"].shape)
        inputs |= {name: Noise((frames,), fill=1) for name in _FRAME_MASKS if signature.names(name)}
    return inputs | _needed(config, signature, inputs, length)


def _text(config: Any, signature: Signature, tokens: Noise, length: int) -> dict[str, Noise]:
    inputs = {}
    if signature.names("input_ids"):
        inputs["input_ids"] = tokens
        if signature.names("attention_mask"):
            inputs["attention_mask"] = Noise((length,), fill=1)
    if signature.names("decoder_input_ids") and _setting(config, "is_encoder_decoder"):
        inputs["decoder_input_ids"] = tokens
    if signature.names("bbox"):
        # The box of a word: an empty one in the corner is valid everywhere. BROS takes the eight numbers of four corners.
        corners = _setting(config, "dim_bbox")
        inputs["bbox"] = Noise((length, int(corners)), fill=0.0) if corners else Noise((length, 4), fill=0)
    return inputs


def _needed(config: Any, signature: Signature, inputs: dict[str, Noise], length: int) -> dict[str, Noise]:
    """Return what forward cannot do without and what none of the usual names says: masks, features of the other side."""
    found: dict[str, Noise] = {}
    for name in signature.needed:
        wide = _setting(config, "encoder_hidden_size") if "encoder" in name else _setting(config, "hidden_size")
        if name in inputs:
            continue
        if name.endswith("input_ids") and _tokens(config, length) is not None:
            found[name] = _tokens(config, length) or Noise()
        elif "mask" in name:
            found[name] = Noise((length,), fill=1)
        elif name.endswith(("embeds", "hidden_states")) and isinstance(wide, int):
            found[name] = Noise((length, wide))
    return found


def _with_placeholders(config: Any, inputs: dict[str, Noise], size: int) -> list[dict[str, Noise]]:
    """Return the inputs with 1, 4, … placeholders in front of the text, for the numbers of features that are usual."""
    marker = next((value for name in _MARKERS if isinstance(value := _setting(config, name), int)), None)
    tokens, vocabulary = inputs.get("input_ids"), _setting(config, "vocab_size")
    if marker is None or tokens is None or not 0 <= marker < vocabulary or not set(_SIGNALS) & set(inputs):
        return []
    found = []
    for count in _sound_counts(inputs) if "input_features" in inputs else _feature_counts(config, size):
        length = count + 8
        longer = replace(tokens, shape=(length,), lead=(marker, count))
        mask = {"attention_mask": Noise((length,), fill=1)} if "attention_mask" in inputs else {}
        found.append({**inputs, "input_ids": longer, **mask})
    # Some take several images for each text, here one.
    stacked = [
        {name: replace(noise, shape=(1, *noise.shape)) if name in _IMAGES else noise for name, noise in each.items()}
        for each in found
        if set(_IMAGES) & set(each)
    ]
    return found + stacked


def _sound_counts(inputs: dict[str, Noise]) -> list[int]:
    """Return how many features sound may become: its frames, one in two, in four, in eight."""
    frames = max(inputs["input_features"].shape)
    return [frames // step for step in (4, 2, 8, 1)]


def _feature_counts(config: Any, size: int) -> list[int]:
    """Return how many features an image may become: its patches, with a token for all, or merged by 2 × 2 or 4 × 4."""
    side, patch = _setting(config, "image_size"), _setting(config, "patch_size")
    side = side if isinstance(side, int) else size
    patches = (side // patch) ** 2 if isinstance(patch, int) and patch else 0
    declared = [_setting(config, name) for name in ("image_seq_length", "mm_tokens_per_image", "num_query_tokens")]
    counts = [*declared, patches, patches + 1, patches // 4, patches // 16, patches * 5 // 4]
    return [count for count in dict.fromkeys(counts) if isinstance(count, int) and 0 < count <= _MAX_FEATURES]


def _tokens(config: Any, length: int) -> Noise | None:
    vocabulary = _setting(config, "vocab_size")
    if not isinstance(vocabulary, int) or vocabulary < 1:
        return None
    names = (*(f"{name}_token_id" for name in _SPECIAL), *_MARKERS)
    avoid = frozenset(token for name in names for token in _integers(_setting(config, name)))
    ends = _integers(_setting(config, "eos_token_id")) if _setting(config, "is_encoder_decoder") else []
    return Noise(
        (length,), high=vocabulary, avoid=avoid, last=next((end for end in ends if 0 <= end < vocabulary), None)
    )


def _integers(value: Any) -> list[int]:
    """Return a setting that is one token, or several, as a list."""
    return [token for token in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(token, int)]


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


def _waveform(config: Any) -> Noise:
    """Sound, or, for the spectrogram transformers that call theirs the same, frames and bins."""
    frames, bins = _setting(config, "max_length"), _setting(config, "num_mel_bins")
    return Noise((frames, bins)) if isinstance(frames, int) and isinstance(bins, int) else Noise((4000,))


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
