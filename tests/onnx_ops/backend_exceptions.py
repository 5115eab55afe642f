"""What the backend node tests do not show of our operators, each with the reason."""

from __future__ import annotations

_NARROW = ("INT4", "UINT4", "INT2", "UINT2", "FLOAT4E2M1")

FORWARD = {
    "test_resize_downsample_scales_linear_align_corners": "the reference divides by the output's size before it is rounded "
    "down; ONNX Runtime and we by the size that the output has",
    "test_resize_downsample_scales_cubic_align_corners": "the same",
    **dict.fromkeys(
        (
            *(f"test_quantizelinear_{kind}" for kind in ("int4", "int2", "uint2")),
            *(f"test_castlike_{kind}_to_{to}" for kind in ("FLOAT", "FLOAT16") for to in _NARROW),
        ),
        "a tensor of less than 8 bits an element is read into one of 8 bits (FLOAT4E2M1: 32), and an operator that asks for "
        "its type sees those",
    ),
}
"""Case → why its expected output is not ours."""

WITHOUT_GRADIENT = {
    ("", "Bernoulli"): "drawn: no gradient goes through a draw",
    ("", "DynamicQuantizeLinear"): "its scale is a constant for the gradient, as in quantisation-aware training",
    ("", "Hardmax"): "a step function: 0 almost everywhere",
    ("", "MelWeightMatrix"): "made of counts and of limits of frequency: a constant",
    ("", "QuantizeLinear"): "rounds: straight-through, which finite differences cannot show; see test_quantised.py",
    ("ai.onnx.ml", "Binarizer"): "a step function: 0 almost everywhere",
    ("ai.onnx.ml", "TreeEnsemble"): "a step function of its input; its leaves pass theirs, see test_ml_trees.py",
}
"""(domain, operator) → why the gradient in its floating inputs is not compared."""

CONSTANT = {
    **dict.fromkeys(
        (
            *(
                f"test_castlike_{kind}_to_{to}"
                for kind in ("UINT4", "INT4", "UINT2", "INT2")
                for to in ("FLOAT", "FLOAT16")
            ),
            "test_castlike_FLOAT4E2M1_to_FLOAT",
            "test_castlike_FLOAT4E2M1_to_FLOAT16",
        ),
        "what is cast is no float; only its type is asked of the floating input",
    ),
    **dict.fromkeys(
        (
            *(f"test_reduce_{name}_empty_set" for name in ("l1", "l2", "log_sum", "log_sum_exp", "max", "min", "prod")),
            "test_reduce_sum_empty_set",
            "test_reduce_sum_empty_set_non_reduced_axis_zero",
            "test_reduce_sum_square_empty_set",
            "test_reshape_allowzero_reordered",
            "test_slice_start_out_of_bounds",
            "test_split_zero_size_splits_opset13",
            "test_split_zero_size_splits_opset18",
        ),
        "no values go in, or none come out",
    ),
    "test_loop13_seq": "what the loop collects comes from a constant",
    **dict.fromkeys(
        (f"test_mod_float_edge_cases_fmod_0_{kind}" for kind in ("float16", "float32", "float64")),
        "divides by numbers next to zero: the remainder jumps within the step of a finite difference",
    ),
}
"""Case → why its gradient is not compared, although its operator has one."""

NAN_IN_THE_EXPANSION = (
    "test_attention_4d_causal_padded_kv_bf16_expanded",
    "test_attention_causal_boolmask_nan_robustness_expanded",
    "test_attention_23_boolmask_fullymasked_row_nan_robustness_expanded",
    "test_attention_4d_causal_nonpad_negative_offset_structural_empty_expanded",
    "test_attention_23_fullymasked_qk_matmul_output_mode3_zero_expanded",
    "test_attention_24_fullymasked_qk_matmul_output_mode3_zero_expanded",
    "test_attention_24_qk_matmul_output_mode3_softmax_precision_expanded",
    "test_attention_local_window_gqa_rank4_mask_expanded",
)
"""The standard spells these out with a softmax of nothing, which is NaN, and replaces it after: so does the gradient's NaN stay.

The operator itself has its gradient there.
"""
