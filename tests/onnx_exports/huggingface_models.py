"""Models of transformers, built small from their configurations: nothing is downloaded."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from models.zoo import Built

Builder = Callable[[], Built]
Inputs = tuple[Any, ...] | dict[str, Any]
VOCABULARY = 60
_TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 32, "pad_token_id": 0,
}  # fmt: skip
_LLAMA = {**_TEXT, "num_key_value_heads": 2, "head_dim": 8, "bos_token_id": 1, "eos_token_id": 2}
_VISION: dict[str, Any] = {
    "image_size": 16, "patch_size": 4, "num_channels": 3, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48,
}  # fmt: skip
_AUDIO: dict[str, Any] = {
    "vocab_size": 20, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "conv_dim": (16, 16), "conv_stride": (3, 2), "conv_kernel": (6, 3), "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip


def _ids(length: int = 9) -> torch.Tensor:
    return torch.randint(3, VOCABULARY, (2, length))


def _images(size: int = 16) -> torch.Tensor:
    return torch.randn(2, 3, size, size)


def _built(model: str, config: str, inputs: Callable[[], Inputs], options: dict[str, Any]) -> Built:
    import transformers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = getattr(transformers, config)(**{"attn_implementation": "eager", **options})
        module = getattr(transformers, model)(made)
        given = inputs()
        names = tuple(given) if isinstance(given, dict) else ()
        module.__class__ = _giving_tensors(type(module), names)
        return module.eval(), tuple(given.values()) if isinstance(given, dict) else given


def _giving_tensors(base: type[Any], names: tuple[str, ...]) -> type[Any]:
    """The class, but for its output, the tensors alone, as exporters want them; `names`: its inputs', if not the first."""

    def forward(self: Any, *args: Any) -> tuple[torch.Tensor, ...]:
        output = base.forward(self, **dict(zip(names, args, strict=True))) if names else base.forward(self, *args)
        return tuple(value for value in output.to_tuple() if isinstance(value, torch.Tensor))

    return type(base.__name__, (base,), {"forward": forward})


def _text(model: str, config: str, **options: Any) -> Builder:
    return functools.partial(_built, model, config, lambda: (_ids(),), {**_TEXT, **options})


def _causal(model: str, config: str, **options: Any) -> Builder:
    return functools.partial(_built, model, config, _ids_and_mask, {**_LLAMA, "use_cache": False, **options})


def _ids_and_mask() -> dict[str, Any]:
    return {"input_ids": _ids(), "attention_mask": torch.ones(2, 9, dtype=torch.long)}


def _vision(model: str, config: str, size: int = 16, **options: Any) -> Builder:
    return functools.partial(_built, model, config, lambda: (_images(size),), options)


def _other(model: str, config: str, inputs: Callable[[], Inputs], **options: Any) -> Builder:
    return functools.partial(_built, model, config, inputs, options)


def _seq2seq() -> dict[str, Any]:
    return {"input_ids": _ids(9), "attention_mask": torch.ones(2, 9, dtype=torch.long), "decoder_input_ids": _ids(6)}


_ENCODER_DECODER: dict[str, Any] = {
    "vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 32, "use_cache": False,
    "pad_token_id": 0,
}  # fmt: skip
_T5: dict[str, Any] = {
    "vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "use_cache": False,
    "decoder_start_token_id": 0,
}  # fmt: skip

MODELS: dict[str, Builder] = {
    "hf_bert": _text("BertForSequenceClassification", "BertConfig"),
    "hf_bert_sdpa": _text("BertForMaskedLM", "BertConfig", attn_implementation="sdpa"),
    "hf_roberta": _text("RobertaForTokenClassification", "RobertaConfig"),
    "hf_distilbert": _other(
        "DistilBertForSequenceClassification",
        "DistilBertConfig",
        lambda: (_ids(),),
        vocab_size=VOCABULARY,
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=48,
        max_position_embeddings=32,
    ),
    "hf_albert": _text("AlbertForMaskedLM", "AlbertConfig", embedding_size=16),
    "hf_electra": _text("ElectraForPreTraining", "ElectraConfig", embedding_size=16),
    "hf_deberta": _text(
        "DebertaV2ForSequenceClassification", "DebertaV2Config", relative_attention=True, pos_att_type=["p2c", "c2p"]
    ),
    "hf_mpnet": _text("MPNetForMaskedLM", "MPNetConfig"),
    "hf_mobilebert": _text(
        "MobileBertForSequenceClassification",
        "MobileBertConfig",
        embedding_size=16,
        intra_bottleneck_size=16,
        true_hidden_size=16,
    ),
    "hf_squeezebert": _text("SqueezeBertForSequenceClassification", "SqueezeBertConfig", embedding_size=32),
    "hf_convbert": _text("ConvBertForSequenceClassification", "ConvBertConfig", embedding_size=16, head_ratio=2),
    "hf_funnel": _other(
        "FunnelForSequenceClassification",
        "FunnelConfig",
        lambda: (_ids(8),),
        vocab_size=VOCABULARY,
        block_sizes=[1, 1],
        d_model=32,
        n_head=4,
        d_head=8,
        d_inner=48,
        num_decoder_layers=1,
    ),
    "hf_fnet": _text("FNetForSequenceClassification", "FNetConfig"),
    "hf_nystromformer": _text(
        "NystromformerForSequenceClassification", "NystromformerConfig", num_landmarks=8, segment_means_seq_len=8
    ),
    "hf_modernbert": _text(
        "ModernBertForSequenceClassification",
        "ModernBertConfig",
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=1,
        sep_token_id=2,
    ),
    "hf_xlnet": _other(
        "XLNetForSequenceClassification",
        "XLNetConfig",
        lambda: (_ids(),),
        vocab_size=VOCABULARY,
        d_model=32,
        n_layer=2,
        n_head=4,
        d_inner=48,
        use_mems_eval=False,
    ),
    "hf_gpt2": _other(
        "GPT2LMHeadModel",
        "GPT2Config",
        _ids_and_mask,
        vocab_size=VOCABULARY,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=32,
        use_cache=False,
    ),
    "hf_gpt_neo": _other(
        "GPTNeoForCausalLM",
        "GPTNeoConfig",
        _ids_and_mask,
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        intermediate_size=48,
        max_position_embeddings=32,
        window_size=4,
        use_cache=False,
    ),
    "hf_gpt_neox": _causal("GPTNeoXForCausalLM", "GPTNeoXConfig"),
    "hf_gptj": _other(
        "GPTJForCausalLM",
        "GPTJConfig",
        _ids_and_mask,
        vocab_size=VOCABULARY,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=32,
        rotary_dim=4,
        use_cache=False,
    ),
    "hf_bloom": _other(
        "BloomForCausalLM",
        "BloomConfig",
        _ids_and_mask,
        vocab_size=VOCABULARY,
        hidden_size=32,
        n_layer=2,
        n_head=4,
        use_cache=False,
    ),
    "hf_opt": _causal("OPTForCausalLM", "OPTConfig", ffn_dim=48, word_embed_proj_dim=16),
    "hf_llama": _causal("LlamaForCausalLM", "LlamaConfig"),
    "hf_llama_sdpa": _causal("LlamaForCausalLM", "LlamaConfig", attn_implementation="sdpa"),
    "hf_mistral": _causal("MistralForCausalLM", "MistralConfig", sliding_window=4),
    "hf_qwen2": _causal("Qwen2ForCausalLM", "Qwen2Config"),
    "hf_qwen3": _causal("Qwen3ForCausalLM", "Qwen3Config"),
    "hf_gemma": _causal("GemmaForCausalLM", "GemmaConfig"),
    "hf_gemma2": _causal("Gemma2ForCausalLM", "Gemma2Config", sliding_window=4),
    "hf_phi": _causal("PhiForCausalLM", "PhiConfig", partial_rotary_factor=0.5),
    "hf_phi3": _causal("Phi3ForCausalLM", "Phi3Config"),
    "hf_falcon": _other("FalconForCausalLM", "FalconConfig", _ids_and_mask, **_TEXT, use_cache=False),
    "hf_stablelm": _causal("StableLmForCausalLM", "StableLmConfig"),
    "hf_olmo": _causal("OlmoForCausalLM", "OlmoConfig"),
    "hf_cohere": _causal("CohereForCausalLM", "CohereConfig"),
    "hf_mamba": _other(
        "MambaForCausalLM",
        "MambaConfig",
        lambda: (_ids(),),
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        state_size=4,
        use_cache=False,
    ),
    "hf_rwkv": _other(
        "RwkvForCausalLM",
        "RwkvConfig",
        lambda: (_ids(6),),
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        attention_hidden_size=16,
        context_length=32,
        use_cache=False,
    ),
    "hf_mixtral": _causal("MixtralForCausalLM", "MixtralConfig", num_local_experts=3, num_experts_per_tok=2),
    "hf_t5": _other("T5ForConditionalGeneration", "T5Config", _seq2seq, **_T5),
    "hf_t5_gated": _other("T5ForConditionalGeneration", "T5Config", _seq2seq, feed_forward_proj="gated-gelu", **_T5),
    "hf_bart": _other("BartForConditionalGeneration", "BartConfig", _seq2seq, **_ENCODER_DECODER),
    "hf_pegasus": _other("PegasusForConditionalGeneration", "PegasusConfig", _seq2seq, **_ENCODER_DECODER),
    "hf_marian": _other("MarianMTModel", "MarianConfig", _seq2seq, decoder_start_token_id=0, **_ENCODER_DECODER),
    "hf_whisper": _other(
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        lambda: {"input_features": torch.randn(2, 8, 32), "decoder_input_ids": _ids(6)},
        **{
            **_ENCODER_DECODER,
            "num_mel_bins": 8,
            "max_source_positions": 16,
            "max_target_positions": 16,
            "decoder_start_token_id": 1,
        },
    ),
    "hf_wav2vec2": _other("Wav2Vec2ForCTC", "Wav2Vec2Config", lambda: (torch.randn(2, 200),), **_AUDIO),
    "hf_hubert": _other("HubertForCTC", "HubertConfig", lambda: (torch.randn(2, 200),), **_AUDIO),
    "hf_ast": _other(
        "ASTForAudioClassification",
        "ASTConfig",
        lambda: (torch.randn(2, 32, 16),),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        patch_size=8,
        frequency_stride=8,
        time_stride=8,
        max_length=32,
        num_mel_bins=16,
    ),
    "hf_vit": _vision("ViTForImageClassification", "ViTConfig", **_VISION),
    "hf_vit_sdpa": _vision("ViTForImageClassification", "ViTConfig", **{**_VISION, "attn_implementation": "sdpa"}),
    "hf_deit": _vision("DeiTForImageClassification", "DeiTConfig", **_VISION),
    "hf_beit": _vision("BeitForImageClassification", "BeitConfig", **_VISION),
    "hf_dinov2": _vision("Dinov2ForImageClassification", "Dinov2Config", **{**_VISION, "mlp_ratio": 2}),
    "hf_swin": _vision(
        "SwinForImageClassification",
        "SwinConfig",
        image_size=16,
        patch_size=2,
        embed_dim=16,
        depths=[2, 1],
        num_heads=[2, 4],
        window_size=4,
    ),
    "hf_convnext": _vision(
        "ConvNextForImageClassification", "ConvNextConfig", 32, hidden_sizes=[8, 16], depths=[1, 1], num_stages=2
    ),
    "hf_convnextv2": _vision(
        "ConvNextV2ForImageClassification", "ConvNextV2Config", 32, hidden_sizes=[8, 16], depths=[1, 1], num_stages=2
    ),
    "hf_resnet": _vision(
        "ResNetForImageClassification", "ResNetConfig", 32, embedding_size=8, hidden_sizes=[16, 24], depths=[1, 2]
    ),
    "hf_regnet": _vision(
        "RegNetForImageClassification",
        "RegNetConfig",
        32,
        embedding_size=8,
        hidden_sizes=[16, 24],
        depths=[1, 1],
        groups_width=8,
    ),
    "hf_mobilenet_v1": _vision("MobileNetV1ForImageClassification", "MobileNetV1Config", 32, depth_multiplier=0.25),
    "hf_mobilenet_v2": _vision("MobileNetV2ForImageClassification", "MobileNetV2Config", 32, depth_multiplier=0.25),
    "hf_poolformer": _vision(
        "PoolFormerForImageClassification", "PoolFormerConfig", 32, hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 1]
    ),
    "hf_segformer": _vision(
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        32,
        hidden_sizes=[8, 16, 16, 24],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 2, 2, 4],
        decoder_hidden_size=16,
    ),
    "hf_mobilevit": _vision(
        "MobileViTForImageClassification",
        "MobileViTConfig",
        32,
        image_size=32,
        hidden_sizes=[12, 16, 24],
        neck_hidden_sizes=[4, 8, 8, 12, 16, 16, 24],
    ),
    "hf_clip": _other(
        "CLIPModel",
        "CLIPConfig",
        lambda: (_ids(), _images()),
        text_config={**_TEXT, "eos_token_id": 2},
        vision_config=_VISION,
        projection_dim=16,
    ),
    "hf_time_series": _other(
        "PatchTSTForPrediction",
        "PatchTSTConfig",
        lambda: (torch.randn(2, 24, 3),),
        num_input_channels=3,
        context_length=24,
        patch_length=4,
        patch_stride=4,
        num_hidden_layers=2,
        d_model=16,
        num_attention_heads=2,
        ffn_dim=24,
        prediction_length=4,
        scaling=None,
    ),
}
