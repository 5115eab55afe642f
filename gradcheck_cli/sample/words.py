"""Tokens, and what comes beside them, from the config: vocabulary, special tokens, lengths, boxes, codebooks."""

from __future__ import annotations

from typing import Any

from gradcheck_cli.sample.leaf_inputs import LENGTHS
from gradcheck_cli.sample.noise import Noise
from gradcheck_cli.sample.pictures import Form
from gradcheck_cli.sample.placeholders import IMAGE_MARKERS, SOUND_MARKERS
from gradcheck_cli.sample.settings import setting
from gradcheck_cli.sample.signature import Signature

_SPECIAL = ("pad", "bos", "eos", "sep", "cls", "mask", "unk", "decoder_start", "image", "video", "audio")


def tokens_of(config: Any, length: int) -> Noise | None:
    """Return `length` tokens without special ones, where the config has a vocabulary; an encoder's end as it should."""
    vocabulary = setting(config, "vocab_size")
    if not isinstance(vocabulary, int) or vocabulary < 1:
        return None
    names = (*(f"{name}_token_id" for name in _SPECIAL), *IMAGE_MARKERS, *SOUND_MARKERS)
    avoid = frozenset(token for name in names for token in _integers(setting(config, name)))
    ends = _integers(setting(config, "eos_token_id")) if setting(config, "is_encoder_decoder") else []
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
        # The box of a word: an empty one in the corner is valid everywhere. BROS takes the eight numbers of four corners.
        corners = setting(config, "dim_bbox")
        inputs["bbox"] = Noise((length, int(corners)), fill=0.0) if corners else Noise((length, 4), fill=0)
    return inputs


def lengths_of(config: Any) -> tuple[int, ...]:
    """Return the lengths to try, within what the config allows."""
    limits = (setting(config, name) for name in ("max_position_embeddings", "n_positions", "max_target_positions"))
    limit = min((value for value in limits if isinstance(value, int) and value > 0), default=LENGTHS[0])
    return tuple(dict.fromkeys(min(length, limit) for length in LENGTHS))


def _integers(value: Any) -> list[int]:
    """Return a setting that is one token, or several, as a list."""
    return [token for token in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(token, int)]
