"""Small transformers models built from a config, as entry points: ``sample_models/transformers_models.py:gpt2``.

Nothing is downloaded: the weights are the library's own random initialisation, seeded.
"""

from __future__ import annotations

import torch
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel


def gpt2() -> torch.nn.Module:
    """Healthy: three blocks of width 64, output and input embeddings tied."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=128, n_positions=64, n_embd=64, n_layer=3, n_head=4, bos_token_id=0, eos_token_id=0)
    return GPT2LMHeadModel(config)


def gpt2_broken() -> torch.nn.Module:
    """Dead: the bias of ``transformer.h.1.mlp.c_fc`` is -50, where GELU is flat; the rest lives on."""
    model = gpt2()
    torch.nn.init.constant_(model.get_parameter("transformer.h.1.mlp.c_fc.bias"), -50.0)
    return model


def bert() -> torch.nn.Module:
    """Healthy: two layers of width 64, three classes."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=128, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=64,
    )  # fmt: skip
    config.num_labels = 3
    return BertForSequenceClassification(config)


def bert_broken() -> torch.nn.Module:
    """Exploding: one weight of ``bert.encoder.layer.1.intermediate.dense`` is NaN."""
    model = bert()
    with torch.no_grad():
        model.get_parameter("bert.encoder.layer.1.intermediate.dense.weight")[3, 5] = float("nan")
    return model
