"""What the format lost of each network's parameters, and why: exporters compute ahead, or leave out what only training needs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from exporting import Variant


@dataclass(frozen=True)
class Loss:
    """Parameters that an export does not have as they were."""

    networks: str
    """Regular expression of their names."""
    parameters: str
    """Regular expression of the names, ours and the original's."""
    why: str
    kept: bool = False
    """Without optimisation too."""

    def covers(self, network: str, variant: Variant, parameter: str) -> bool:
        """Whether it explains that this parameter is missing, or differs."""
        stage = self.kept or variant.folded
        return stage and bool(re.fullmatch(self.networks, network)) and bool(re.search(self.parameters, parameter))


_AHEAD = "computed ahead from parameters and constants alone"
_SHARED = "equal at the beginning, and written once"
_DETACHED = "detach, a straight-through estimator or a gradient of the user's own is not in the file"

LOSSES = (
    Loss(
        "hf_deberta",
        r"rel_embeddings|attention\.self\.pos_|embeddings\.LayerNorm|encoder\.LayerNorm|^transpose|query_proj|key_proj",
        _AHEAD,
    ),
    Loss("hf_funnel", r"attention\.r_|^einsum", _AHEAD),
    Loss("hf_xlnet", r"rel_attn\.r$|^einsum", _AHEAD),
    Loss("hf_mamba|mamba", r"A_log|log_a", _AHEAD),
    Loss(
        "hf_rwkv|rwkv",
        r"time_mix|time_decay|mixer\.(mix|decay)|attention\.weight|feed_forward\.weight",
        "1 - mix is " + _AHEAD,
    ),
    Loss("hf_dinov2", r"position_embeddings|embeddings\.weight", "interpolated, " + _AHEAD),
    Loss(
        "hf_(swin|mpnet|t5|t5_gated)|swin|t5_relative_bias",
        r"relative_(position_bias|attention_bias)|bias_table|mixer\.bias",
        "gathered, " + _AHEAD,
    ),
    Loss(
        "hf_(clip|ast|deit|poolformer)",
        r"logit_scale|cls_token|distillation_token|layer_scale_\d",
        _SHARED + ", or " + _AHEAD,
    ),
    Loss("two_towers|spline_flow|graph_isomorphism|soft_trees", r"logit_scale|log_scale|eps|choice|Einsum", _AHEAD),
    Loss("hf_gpt_neox", r"layernorm", _SHARED + ": the same norm of the same values is computed once"),
    Loss("gpt|bert", r"wpe|position", "rows of a table, under a name that the exporter made up"),
    Loss("fourier_filter|complex_valued", r"filter|first|second", "parts of complex numbers, " + _AHEAD),
    Loss("state_space|set_transformer|perceiver", r"log_decay|mix|unsqueeze|points|seed|^transpose|latents", _AHEAD),
    Loss(
        "stacked_recurrent|lstm_cell_loop|rnn_classifier",
        r"bias_hh",
        "the first step, from a state of zeros, is " + _AHEAD,
    ),
    Loss("autoregressive_flow|pixel_cnn", r"weight", "multiplied by its mask, " + _AHEAD),
    Loss("hf_(convnextv2|beit)", r"grn|lambda_", _SHARED + ": two parameters of one module"),
    Loss("norms", r"plain\.weight", _SHARED + ": the ones of a norm without weights, and those of one with"),
    Loss("margin_head", r"weight", "normalised, " + _AHEAD),
    Loss("vq_vae|spiking|equilibrium", r"", _DETACHED, kept=True),
)

UNFAITHFUL = {
    "vae": "draws random numbers",
    "conv_vae": "draws random numbers",
    "bayesian": "draws random numbers",
    "gaussian_policy": "draws random numbers",
    "hf_time_series": "the older exporter writes unfold wrongly: ONNX Runtime refuses it",
    "patch_forecaster": "the older exporter writes unfold wrongly: ONNX Runtime refuses it",
    "scatter_graph": "the older exporter writes scatter_add without its sum before opset 16",
    "bert": "ONNX Runtime's Attention refuses the mask at opset 23",
    "capsules": "the newer exporter rewrites a norm so that a vector of zeros gives NaN",
}
"""Networks of which some exports compute something else than the original, by ONNX Runtime too."""
