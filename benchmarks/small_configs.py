"""Shrinks any transformers config: narrow, shallow, few tokens, small images; by the names of its settings alone.

Several degrees are offered, the smallest first, because a few architectures need relations between their sizes that no
name tells; the first that can be built is taken.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Degree:
    """How small."""

    width: int
    heads: int
    layers: int
    images: bool = True
    """Shrink images and patches, too."""
    lists: bool = True
    """Shrink lists of widths and depths, too."""


DEGREES = (
    Degree(width=32, heads=4, layers=2),
    Degree(width=64, heads=4, layers=4),
    Degree(width=64, heads=4, layers=2, lists=False),
    Degree(width=64, heads=4, layers=2, images=False),
    Degree(width=128, heads=8, layers=2, images=False, lists=False),
)

_WIDTHS = {
    *("hidden_size", "d_model", "n_embd", "embed_dim", "hidden_dim", "dim", "embedding_size", "word_embed_proj_dim"),
    *("model_dim", "encoder_hidden_size", "decoder_hidden_size", "d_embed", "emb_dim", "hidden_dimension"),
    *("attention_hidden_size", "projection_dim", "embedding_dim", "width", "out_hidden_size", "lm_hidden_size"),
}
_WIDE = {
    *("intermediate_size", "ffn_dim", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim", "d_inner", "n_inner", "dim_ff"),
    *("ffn_hidden_size", "dim_feedforward", "moe_intermediate_size", "shared_expert_intermediate_size", "mlp_dim"),
    *("encoder_intermediate_size", "decoder_intermediate_size", "feed_forward_size", "d_ffn", "dff", "d_proj"),
    *("moe_shared_expert_intermediate_size", "expert_ffn_hidden_size", "intermediate_dim", "lru_width"),
}
_HEADS = {
    *("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads", "decoder_attention_heads"),
    *("num_key_value_heads", "num_kv_heads", "num_global_key_value_heads", "attention_heads", "nhead"),
    *("encoder_num_attention_heads", "decoder_num_attention_heads", "num_encoder_attention_heads"),
}
_LAYERS = {
    *("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers", "depth"),
    *("num_encoder_layers", "num_decoder_layers", "encoder_num_hidden_layers", "decoder_num_hidden_layers"),
    *("num_blocks", "num_transformer_layers", "enc_layers", "dec_layers"),
}
_HEAD_WIDTHS = {
    "head_dim",
    "attention_head_dim",
    "d_kv",
    "kv_channels",
    "qk_head_dim",
    "v_head_dim",
    "attention_head_size",
}
_IMAGES = {"image_size": 32, "patch_size": 8, "tubelet_size": 2, "num_frames": 4}
_SMALL = {
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_queries"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k", "num_experts_per_token"), 2),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "q_lora_rank", "kv_lora_rank", "rank"), 16),
    **dict.fromkeys(
        ("max_position_embeddings", "n_positions", "max_sequence_length", "n_ctx", "max_source_positions"), 64
    ),
    "num_object_queries": 10,
    "num_query_tokens": 4,
}
_VOCABULARY = 99
_DEPENDENT = ("layer_types", "rope_parameters", "rope_scaling", "mlp_layer_types", "layers_block_type", "block_types")
"""Settings that follow from others; left out, so that the config computes them anew."""


def small_configs(kind: type[Any]) -> Iterator[Any]:
    """Yield configs of class `kind`, the smallest first; those that cannot be made are passed over."""
    for degree in DEGREES:
        try:
            yield _small(kind(), degree)
        except Exception:
            continue


def _small(config: Any, degree: Degree) -> Any:
    """Return a new config like `config`, shrunk."""
    given = inspect.signature(type(config).__init__).parameters
    settings: dict[str, Any] = {}
    for name, value in vars(config).items():
        if name.startswith("_") or name in _DEPENDENT or name in ("model_type", "transformers_version"):
            continue
        if _is_config(value):
            settings[name] = _small(value, degree)
        elif name in given or "kwargs" in given:
            shrunk = _shrunk(name, value, degree)
            if shrunk != value:
                settings[name] = shrunk
    try:
        return type(config)(**settings)
    except TypeError:
        # Some configs take their parts as dicts only.
        plain = {name: value.to_dict() if _is_config(value) else value for name, value in settings.items()}
        return type(config)(**plain)


def _is_config(value: object) -> bool:
    return hasattr(value, "to_dict") and hasattr(value, "model_type")


def _shrunk(name: str, value: Any, degree: Degree) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return _number(name, value, degree)
    if isinstance(value, (list, tuple)) and value and degree.lists and all(type(item) is int for item in value):
        return _list(name, value, degree)
    return value


def _number(name: str, value: int, degree: Degree) -> int:
    if name.endswith("_token_id") or name.endswith("_token_index"):
        return value if value < _VOCABULARY else 3 + sum(map(ord, name)) % (_VOCABULARY - 3)
    if "vocab_size" in name:
        return min(value, _VOCABULARY)
    sizes = {
        **dict.fromkeys(_WIDTHS, degree.width),
        **dict.fromkeys(_WIDE, 2 * degree.width),
        **dict.fromkeys(_HEADS, degree.heads),
        **dict.fromkeys(_LAYERS, degree.layers),
        **dict.fromkeys(_HEAD_WIDTHS, degree.width // degree.heads),
        **(_IMAGES if degree.images else {}),
        **_SMALL,
    }
    return min(value, sizes[name]) if name in sizes else value


def _list(name: str, values: list[int] | tuple[int, ...], degree: Degree) -> list[int] | tuple[int, ...]:
    if name in ("depths", "num_hidden_layers", "layer_depths", "num_blocks", "encoder_depths", "decoder_depths"):
        return type(values)(min(value, 2) for value in values)
    if name in ("image_size",):
        return type(values)(min(value, 32) for value in values) if degree.images else values
    if name.endswith(("_indices", "_layers", "_idx", "_indexes")):
        return type(values)(sorted({min(max(value, 0), degree.layers - 1) for value in values}))
    if any(word in name for word in ("hidden_size", "embed_dim", "channels", "widths", "hidden_dim", "dims")):
        return type(values)(max(8, value // 8 // 8 * 8) if value >= 8 else value for value in values)
    return values
