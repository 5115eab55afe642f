"""Inputs of Hugging Face models, from their config and the names in forward's signature. Imports no transformers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import nn

from gradcheck_cli.sample.leaf_inputs import IMAGE_SIZES
from gradcheck_cli.sample.noise import Noise, Recipe
from gradcheck_cli.sample.patterns import Constant, Marked, Option
from gradcheck_cli.sample.pictures import IMAGES, VIDEOS, Form, channels_of, picture_forms
from gradcheck_cli.sample.placeholders import IMAGE_MARKERS, MAX_FEATURES, SOUND_MARKERS, Features, features_of
from gradcheck_cli.sample.series import by_dimension, series_forms
from gradcheck_cli.sample.settings import setting, sides, whole
from gradcheck_cli.sample.signature import Signature
from gradcheck_cli.sample.sounds import SPECTROGRAMS, sound_forms
from gradcheck_cli.sample.words import lengths_of, text, tokens_of

_SIGNALS = (*IMAGES, *VIDEOS, *SPECTROGRAMS, "input_values")
_FORMS = 3
"""How many forms are tried again with texts of other lengths."""
_AFTER = 8
"""Tokens after the placeholders."""
_REACHED_BY = {"images": (*IMAGES, *VIDEOS), "sound": (*SPECTROGRAMS, "input_values"), "text": ("input_ids",)}


def main_input(root: nn.Module) -> str | None:
    """Return the name of the input that the model calls its main one."""
    name = getattr(root, "main_input_name", None)
    return name if isinstance(name, str) else None


def is_known(root: nn.Module) -> bool:
    """Tell whether the model has a config of that kind."""
    return getattr(root, "config", None) is not None and main_input(root) is not None


def declared_image(root: nn.Module) -> tuple[int, int, int] | None:
    """Return channels, height and width of the images that the config declares; None where it declares none."""
    config = getattr(root, "config", None)
    declared = sides(config, "image_size") if is_known(root) else None
    return None if declared is None else (channels_of(config), *declared)


def left_out(root: nn.Module, signature: Signature, recipe: Recipe) -> tuple[str, ...]:
    """Return a remark for each kind of input that the model takes and `recipe` does not hold."""
    if not is_known(root) or recipe.args:
        return ()
    lacking = [
        kind
        for kind, names in _REACHED_BY.items()
        if any(map(signature.names, names)) and not any(name in recipe.kwargs for name in names)
    ]
    return tuple(
        f"no {kind} could be made up beside the rest: layers that only {kind} reach are not measured"
        for kind in lacking
    )


def recipes(root: nn.Module, signature: Signature) -> Iterator[Recipe]:
    """Yield the calls to try, the likeliest first; none where the model has no config of that kind.

    First come all kinds of input together, so that every part of the model is reached: text with as many placeholders as
    the model makes features of an image or a sound; at last the main input alone.
    """
    config, main = getattr(root, "config", None), main_input(root)
    if config is None or main is None:
        return
    for kwargs in itertools.chain(
        _asked(root, config, signature), _together(config, signature), _fewer(config, signature, main)
    ):
        if kwargs:
            yield Recipe(kwargs=kwargs)


# --------------------------------------------------------------------------------- text with features between its tokens


def _asked(root: nn.Module, config: Any, signature: Signature) -> Iterator[Form]:
    found = features_of(root, config, signature) if signature.names("input_ids") else []
    for chosen in [found] if len(found) < 2 else [found, *([each] for each in found)]:
        if chosen:
            yield from _with_features(config, signature, chosen)
    yield from _with_mask(config, signature)


def _with_mask(config: Any, signature: Signature) -> Iterator[Form]:
    """Yield text with a mask that says where the features of an image replace its tokens."""
    count = whole(config, "latent_query_num")
    tokens = tokens_of(config, count + _AFTER) if count else None
    if count and tokens is not None and signature.names("image_embeds_position_mask"):
        mask = Constant((count + _AFTER,), values=(1,) * count + (0,) * _AFTER)
        for form in picture_forms(config, signature)[:1]:
            yield {**text(config, signature, tokens, count + _AFTER), **form, "image_embeds_position_mask": mask}


def _with_features(config: Any, signature: Signature, chosen: list[Features]) -> Iterator[Form]:
    length = sum(each.count for each in chosen) + _AFTER
    tokens = tokens_of(config, length)
    if tokens is None:
        return
    marked = Marked(
        tokens.shape, high=tokens.high, avoid=tokens.avoid, runs=tuple((each.token, each.count) for each in chosen)
    )
    kinds = (*(kind for each in chosen for kind in (each.token_type,) * each.count), *(0,) * _AFTER)
    names = [name for name in ("mm_token_type_ids", "token_type_ids") if signature.names(name)]
    inputs = text(config, signature, marked, length)
    for each in chosen:
        inputs |= each.form
    yield {**inputs, **{name: Constant((length,), values=kinds) for name in names}}
    if names:
        yield inputs


# ------------------------------------------------------------------------------------------------- side by side, or alone


def _together(config: Any, signature: Signature) -> Iterator[Form]:
    """Yield text beside each form of the other kinds, in one length after the other."""
    lengths = lengths_of(config)
    for number, length in enumerate(lengths):
        words = text(config, signature, tokens_of(config, length), length)
        for form in _forms(config, signature)[: None if number == 0 else _FORMS]:
            inputs = {**words, **form}
            inputs |= _needed(config, signature, inputs, length)
            if number == 0:
                yield from _guessed(config, inputs)
            yield inputs
            if number == 0 and signature.names("use_cache"):
                # The cache is for generation; some cannot make one where all their layers are recurrent.
                yield {**inputs, "use_cache": Option(value=False)}


def _forms(config: Any, signature: Signature) -> list[Form]:
    """Return the ways to give what is no text: the first of each kind together, then the others of each kind in turn."""
    kinds = [picture_forms(config, signature), sound_forms(config, signature), series_forms(config, signature)]
    kinds.append([found] if (found := by_dimension(config, signature)) else [])
    kinds = [kind for kind in kinds if kind]
    together: Form = {name: noise for kind in kinds for name, noise in kind[0].items()}
    others = [{**together, **form} for kind in kinds for form in kind[1:]]
    return [together, *others]


def _fewer(config: Any, signature: Signature, main: str) -> Iterator[Form]:
    """Yield less than all inputs: one signal with the decoder's tokens, the main input alone."""
    length = lengths_of(config)[0]
    words = text(config, signature, tokens_of(config, length), length)
    decoder = {name: noise for name, noise in words.items() if name.startswith("decoder_")}
    forms = _forms(config, signature)
    for name in dict.fromkeys(name for name in (main, *_SIGNALS) if any(name in form for form in forms)):
        for form in forms:
            if name in form:
                yield {name: form[name], **decoder}
    yield words
    for name in (main, "input_ids"):
        given = {**words, **forms[0]}.get(name)
        yield {name: given} if given is not None else {}
        if given is not None and signature.names("use_cache"):
            yield {name: given, "use_cache": Option(value=False)}


def _needed(config: Any, signature: Signature, inputs: Form, length: int) -> Form:
    """Return what forward cannot do without and what none of the usual names says: masks, features of the other side."""
    found: Form = {}
    named = signature.needed
    if any(name.endswith("embeds") for name in named):
        # Queries that look at the features of another part, which the signature then calls optional.
        named = (*named, *(name for name in signature.positional if name == "encoder_hidden_states"))
    for name in named:
        wide = setting(config, "encoder_hidden_size") if "encoder" in name else setting(config, "hidden_size")
        if name in inputs:
            continue
        if name.endswith("input_ids"):
            found |= {name: tokens} if (tokens := tokens_of(config, length)) is not None else {}
        elif "mask" in name:
            found[name] = Noise((length,), fill=1)
        elif name.endswith(("embeds", "hidden_states")) and isinstance(wide, int):
            found[name] = Noise((length, wide))
    return found


# ------------------------------------------------------------ how many placeholders, where the model cannot be asked


def _guessed(config: Any, inputs: Form) -> list[Form]:
    """Return the inputs with 1, 4, … placeholders in front of the text, for the numbers of features that are usual."""
    marker = next(
        (value for name in (*IMAGE_MARKERS, *SOUND_MARKERS) if isinstance(value := setting(config, name), int)), None
    )
    tokens, vocabulary = inputs.get("input_ids"), setting(config, "vocab_size")
    if marker is None or tokens is None or not 0 <= marker < vocabulary or not set(_SIGNALS) & set(inputs):
        return []
    sound = next((inputs[name] for name in SPECTROGRAMS if name in inputs), None)
    counts = [max(sound.shape) // step for step in (4, 2, 8, 1)] if sound else _feature_counts(config, inputs)
    found = []
    for count in counts:
        length = count + _AFTER
        longer = replace(tokens, shape=(length,), lead=(marker, count))
        mask = {"attention_mask": Noise((length,), fill=1)} if "attention_mask" in inputs else {}
        found.append({**inputs, "input_ids": longer, **mask})
    return found


def _feature_counts(config: Any, inputs: Form) -> list[int]:
    """Return how many features an image may become: its patches, with a token for all, or merged by 2 × 2 or 4 × 4."""
    picture = next((inputs[name] for name in (*IMAGES, *VIDEOS) if name in inputs), None)
    side, patch = picture.shape[-1] if picture and picture.shape else IMAGE_SIZES[0], whole(config, "patch_size")
    patches = (side // patch) ** 2 if patch else 0
    declared = [setting(config, name) for name in ("image_seq_length", "mm_tokens_per_image", "num_query_tokens")]
    counts = [*declared, patches, patches + 1, patches // 4, patches // 16, patches * 5 // 4]
    return [count for count in dict.fromkeys(counts) if isinstance(count, int) and 0 < count <= MAX_FEATURES]
