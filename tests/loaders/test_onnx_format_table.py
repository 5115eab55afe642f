"""The table of formats for ONNX: the verdict, the layers and the readings of the PyTorch original, from both exporters."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from format_files import onnx_by_dynamo, onnx_by_old_exporter
from format_networks import NETWORKS
from torch import nn

from gradcheck_cli import pipeline
from gradcheck_cli.records import Diagnosis

EXPORTERS: dict[str, Callable[[nn.Module, Path, torch.Tensor], Path]] = {
    "old": onnx_by_old_exporter,
    "dynamo": onnx_by_dynamo,
}
TAKEN_APART = {"1.layers.0.self_attn.attention()", "1.layers.1.self_attn.attention()"}
"""One fused call in torch, and in what the new exporter writes without its optimiser a softmax between two products."""
UNITS = ("seen", "dead_units", "saturated", "units")
"""Readings that count rows and units: an attention that is taken apart counts its own."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sample_of(kind: str) -> torch.Tensor:
    return torch.randn(NETWORKS[kind][1], generator=torch.Generator().manual_seed(1))


@functools.cache
def original(kind: str) -> Diagnosis:
    return pipeline.diagnose(NETWORKS[kind][0](), sample_of(kind), rehearse=0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_onnx_gives_what_the_original_gives(kind: str, exporter: str, tmp_path: Path) -> None:
    sample = sample_of(kind)
    file = EXPORTERS[exporter](NETWORKS[kind][0](), tmp_path, sample)
    found, expected = pipeline.diagnose(file, sample, batch_size=len(sample), rehearse=0), original(kind)
    assert (found.verdict.value, found.culprits) == (NETWORKS[kind][2], expected.culprits)
    assert found.model.parameters == expected.model.parameters
    apart = TAKEN_APART if exporter == "dynamo" else set()
    ours = {layer.name: layer for layer in found.layers if ".softmax()" not in layer.name or not apart}
    theirs = {layer.name: layer for layer in expected.layers if layer.name not in apart}
    assert list(ours) == list(theirs)
    for name, layer in theirs.items():
        assert ours[name].parameters == layer.parameters
        assert ours[name].verdict == layer.verdict
        for field in layer.readings.__struct_fields__:
            if apart and field in UNITS and name.endswith("self_attn"):
                continue
            one, other = getattr(ours[name].readings, field), getattr(layer.readings, field)
            same = one == other if other is None else one == pytest.approx(other, rel=1e-4, abs=1e-12)
            assert same, (name, field, one, other)
