"""A small transformer made of torch.nn classes alone: untrained."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from sample import SampleModel
from torch import nn

VOCABULARY, LENGTH, WIDTH = 40, 12, 32


def small_transformer() -> SampleModel:
    """Healthy: embedding, four pre-norm encoder layers, a linear classifier over all positions.

    Tokens ``(256, 12)``; the class is whether the first token comes again later.
    """
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(WIDTH, 4, 64, batch_first=True, norm_first=True)
    encoder = nn.TransformerEncoder(layer, 4, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
    net = nn.Sequential(
        OrderedDict(
            embedding=nn.Embedding(VOCABULARY, WIDTH), encoder=encoder, flatten=nn.Flatten(),
            head=nn.Linear(LENGTH * WIDTH, 2),
        )
    )  # fmt: skip
    for parameter in encoder.parameters():  # the layers are copies of one: draw each anew
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    x = torch.randint(0, VOCABULARY, (256, LENGTH))
    repeat = torch.arange(256) % 2 == 0
    x[repeat, -1] = x[repeat, 0]
    return SampleModel(net, x, (x[:, 1:] == x[:, :1]).any(1).long())


SEQUENCE_NETWORKS: dict[str, Callable[[], SampleModel]] = {"small_transformer": small_transformer}
