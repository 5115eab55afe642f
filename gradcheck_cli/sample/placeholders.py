"""Models that put the features of an image or a sound between the tokens: how many features, asked of the model itself.

Models of transformers with such an input have ``get_image_features`` and the like; the text must hold exactly as many
placeholders as that gives features, a number that follows from patches, poolings and mergers in too many ways to compute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gradcheck_cli.sample.arrays import placed
from gradcheck_cli.sample.expectations import device_of, floating_dtype
from gradcheck_cli.sample.pictures import Form, picture_forms
from gradcheck_cli.sample.restoring import quiet_trial
from gradcheck_cli.sample.settings import setting
from gradcheck_cli.sample.signature import Signature, signature_of_call
from gradcheck_cli.sample.sounds import sound_forms
from gradcheck_cli.tensors import floating_leaves

_ASKED = 2
"""Samples in a question."""
MAX_FEATURES = 4096
IMAGE_MARKERS = ("image_token_id", "image_token_index", "media_token_id", "media_placeholder_token_id")
SOUND_MARKERS = ("audio_token_id", "audio_token_index")


@dataclass(frozen=True)
class Kind:
    """One kind of input that becomes features between the tokens."""

    getters: tuple[str, ...]
    forms: Callable[[Any, Signature], list[Form]]
    markers: tuple[str, ...]
    token_type: int
    """Of its placeholders, in ``mm_token_type_ids``."""


KINDS = (
    Kind(("get_image_features",), picture_forms, IMAGE_MARKERS, 1),
    Kind(("get_audio_features",), sound_forms, SOUND_MARKERS, 3),
)


@dataclass(frozen=True)
class Features:
    """A form that the model's own tower takes, and what it makes of it."""

    form: Form
    token: int
    count: int
    """Features of one sample, and so placeholders."""
    token_type: int


def features_of(root: nn.Module, config: Any, signature: Signature) -> list[Features]:
    """Return for each kind of input the first form that its tower takes; to be called inside `restoring.preserved`."""
    found = (_first_taken(root, config, signature, kind) for kind in KINDS)
    return [each for each in found if each is not None]


def _first_taken(root: nn.Module, config: Any, signature: Signature, kind: Kind) -> Features | None:
    token = setting(config, *kind.markers)
    getter = next((found for name in kind.getters if callable(found := getattr(root, name, None))), None)
    table = _table(root)
    if getter is None or table is None or not isinstance(token, int) or not 0 <= token < table.shape[0]:
        return None
    takes = signature_of_call(getter)
    for form in kind.forms(config, signature):
        for part in _parts(form, takes):
            count = _features(root, getter, part, int(table.shape[-1]))
            if count:
                return Features(form, token, count, kind.token_type)
    return None


def _parts(form: Form, takes: Signature | None) -> Iterator[Form]:
    """Yield what of the form the getter names; all of it where that cannot be told."""
    yield {name: noise for name, noise in form.items() if takes is None or takes.names(name)} or form


def _table(root: nn.Module) -> torch.Tensor | None:
    """Return the weight of the tokens' embedding."""
    try:
        weight = root.get_input_embeddings().weight  # type: ignore[operator]
    except (AttributeError, NotImplementedError, TypeError):
        return None
    return weight if isinstance(weight, torch.Tensor) and weight.dim() == 2 else None


def _features(root: nn.Module, getter: Callable[..., Any], form: Form, width: int) -> int:
    """Return how many features of `width` the getter makes of one sample; 0 if it does not take the form."""
    generator = torch.Generator().manual_seed(0)
    drawn = {name: noise.draw(_ASKED, generator) for name, noise in form.items()}
    for part in root.modules():
        part.training = False
    try:
        with quiet_trial():
            output = getter(**placed(drawn, floating_dtype(root), device_of(root)))
    except Exception:  # whatever the model raises: the form is not its
        return 0
    pooled = getattr(output, "pooler_output", None)
    values = sum(tensor.numel() for tensor in floating_leaves(output if pooled is None else pooled))
    each, rest = divmod(values, width * _ASKED)
    return each if not rest and each <= MAX_FEATURES else 0
