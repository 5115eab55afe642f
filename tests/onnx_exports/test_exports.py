"""Real exports: every value against ONNX Runtime, every parameter's gradient against the PyTorch original, by name.

The fast part is a few networks of each kind; ``-m slow`` runs all, by both exporters at three opsets each.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from checking import ALL, check, exported, faithful
from exporting import VARIANTS, Variant
from known_losses import UNFAITHFUL
from models import ZOO

SCRIPT = [variant for variant in VARIANTS if not variant.dynamo]
DYNAMO = [variant for variant in VARIANTS if variant.dynamo]
BY_SCRIPT = (
    "resnet", "vgg_bn", "vit", "gpt", "bert", "perceiver", "lstm_classifier", "mobilenet", "unet", "feature_pyramid", "two_towers",
    "seq2seq_attention", "coupling_flow", "dcgan_generator", "tcn", "packed_lstm", "packed_gru", "packed_rnn", "stacked_recurrent",
    "scripted_loop", "scripted_branch", "stft_net", "einsum_attention", "detector", "all_activations", "pools_and_pads", "norms",
    "spline_flow", "hf_bert", "hf_albert", "hf_opt", "hf_t5", "hf_llama",
)  # fmt: skip
BY_DYNAMO = (
    "resnet", "gpt", "convnext", "lstm_classifier", "fourier_filter", "scatter_graph", "conditioned_denoiser", "masked_experts",
    "hf_gpt2",
)  # fmt: skip
FAST = [
    *((name, variant) for name in BY_SCRIPT for variant in SCRIPT),
    *((name, DYNAMO[number % 3]) for number, name in enumerate(BY_DYNAMO)),
]
NOT_BEFORE = {"stft_net": 17}
"""The first opset in which an exporter can write it."""


def _variants(name: str) -> list[Variant]:
    """All six; the newer exporter, which takes its time, writes each network of the zoo in one of its three ways."""
    return [*SCRIPT, DYNAMO[list(ZOO).index(name) % 3]] if name in ZOO else list(VARIANTS)


SLOW = [(name, variant) for name in ALL for variant in _variants(name)]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _ids(cases: list[tuple[str, Variant]]) -> list[str]:
    return [f"{name}-{variant.name}" for name, variant in cases]


@pytest.mark.parametrize(("name", "variant"), FAST, ids=_ids(FAST))
def test_an_export(name: str, variant: Variant) -> None:
    if variant.opset < NOT_BEFORE.get(name, 0):
        variant = Variant(variant.dynamo, NOT_BEFORE[name], variant.folded, variant.fresh)
    model, module, inputs = exported(name, variant)
    assert faithful(model, module, inputs)
    _, gradients = check(name, variant, model, module, inputs)
    assert gradients.compared


@pytest.mark.slow
@pytest.mark.parametrize(("name", "variant"), SLOW, ids=_ids(SLOW))
def test_every_export(name: str, variant: Variant) -> None:
    try:
        model, module, inputs = exported(name, variant)
    except Exception as error:  # what exporters cannot write is not ours to mend
        pytest.skip(f"not exported: {type(error).__name__}: {str(error)[:80]}")
    if not faithful(model, module, inputs):
        assert name in UNFAITHFUL
        pytest.skip(UNFAITHFUL[name])
    check(name, variant, model, module, inputs)


def test_there_are_enough_networks() -> None:
    assert len(ALL) >= 60
    assert {variant.opset for variant in SCRIPT} == {13, 17, 20}
    assert {variant.opset for variant in DYNAMO} == {18, 20, 23}
