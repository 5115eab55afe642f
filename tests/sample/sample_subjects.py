"""Small subjects for the tests of the sample stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gradcheck_cli.records import Batch, Subject
from gradcheck_cli.sample import draw as draw

torch.set_num_threads(1)


def subject_of(module: nn.Module, **facts: Any) -> Subject:
    return Subject(path="model.pt", format="torch-module", module=module, **facts)


def exported(module: nn.Module, *args: torch.Tensor, dynamic: bool = False) -> Subject:
    shapes = ({0: torch.export.Dim("batch")},) * len(args) if dynamic else None
    program = torch.export.export(module.eval(), args, dynamic_shapes=shapes)
    example = Batch(args=args, size=args[0].shape[0])
    return Subject("model.pt2", "exported-program", program.module(), example_inputs=example, mode_fixed=True)


def mlp(inputs: int = 4, outputs: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, outputs))


class Forward(nn.Module):
    """A module whose forward is any function of (self, …); `layers` become its children."""

    def __init__(self, function: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.forward = function.__get__(self)
