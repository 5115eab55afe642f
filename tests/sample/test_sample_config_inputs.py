"""Inputs from a config, for models like those of transformers: every part of the model is to be reached."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sample_subjects import draw, subject_of
from torch import nn


class ByConfig(nn.Module):
    """A model with a config; `main_input_name` is how transformers names the first of its inputs."""

    main_input_name = "input_ids"

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = SimpleNamespace(**{"vocab_size": 40, "hidden_size": 6} | config)
        self.tokens = nn.Embedding(40, 6)


class Sees(ByConfig):
    """Puts features of an image where the text has placeholders, and insists on their number."""

    marker = 33

    def __init__(self, features: int, dims: int, **config: Any) -> None:
        super().__init__(image_token_id=self.marker, image_size=16, patch_size=4, **config)
        self.features, self.dims = features, dims
        self.patches = nn.Linear(3 * 16 * 16 // features, 6)
        self.seen = 0

    def forward(
        self, input_ids: Any = None, attention_mask: Any = None, pixel_values: Any = None, **rest: Any
    ) -> torch.Tensor:
        hidden: torch.Tensor = self.tokens(input_ids)
        marked = input_ids == self.marker
        if pixel_values is None:
            assert not marked.any()
            return hidden
        if pixel_values.dim() != self.dims:
            raise ValueError(f"images have {pixel_values.dim()} dimensions")
        images = self.patches(pixel_values.reshape(len(input_ids), self.features, -1))
        if int(marked.sum()) != images.shape[0] * self.features:
            raise ValueError("image features and image tokens do not match")
        self.seen += 1
        assert attention_mask.shape == input_ids.shape
        return hidden.masked_scatter(marked.unsqueeze(-1), images)


@pytest.mark.parametrize(("features", "dims"), [(16, 4), (4, 4), (1, 4), (16, 5)])
def test_text_gets_as_many_placeholders_as_the_image_has_features(features: int, dims: int) -> None:
    sample = draw(subject_of(Sees(features, dims)), batch_size=3, batches=2)
    inputs = sample.batches[0].kwargs
    assert int((inputs["input_ids"] == Sees.marker).sum()) == 3 * features
    assert inputs["pixel_values"].dim() == dims
    assert (inputs["input_ids"][:, features:] != Sees.marker).all()


def test_special_tokens_that_are_lists_are_avoided() -> None:
    class Reads(ByConfig):
        def forward(self, input_ids: Any = None) -> torch.Tensor:
            assert not torch.isin(input_ids, torch.tensor([1, 2, 5])).any()
            return self.tokens(input_ids)  # type: ignore[no-any-return]

    sample = draw(subject_of(Reads(eos_token_id=[1, 2], pad_token_id=5)))
    assert sample.batches[0].kwargs["input_ids"].max() > 30


def test_a_text_that_is_read_off_at_its_end_has_one() -> None:
    class Contrasts(ByConfig):
        def forward(self, input_ids: Any = None) -> torch.Tensor:
            ends = (input_ids == 2).int()
            assert (ends.sum(1) == 1).all()
            return self.tokens(input_ids)[ends.bool()]  # type: ignore[no-any-return]

    draw(subject_of(Contrasts(eos_token_id=2, projection_dim=4)))


@pytest.mark.parametrize(("corners", "dtype", "width"), [(None, torch.int64, 4), (8, torch.float32, 8)])
def test_boxes_of_words(corners: int | None, dtype: torch.dtype, width: int) -> None:
    class Lays(ByConfig):
        def forward(self, input_ids: Any = None, bbox: Any = None) -> torch.Tensor:
            assert bbox.dtype == dtype
            assert bbox.shape == (*input_ids.shape, width)
            assert (bbox >= 0).all()
            assert (bbox < (1 if corners else 1000)).all()
            far = (2, 3) if width == 4 else (4, 5)
            assert (bbox[..., :2] <= bbox[..., far]).all()
            assert bbox.float().std() > 0
            return self.tokens(input_ids)  # type: ignore[no-any-return]

    draw(subject_of(Lays(dim_bbox=corners)))


class Hears(ByConfig):
    """Takes sound alone, in one of the two orders, and the tokens of its decoder."""

    main_input_name = "input_features"

    def __init__(self, turned: bool) -> None:
        super().__init__(num_mel_bins=8, max_source_positions=12, is_encoder_decoder=True, eos_token_id=2)
        self.turned = turned
        self.bins = nn.Linear(8, 6)

    def forward(self, input_features: Any = None, decoder_input_ids: Any = None) -> torch.Tensor:
        frames = input_features.transpose(1, 2) if self.turned else input_features
        out: torch.Tensor = self.bins(frames).mean(1, keepdim=True) + self.tokens(decoder_input_ids)
        return out


@pytest.mark.parametrize("turned", [False, True])
def test_spectrograms_in_both_orders(turned: bool) -> None:
    sample = draw(subject_of(Hears(turned)))
    inputs = sample.batches[0].kwargs
    assert set(inputs) == {"input_features", "decoder_input_ids"}
    assert inputs["input_features"].shape[2 if not turned else 1] == 8


def test_what_forward_needs_and_no_usual_name_says() -> None:
    class Queries(ByConfig):
        main_input_name = "query_embeds"

        def __init__(self) -> None:
            super().__init__(encoder_hidden_size=9)
            self.other = nn.Linear(9, 6)

        def forward(self, query_embeds: Any, encoder_hidden_states: Any, encoder_mask: Any) -> torch.Tensor:
            other = self.other(encoder_hidden_states) * encoder_mask.unsqueeze(-1)
            return query_embeds + other  # type: ignore[no-any-return]

    sample = draw(subject_of(Queries()), batch_size=2)
    assert sample.batches[0].kwargs["encoder_hidden_states"].shape == (2, 16, 9)
