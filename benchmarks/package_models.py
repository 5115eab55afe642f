"""Small architectures of other packages, named ``package/architecture``, each with the least that its constructor asks for."""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any

from package_settings import (
    DECODER,
    DIFFUSERS,
    MONAI,
    OTHERS,
    SEGMENT,
    SEGMENTATION,
    TIMM,
    TORCH_GEOMETRIC,
    VIT_PYTORCH,
    X_TRANSFORMERS,
)


def names() -> list[str]:
    """Return all, package by package."""
    tables: dict[str, Any] = {
        "timm": TIMM,
        "vit_pytorch": VIT_PYTORCH,
        "x_transformers": [*X_TRANSFORMERS, *_X_WHOLE],
        "diffusers": DIFFUSERS,
        "monai": MONAI,
        "torch_geometric": TORCH_GEOMETRIC,
        "segmentation_models_pytorch": SEGMENTATION,
        "mambapy": ["Mamba"],
        **OTHERS,
    }
    return [f"{package}/{name}" for package, table in tables.items() for name in table]


@functools.cache
def is_installed(package: str) -> bool:
    """Tell whether the package can be imported here."""
    try:
        importlib.import_module(package)
    except Exception:
        return False
    return True


def build(name: str) -> Any:
    """Return the module. Raises whatever the package raises."""
    package, architecture = name.split("/")
    if package in OTHERS:
        place, settings = OTHERS[package][architecture]
        return _made(package + place, settings)
    return _BUILDERS[package](architecture)


def _made(target: str, settings: dict[str, Any]) -> Any:
    module, attribute = target.split(":")
    if settings.get("adjacency") == "triangle":
        import torch

        settings = {"adjacency": torch.ones(6, 6).tril().bool()}
    return getattr(importlib.import_module(module), attribute)(**settings)


def _timm(name: str) -> Any:
    return importlib.import_module("timm").create_model(name, pretrained=False, num_classes=10)


def _vit(name: str) -> Any:
    place, settings = VIT_PYTORCH[name]
    settings = {key: value for key, value in settings.items() if value is not None}
    return _made(f"vit_pytorch.{place}", settings)


def _x_transformer(name: str) -> Any:
    x = importlib.import_module("x_transformers")
    if name in _X_WHOLE:
        return _X_WHOLE[name](x)
    return x.TransformerWrapper(num_tokens=50, max_seq_len=64, attn_layers=x.Decoder(**DECODER, **X_TRANSFORMERS[name]))


_X_WHOLE: dict[str, Callable[[Any], Any]] = {
    "encoder": lambda x: x.TransformerWrapper(num_tokens=50, max_seq_len=64, attn_layers=x.Encoder(**DECODER)),
    "vision": lambda x: x.ViTransformerWrapper(
        image_size=32, patch_size=8, num_classes=5, attn_layers=x.Encoder(**DECODER)
    ),
    "continuous": lambda x: x.ContinuousTransformerWrapper(
        dim_in=6, dim_out=4, max_seq_len=64, attn_layers=x.Encoder(**DECODER)
    ),
    "encoder_decoder": lambda x: x.XTransformer(
        dim=32,
        enc_num_tokens=50,
        enc_depth=1,
        enc_heads=4,
        enc_max_seq_len=64,
        dec_num_tokens=50,
        dec_depth=1,
        dec_heads=4,
        dec_max_seq_len=64,
    ),
    "autoregressive_loss": lambda x: x.AutoregressiveWrapper(
        x.TransformerWrapper(num_tokens=50, max_seq_len=64, attn_layers=x.Decoder(**DECODER))
    ),
    "cross_attention_layers": lambda x: x.CrossAttender(**DECODER),
}


def _segmentation(name: str) -> Any:
    return getattr(importlib.import_module("segmentation_models_pytorch"), name)(**SEGMENT)


def _mamba(_: str) -> Any:
    mamba = importlib.import_module("mambapy.mamba")
    return mamba.Mamba(mamba.MambaConfig(d_model=32, n_layers=2))


_BUILDERS: dict[str, Callable[[str], Any]] = {
    "timm": _timm,
    "vit_pytorch": _vit,
    "x_transformers": _x_transformer,
    "diffusers": lambda name: _made(f"diffusers:{name}", DIFFUSERS[name]),
    "monai": lambda name: _made(f"monai.networks.nets:{name}", MONAI[name]),
    "torch_geometric": lambda name: _made(f"torch_geometric.nn:{name}", TORCH_GEOMETRIC[name]),
    "segmentation_models_pytorch": _segmentation,
    "mambapy": _mamba,
}


# ------------------------------------------------------------------------------------------ packages that name torchvision


def stand_in_for_torchvision() -> None:
    """Let packages import that name torchvision for what their models do not need; nothing of it can be used."""
    if importlib.util.find_spec("torchvision") is None:
        sys.meta_path.append(_StandIn())


class _Anything(type):
    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})


def _nothing(*_: Any, **__: Any) -> None:
    pass


class _Module(types.ModuleType):
    __path__: list[str] = []  # noqa: RUF012 - the import system reads it
    __version__ = "0"

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {"__init__": _nothing})


class _StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002 - the protocol
        if fullname.split(".")[0] != "torchvision":
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: Any) -> types.ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass
