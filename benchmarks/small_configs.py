"""Shrinks any transformers config: narrow, shallow, few tokens, small images; by the names of its settings alone.

Several degrees are offered, the smallest first, because a few architectures need relations between their sizes that no
name tells; the first that can be built, and then runs, is taken.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
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
    by_heads: bool = False
    """Cut widths by as much as heads, so that each head stays as wide as it was: rotary sections depend on that."""
    dependent: bool = False
    """Keep the settings that follow from others, too: some defaults are written down and not computed."""


DEGREES = (
    Degree(width=32, heads=4, layers=2),
    Degree(width=64, heads=4, layers=4),
    Degree(width=64, heads=4, layers=2, lists=False),
    Degree(width=64, heads=4, layers=2, images=False),
    Degree(width=128, heads=8, layers=2, images=False, lists=False),
    Degree(width=128, heads=2, layers=2, lists=False),
    Degree(width=256, heads=2, layers=2, lists=False),
    Degree(width=64, heads=2, layers=2, by_heads=True, lists=False),
    Degree(width=64, heads=2, layers=2, by_heads=True, lists=False, dependent=True),
    Degree(width=64, heads=4, layers=12, lists=False),
    Degree(width=64, heads=2, layers=4, by_heads=True, images=False, lists=False, dependent=True),
    Degree(width=4096, heads=64, layers=2, images=False, lists=False, dependent=True),
)

_WIDTHS = {
    *("hidden_size", "d_model", "n_embd", "embed_dim", "hidden_dim", "dim", "embedding_size", "word_embed_proj_dim"),
    *("model_dim", "encoder_hidden_size", "decoder_hidden_size", "d_embed", "emb_dim", "hidden_dimension"),
    *("attention_hidden_size", "projection_dim", "embedding_dim", "width", "out_hidden_size", "lm_hidden_size"),
    *("cross_hidden_size", "text_hidden_size", "audio_hidden_size", "input_dim"),
}
_WIDE = {
    *("intermediate_size", "ffn_dim", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim", "d_inner", "n_inner", "dim_ff"),
    *("ffn_hidden_size", "dim_feedforward", "moe_intermediate_size", "shared_expert_intermediate_size", "mlp_dim"),
    *("encoder_intermediate_size", "decoder_intermediate_size", "feed_forward_size", "d_ffn", "dff", "d_proj"),
    *("moe_shared_expert_intermediate_size", "expert_ffn_hidden_size", "intermediate_dim", "lru_width"),
}
_HEADS = (
    *("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads", "decoder_attention_heads"),
    *("num_key_value_heads", "num_kv_heads", "num_global_key_value_heads", "attention_heads", "nhead"),
    *("encoder_num_attention_heads", "decoder_num_attention_heads", "num_encoder_attention_heads"),
    *("cross_num_attention_heads", "cross_num_key_value_heads"),
)
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
    "v_head_dim",
    "attention_head_size",
    "rotary_dim",
    "cross_head_dim",
}
_TWO_PART_HEADS = {"qk_rope_head_dim": 16, "qk_nope_head_dim": 16, "qk_head_dim": 32}
_IMAGES = {"image_size": 32, "patch_size": 8, "tubelet_size": 2, "num_frames": 4}
_SMALL = {
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_queries"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k", "num_experts_per_token"), 2),
    **dict.fromkeys(("n_group", "num_group", "num_expert_group"), 2),
    **dict.fromkeys(("topk_group", "num_limited_groups"), 1),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "rank"), 16),
    **dict.fromkeys(
        ("max_position_embeddings", "n_positions", "max_sequence_length", "n_ctx", "max_source_positions"), 64
    ),
    "num_object_queries": 10,
    "num_query_tokens": 4,
    "mm_tokens_per_image": 4,
    "context_size": 16,
    "encoder_hash_byte_group_vocab": 500,
    **dict.fromkeys(("chunk_size", "mamba_chunk_size", "latent_query_num"), 8),
}
_FLOATS = {"width_coefficient": 1.0, "depth_coefficient": 1.0}
"""By which EfficientNets are scaled up."""
_OWN_WIDTHS = ("hidden_size", "d_model", "embed_dim", "n_embd", "hidden_sizes", "dim", "emb_dim")
_SPREADS = ("initializer_range", "init_std")
_VOCABULARY = 99
_DEPENDENT = ("layer_types", "rope_parameters", "rope_scaling", "mlp_layer_types", "layers_block_type", "block_types")
"""Settings that follow from others; left out, so that the config computes them anew."""
_NEEDED = {
    **dict.fromkeys(("image_token_id", "image_token_index"), 7),
    "num_experts_per_tok": 2,
    "prediction_length": 4,
    "context_length": 16,
    "initializer_range": 0.02,
}
"""What some configs leave open, or have at a value that is no initialisation (1e-10), and their users' set."""


@dataclass(frozen=True)
class Cut:
    """A degree, applied to one config."""

    degree: Degree
    ratio: float
    """By which widths shrink with the number of heads."""
    staged: bool = False
    """Its parts are stages, whose number stays, and not layers."""
    widths: dict[int, int] = field(default_factory=dict)
    """What the widths of all parts became: the outputs of one part are as wide as the inputs of another."""


def small_configs(kind: type[Any]) -> Iterator[Any]:
    """Yield configs of class `kind`, the smallest first; those that cannot be made are passed over."""
    for degree in DEGREES:
        try:
            config = kind()
            yield _small(config, degree, _widths(config, degree))
        except Exception:
            continue


def _small(config: Any, degree: Degree, widths: dict[int, int]) -> Any:
    """Return a new config like `config`, shrunk."""
    staged = any(name == "depths" or name.startswith("stage_") for name in vars(config))
    cut = Cut(degree, _ratio(config, degree), staged, widths)
    given = inspect.signature(type(config).__init__).parameters
    left_out = () if degree.dependent else _DEPENDENT
    settings: dict[str, Any] = {}
    for name, value in vars(config).items():
        if name.startswith("_") or name in left_out or name in ("model_type", "transformers_version"):
            continue
        if _is_config(value):
            settings[name] = _small(value, degree, widths)
        elif name in given or "kwargs" in given:
            shrunk = _reasonable(name, _shrunk(name, value, cut))
            if shrunk != value:
                settings[name] = shrunk
    if {"width_coefficient", "hidden_dim"} <= set(vars(config)):
        settings["hidden_dim"] = round(config.hidden_dim / config.width_coefficient)
    if {"patch_embeds_hidden_size", "depths"} <= set(vars(config)):
        settings |= {"patch_embeds_hidden_size": 16, "hidden_size": 16 * 2 ** (len(config.depths) - 1)}
    if staged and getattr(config, "out_indices", None):
        settings["out_indices"] = list(config.out_indices)  # kept under a private name, and needed by what follows
    if "embed_dim_per_stage" in vars(config):
        settings["hidden_size"] = settings.get("embed_dim_per_stage", config.embed_dim_per_stage)[0]
    settings |= _as_strong(config, settings)
    if any(isinstance(value, (list, tuple)) and "hidden_size" in name for name, value in vars(config).items()):
        # Stages that halve an image five times in turn leave a single position of 32.
        settings |= {"image_size": 64} if settings.get("image_size") == _IMAGES["image_size"] else {}
    try:
        return type(config)(**settings)
    except TypeError:
        # Some configs take their parts as dicts only.
        plain = {name: value.to_dict() if _is_config(value) else value for name, value in settings.items()}
        return type(config)(**plain)


def _as_strong(config: Any, settings: dict[str, Any]) -> dict[str, float]:
    """Return the spread of the initial weights that gives the narrower layers the gain of the wide ones: σ²·width stays."""
    wide = next((value for name in _OWN_WIDTHS if (value := _mean(getattr(config, name, None)))), 0.0)
    narrow = next((value for name in _OWN_WIDTHS if (value := _mean(settings.get(name)))), wide)
    spreads = {name: settings.get(name, getattr(config, name, None)) for name in _SPREADS}
    if not wide or narrow >= wide:
        return {}
    return {name: value * (wide / narrow) ** 0.5 for name, value in spreads.items() if isinstance(value, float)}


def _mean(value: Any) -> float:
    values = value if isinstance(value, (list, tuple)) else [value]
    usable = bool(values) and all(type(each) is int for each in values)
    return sum(values) / len(values) if usable else 0.0


def _is_config(value: object) -> bool:
    return hasattr(value, "to_dict") and hasattr(value, "model_type")


def _ratio(config: Any, degree: Degree) -> float:
    heads = next((value for name in _HEADS if type(value := getattr(config, name, None)) is int and value), 0)
    return min(1.0, degree.heads / heads) if heads else 1.0


def _widths(config: Any, degree: Degree) -> dict[int, int]:
    """Return what each part's own width becomes, the whole model's first."""
    found: dict[int, int] = {}
    for part in (config, *filter(_is_config, vars(config).values())):
        for name in _OWN_WIDTHS:
            value = getattr(part, name, None)
            if type(value) is int:
                found.setdefault(value, max(1, round(value * _ratio(part, degree))))
    return found


def _reasonable(name: str, value: Any) -> Any:
    if name in _NEEDED and (value is None or (name == "initializer_range" and 0 < value < 1e-6)):
        return _NEEDED[name]
    return value


def _shrunk(name: str, value: Any, cut: Cut) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return _number(name, value, cut)
    if isinstance(value, float):
        return min(value, _FLOATS.get(name, value))
    if isinstance(value, (list, tuple)) and value and cut.degree.lists and all(type(item) is int for item in value):
        return _list(name, value, cut)
    return value


def _number(name: str, value: int, cut: Cut) -> int:
    degree = cut.degree
    if name.endswith("_token_id") or name.endswith("_token_index"):
        return value if value < _VOCABULARY else 3 + sum(map(ord, name)) % (_VOCABULARY - 3)
    if "vocab_size" in name:
        return min(value, _VOCABULARY)
    if degree.by_heads and name in (_WIDTHS | _WIDE):
        return cut.widths.get(value, max(1, round(value * cut.ratio)))
    if degree.by_heads and name in _HEADS:
        return max(1, round(value * cut.ratio))
    sizes = {
        **({} if degree.by_heads else dict.fromkeys(_WIDTHS, degree.width)),
        **dict.fromkeys(_WIDE, 2 * degree.width),
        **dict.fromkeys(_HEADS, degree.heads),
        **dict.fromkeys(_LAYERS, degree.layers),
        **({} if degree.by_heads else dict.fromkeys(_HEAD_WIDTHS, degree.width // degree.heads)),
        **({} if degree.by_heads else _TWO_PART_HEADS),
        **(_IMAGES if degree.images else {}),
        **_SMALL,
    }
    return min(value, sizes[name]) if name in sizes else value


def _list(name: str, values: list[int] | tuple[int, ...], cut: Cut) -> list[int] | tuple[int, ...]:
    if name in ("depths", "num_hidden_layers", "layer_depths", "num_blocks", "encoder_depths", "decoder_depths"):
        return type(values)(min(value, 2) for value in values)
    if name in ("image_size",):
        return type(values)(min(value, 32) for value in values) if cut.degree.images else values
    if name.endswith(("_indices", "_layers", "_idx", "_indexes")):
        last = max(values) if cut.staged else cut.degree.layers - 1
        return type(values)(sorted({min(max(value, 0), last) for value in values}))
    if name in ("num_heads", "num_attention_heads"):
        return type(values)(max(1, value // min(values)) for value in values)
    if name in ("in_channels", "out_channels"):
        return values  # of blocks that follow a stem whose width no setting tells
    if any(word in name for word in ("hidden_size", "embed_dim", "channels", "widths", "hidden_dim", "dims")):
        return type(values)(max(8, value // 8 // 8 * 8) if value >= 8 else value for value in values)
    return values
