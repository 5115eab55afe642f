"""The honest files that the hostile ones are made from, each as bytes; built once in a process."""

from __future__ import annotations

import functools
import io

import forged_files as forge
import safetensors.torch
import torch
from torch import nn


def saved(content: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


@functools.cache
def module() -> bytes:
    return saved(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)))


@functools.cache
def state_dict(*, legacy: bool = False) -> bytes:
    return saved(nn.Linear(2, 2).state_dict(), _use_new_zipfile_serialization=not legacy)


@functools.cache
def lightning() -> bytes:
    content = {"pytorch-lightning_version": "2.5", "epoch": 1, "state_dict": nn.Linear(2, 2).state_dict()}
    return saved(content)


@functools.cache
def safetensors_file() -> bytes:
    return safetensors.torch.save(nn.Linear(2, 2).state_dict())


@functools.cache
def torchscript() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.ReLU())), buffer)
    return buffer.getvalue()


@functools.cache
def exported() -> bytes:
    shapes = {"input": {0: torch.export.Dim("batch", min=2, max=64)}}
    program = torch.export.export(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), (torch.ones(4, 3),), dynamic_shapes=shapes)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def members(archive: bytes) -> dict[str, bytes]:
    """Member name → bytes, the root folder of the archive replaced by ``model``."""
    return {f"model/{name.partition('/')[2]}": data for name, data in forge.unzipped(io.BytesIO(archive)).items()}
