"""Tokens, and what comes beside them, from the config: vocabulary, special tokens, lengths, boxes, codebooks."""

from __future__ import annotations

from typing import Any

from gradcheck_cli.sample.leaf_inputs import LENGTHS
from gradcheck_cli.sample.noise import Noise
from gradcheck_cli.sample.patterns import Boxes
from gradcheck_cli.sample.pictures import Form
from gradcheck_cli.sample.placeholders import IMAGE_MARKERS, SOUND_MARKERS
from gradcheck_cli.sample.settings import setting
from gradcheck_cli.sample.signature import Signature

_ENDED = ("is_encoder_decoder", "projection_dim")
"""Settings of models that look for the end of a text: encoders, and those like CLIP, which read it off there."""
_SPECIAL = ("pad", "bos", "eos", "sep", "cls", "mask", "unk", "decoder_start", "image", "video", "audio")


def tokens_of(config: Any, length: int) -> Noise | None:
    """Return `length` tokens without special ones, where the config has a vocabulary; with an end where one is looked for."""
    vocabulary = setting(config, "vocab_size")
    if not isinstance(vocabulary, int) or vocabulary < 1:
        return None
    names = (*(f"{name}_token_id" for name in _SPECIAL), *IMAGE_MARKERS, *SOUND_MARKERS)
    avoid = frozenset(token for name in names for token in _integers(setting(config, name)))
    is_ended = any(setting(config, name) for name in _ENDED)
    ends = _integers(setting(config, "eos_token_id")) if is_ended else []
    last = next((end for end in ends if 0 <= end < vocabulary), None)
    return Noise((length,), high=vocabulary, avoid=avoid, last=last)


def text(config: Any, signature: Signature, tokens: Noise | None, length: int) -> Form:
    """Return the inputs of a text of `tokens`: itself, its mask, the decoder's tokens, the boxes of its words."""
    inputs: Form = {}
    if tokens is None:
        return inputs
    if signature.names("input_ids"):
        inputs["input_ids"] = tokens
        if signature.names("attention_mask"):
            inputs["attention_mask"] = Noise((length,), fill=1)
    if signature.names("decoder_input_ids") and setting(config, "is_encoder_decoder"):
        inputs["decoder_input_ids"] = tokens
    if signature.names("bbox"):
        # BROS takes fractions of the page, and the eight numbers of four corners.
        corners, page = setting(config, "dim_bbox"), setting(config, "max_2d_position_embeddings") or 1000
        inputs["bbox"] = Boxes((length, int(corners))) if corners else Boxes((length, 4), high=int(page))
    return inputs


def lengths_of(config: Any) -> tuple[int, ...]:
    """Return the lengths to try, within what the config allows."""
    limits = (setting(config, name) for name in ("max_position_embeddings", "n_positions", "max_target_positions"))
    limit = min((value for value in limits if isinstance(value, int) and value > 0), default=LENGTHS[0])
    return tuple(dict.fromkeys(min(length, limit) for length in LENGTHS))


def _integers(value: Any) -> list[int]:
    """Return a setting that is one token, or several, as a list."""
    return [token for token in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(token, int)]
