"""Published architectures at their own initialisation: healthy, because people train them from there.

The zoo of the tests with a seed of its own, and transformers' models from small configurations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from models import ZOO
from torch import Tensor, nn

from .cases import HEALTHY, Case, Problem
from .surgery import zoo

WHY = "people train it from this initialisation"
SEEDS = 2


class ByName(nn.Module):
    """Calls a transformers model with named inputs and gives its first prediction."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *inputs: Tensor) -> Tensor:
        """Whatever the model takes."""
        output = self.model(**dict(zip(self.names, inputs, strict=True)))
        logits = getattr(output, "logits", None)
        found: Tensor = output.last_hidden_state if logits is None else logits
        return found


_TEXT = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
_IMAGE = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
_LLAMA = {**_TEXT, "num_key_value_heads": 2, "pad_token_id": 0}
_DECODERS = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
}

CONFIGURATIONS: Mapping[str, tuple[str, str, Mapping[str, Any], str]] = {
    "gpt2": (
        "GPT2Config",
        "GPT2LMHeadModel",
        {"vocab_size": 100, "n_embd": 32, "n_layer": 12, "n_head": 4, "n_positions": 64},
        "text",
    ),
    "bert": ("BertConfig", "BertForMaskedLM", _TEXT, "text"),
    "bert-classifier": ("BertConfig", "BertForSequenceClassification", _TEXT, "text"),
    "roberta": ("RobertaConfig", "RobertaForMaskedLM", _TEXT, "text"),
    "distilbert": (
        "DistilBertConfig",
        "DistilBertForSequenceClassification",
        {"vocab_size": 100, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 64},
        "text",
    ),
    "albert": ("AlbertConfig", "AlbertForMaskedLM", {**_TEXT, "embedding_size": 16}, "text"),
    "electra": ("ElectraConfig", "ElectraForPreTraining", {**_TEXT, "embedding_size": 16}, "text"),
    "llama": ("LlamaConfig", "LlamaForCausalLM", _LLAMA, "text"),
    "mistral": ("MistralConfig", "MistralForCausalLM", _LLAMA, "text"),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", _LLAMA, "text"),
    "gemma": ("GemmaConfig", "GemmaForCausalLM", {**_LLAMA, "head_dim": 8}, "text"),
    "opt": (
        "OPTConfig",
        "OPTForCausalLM",
        {
            "vocab_size": 100,
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "ffn_dim": 64,
            "max_position_embeddings": 64,
            "word_embed_proj_dim": 32,
        },
        "text",
    ),
    "gpt_neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM", _TEXT, "text"),
    "gpt_neo": (
        "GPTNeoConfig",
        "GPTNeoForCausalLM",
        {
            "vocab_size": 100,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "max_position_embeddings": 64,
        },
        "text",
    ),
    "bloom": (
        "BloomConfig",
        "BloomForCausalLM",
        {"vocab_size": 100, "hidden_size": 32, "n_layer": 3, "n_head": 4},
        "text",
    ),
    "phi": ("PhiConfig", "PhiForCausalLM", _TEXT, "text"),
    "t5": (
        "T5Config",
        "T5ForConditionalGeneration",
        {"vocab_size": 100, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
        "pair",
    ),
    "bart": (
        "BartConfig",
        "BartForConditionalGeneration",
        {**_DECODERS, "vocab_size": 100, "max_position_embeddings": 64},
        "pair",
    ),
    "vit": ("ViTConfig", "ViTForImageClassification", _IMAGE, "image"),
    "deit": ("DeiTConfig", "DeiTForImageClassification", _IMAGE, "image"),
    "convnext": (
        "ConvNextConfig",
        "ConvNextForImageClassification",
        {"hidden_sizes": [16, 32, 32, 32], "depths": [1, 1, 2, 1], "image_size": 32},
        "image",
    ),
    "swin": (
        "SwinConfig",
        "SwinForImageClassification",
        {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4},
        "image",
    ),
    "resnet": (
        "ResNetConfig",
        "ResNetForImageClassification",
        {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [2, 2], "layer_type": "basic"},
        "image",
    ),
    "wav2vec2": (
        "Wav2Vec2Config",
        "Wav2Vec2ForCTC",
        {
            **_TEXT,
            "conv_dim": (32, 32, 32),
            "conv_stride": (5, 2, 2),
            "conv_kernel": (10, 3, 3),
            "num_feat_extract_layers": 3,
            "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 4,
            "apply_spec_augment": False,
            "layerdrop": 0.0,
        },
        "audio",
    ),
    "whisper": (
        "WhisperConfig",
        "WhisperForConditionalGeneration",
        {
            **_DECODERS,
            "vocab_size": 100,
            "num_mel_bins": 16,
            "max_source_positions": 20,
            "max_target_positions": 32,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 1,
            "begin_suppress_tokens": None,
            "suppress_tokens": None,
        },
        "speech",
    ),
    "mamba": (
        "MambaConfig",
        "MambaForCausalLM",
        {"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
        "text",
    ),
}
"""Name → configuration class, model class, small sizes, kind of input."""


def _ids(length: int = 12) -> Tensor:
    return torch.randint(3, 100, (4, length))


INPUTS: Mapping[str, tuple[tuple[str, ...], Callable[[], tuple[Tensor, ...]]]] = {
    "text": (("input_ids",), lambda: (_ids(),)),
    "pair": (("input_ids", "decoder_input_ids"), lambda: (_ids(), _ids(8))),
    "image": (("pixel_values",), lambda: (torch.randn(4, 3, 32, 32),)),
    "audio": (("input_values",), lambda: (torch.randn(4, 1600),)),
    "speech": (("input_features", "decoder_input_ids"), lambda: (torch.randn(4, 16, 40), _ids(8))),
}


def _transformers(name: str) -> Callable[[], Problem]:
    def build() -> Problem:
        import transformers

        configuration, model, sizes, kind = CONFIGURATIONS[name]
        names, draw = INPUTS[kind]
        config = getattr(transformers, configuration)(**sizes)
        return Problem(ByName(getattr(transformers, model)(config), names), [draw()])

    return build


def _from_zoo(name: str) -> Callable[[], Problem]:
    def build() -> Problem:
        net, inputs = zoo(name)
        return Problem(net, [inputs])

    return build


def cases() -> list[Case]:
    """All of the family."""
    found = [
        Case(f"architectures/{name}-seed{seed}", "practice", _from_zoo(name), HEALTHY, WHY)
        for name in ZOO
        for seed in range(SEEDS)
    ]
    found += [
        Case(f"architectures/transformers-{name}", "practice", _transformers(name), HEALTHY, WHY)
        for name in CONFIGURATIONS
    ]
    return found
