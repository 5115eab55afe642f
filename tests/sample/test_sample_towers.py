"""Made-up inputs of real transformers models that take more than tokens or one picture: every part is to be reached."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sample_subjects import draw, subject_of
from torch import nn

transformers = pytest.importorskip("transformers")

B = 3
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 60,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 4,
}
QWEN_VISION = {
    "depth": 1,
    "embed_dim": 32,
    "hidden_size": 32,
    "num_heads": 2,
    "mlp_ratio": 1,
    "patch_size": 4,
    "spatial_merge_size": 2,
}
GEMMA_VISION = VISION | {
    "num_key_value_heads": 2,
    "head_dim": 16,
    "pooling_kernel_size": 2,
    "position_embedding_size": 64,
}
SERIES = {"prediction_length": 4, "context_length": 12, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1}
LAYERS = {"l_layers": 1, "x_layers": 1, "r_layers": 1}
AUDIO = {
    "d_model": 32,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "num_mel_bins": 8,
    "max_source_positions": 16,
}

Shapes = dict[str, tuple[int, ...]]
MODELS: dict[str, tuple[str, dict[str, Any], Shapes]] = {
    # placeholders in the text, as many as the model's own tower makes features
    "Llava": (
        "LlavaModel",
        {
            "text_config": {"model_type": "llama", **TEXT},
            "vision_config": {"model_type": "clip_vision_model", **VISION},
            "vision_feature_layer": -1,
            "image_token_id": 7,
        },
        {"pixel_values": (B, 3, 16, 16), "input_ids": (B, 16 + 8)},
    ),
    # patches of all images in one table, with a grid for each
    "Qwen2VL": (
        "Qwen2VLModel",
        {
            "text_config": {
                **TEXT,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
            },
            "vision_config": QWEN_VISION,
            "image_token_id": 7,
            "video_token_id": 8,
            "vision_start_token_id": 9,
            "vision_end_token_id": 10,
        },
        {"pixel_values": (16 * B, 3 * 2 * 4 * 4), "image_grid_thw": (B, 3), "mm_token_type_ids": (B, 12)},
    ),
    # patches with the place of each
    "Gemma4Vision": (
        "Gemma4VisionModel",
        GEMMA_VISION,
        {"pixel_values": (B, 16, 3 * 4 * 4), "pixel_position_ids": (B, 16, 2)},
    ),
    # patches with the size of the image
    "Siglip2Vision": (
        "Siglip2VisionModel",
        VISION | {"num_patches": 16},
        {"pixel_values": (B, 16, 3 * 4 * 4), "pixel_attention_mask": (B, 16), "spatial_shapes": (B, 2)},
    ),
    # sound between the tokens
    "Qwen2Audio": (
        "Qwen2AudioForConditionalGeneration",
        {
            "text_config": {"model_type": "qwen2", **TEXT},
            "audio_config": {"model_type": "qwen2_audio_encoder", **AUDIO},
            "audio_token_id": 7,
        },
        {"input_features": (B, 8, 32)},
    ),
    # a series that goes on
    "Informer": (
        "InformerModel",
        SERIES | {"num_time_features": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2},
        {"past_values": (B, 12 + 7), "past_time_features": (B, 19, 2), "future_values": (B, 4)},
    ),
    "PatchTST": (
        "PatchTSTModel",
        {"context_length": 12, "num_input_channels": 3, "patch_length": 3, "patch_stride": 3, "d_model": 16},
        {"past_values": (B, 12, 3)},
    ),
    # widths that the config names after the inputs
    "DecisionTransformer": (
        "DecisionTransformerModel",
        {"state_dim": 5, "act_dim": 2, "hidden_size": 16, "n_layer": 1, "n_head": 1},
        {"states": (B, 16, 5), "actions": (B, 16, 2), "timesteps": (B, 16), "returns_to_go": (B, 16, 1)},
    ),
    "Lxmert": (
        "LxmertModel",
        {**TEXT, **LAYERS, "visual_feat_dim": 9, "visual_pos_dim": 4},
        {"input_ids": (B, 16), "visual_feats": (B, 16, 9), "visual_pos": (B, 16, 4)},
    ),
    # no cache can be made where all layers are recurrent
    "Bamba": (
        "BambaModel",
        {
            **TEXT,
            **{"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_chunk_size": 8},
        },
        {"input_ids": (B, 16)},
    ),
}


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    kind, settings, _ = MODELS[name]
    found = getattr(transformers, kind, None)
    if found is None:
        pytest.skip(f"this version of transformers has no {kind}")
    module = found(found.config_class(**settings))
    assert isinstance(module, nn.Module)
    return module


@pytest.mark.parametrize("name", MODELS)
def test_every_form_of_input(name: str) -> None:
    module = built(name)
    sample = draw(subject_of(module), batch_size=B, batches=2)
    for batch in sample.batches:
        assert batch.size == B
        for key, shape in MODELS[name][2].items():
            assert tuple(batch.kwargs[key].shape) == shape, key
        module.train()(**batch.kwargs)
    assert len(sample.remarks) == 1


@pytest.mark.parametrize(
    ("name", "tower"), [("Llava", "vision_tower"), ("Qwen2VL", "visual"), ("Qwen2Audio", "audio_tower")]
)
def test_towers_beside_the_text_hear_the_output(name: str, tower: str) -> None:
    module = built(name).train()
    kwargs = draw(subject_of(module), batch_size=2, batches=1).batches[0].kwargs
    output = module(**kwargs)
    (output.logits if hasattr(output, "logits") else output.last_hidden_state).square().sum().backward()
    heard = [part.grad is not None for path, part in module.named_parameters() if f"{tower}." in path]
    assert sum(heard) > 0.7 * len(heard) > 0


def test_what_is_left_out_is_said() -> None:
    module = built("Llava")
    module.get_image_features = None  # type: ignore[assignment]  # the tower cannot be asked, nor used
    remarks = draw(subject_of(module)).remarks
    assert any("no images could be made up" in remark for remark in remarks)


def test_pictures_that_strides_shrink_to_a_point_are_made_larger() -> None:
    def halves(times: int) -> list[nn.Module]:
        return [nn.Conv2d(3, 3, 3, stride=2, padding=1) for _ in range(times)]

    sides = {}
    for times in (4, 5, 6):
        pooled = nn.Sequential(*halves(times), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
        sides[times] = draw(subject_of(pooled), batch_size=2).batches[0].args[0].shape[-1]
        handles = [len(part._forward_hooks) for part in pooled.modules()]
        assert not any(handles)
    assert sides == {4: 32, 5: 64, 6: 128}
    fixed = nn.Sequential(*halves(5), nn.Flatten(), nn.Linear(3, 2))
    assert draw(subject_of(fixed), batch_size=2).batches[0].args[0].shape[-1] == 32
    head = nn.Sequential(*halves(2), nn.Conv2d(3, 8, 8), nn.Flatten(), nn.Linear(8, 2))
    assert draw(subject_of(head), batch_size=2).batches[0].args[0].shape[-1] == 32
