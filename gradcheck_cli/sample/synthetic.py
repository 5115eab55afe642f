"""A sample without data: inputs made up from the model, tried until it takes them. Never a target."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence

import torch

from gradcheck_cli.errors import GradcheckError, NotCompleted, SampleError
from gradcheck_cli.records import Batch, Subject
from gradcheck_cli.sample import declared, huggingface
from gradcheck_cli.sample.blame import explain, first_line, is_models_own
from gradcheck_cli.sample.examples import example_batches
from gradcheck_cli.sample.fitting import Drawn, batches_of, placed_batch, try_batch
from gradcheck_cli.sample.input_shapes import InputShape
from gradcheck_cli.sample.input_shapes import recipes as given_recipes
from gradcheck_cli.sample.leaf_inputs import inputs_of, surroundings_of, telling_layers
from gradcheck_cli.sample.named_inputs import inputs_named
from gradcheck_cli.sample.noise import Noise, Recipe
from gradcheck_cli.sample.signature import Signature, signature_of

MAX_TRIALS = 400
MAX_SECONDS = 30.0
_TRIED = 2
"""Samples in a trial."""
SOURCE = "synthetic"


def make_up(
    subject: Subject, batch_size: int, batches: int, seed: int, input_shapes: Sequence[InputShape] = ()
) -> Drawn:
    """Return `batches` batches of `batch_size` made-up samples that the model takes.

    In the shapes that the user gave; else the file's own example inputs come first, where it has them; else unit-normal
    noise and random tokens in the shapes that the model's first layers and its config suggest.

    Raises:
        SampleError: ``no-input-found``, or ``data-does-not-fit`` for shapes that the user gave.
        NotCompleted: ``forward-failed`` where the model fails whatever it is given.
    """
    generator = torch.Generator().manual_seed(seed)
    if input_shapes:
        recipe = _first_of_given(subject, seed, input_shapes)
        pieces = [_batch(recipe, batch_size, generator) for _ in range(batches)]
        remark = f"made-up input, in the shape given: {recipe}"
    elif subject.example_inputs is not None:
        pieces, remark = example_batches(subject, batch_size, batches, generator)
    else:
        recipe = _first_taken(subject, seed)
        needs_input = bool(recipe.args or recipe.kwargs)
        own = declared.fixed_batch(subject)
        count = batches if own is None else batches_of(own, batch_size, batches)
        pieces = [_batch(recipe, own or batch_size, generator) for _ in range(count if needs_input else 1)]
        remark = f"made-up input: {recipe}"
    try:
        trial = try_batch(subject, pieces[0])
    except Exception as error:  # whatever the model raises
        raise explain(error, subject, placed_batch(subject, pieces[0])) from error
    return Drawn(pieces, trial, SOURCE, (remark,))


def _batch(recipe: Recipe, size: int, generator: torch.Generator) -> Batch:
    args = tuple(noise.draw(size, generator) for noise in recipe.args)
    kwargs = {name: noise.draw(size, generator) for name, noise in recipe.kwargs.items()}
    return Batch(args, kwargs, size=size if args or kwargs else 1)


def _first_of_given(subject: Subject, seed: int, given: Sequence[InputShape]) -> Recipe:
    first: GradcheckError | None = None
    for recipe in given_recipes(given, subject.module, signature_of(subject.module)):
        batch = _batch(recipe, _TRIED, torch.Generator().manual_seed(seed))
        try:
            try_batch(subject, batch)
        except Exception as error:  # whatever the model raises
            first = first or explain(error, subject, placed_batch(subject, batch))
        else:
            return recipe
    assert first is not None
    raise first


def _first_taken(subject: Subject, seed: int) -> Recipe:
    signature = signature_of(subject.module)
    failures: list[tuple[Exception, Batch]] = []
    deadline = time.monotonic() + MAX_SECONDS
    every = itertools.chain(declared.recipes(subject), _recipes(subject.module, signature))
    for recipe in itertools.islice(every, MAX_TRIALS):
        batch = _batch(recipe, _TRIED, torch.Generator().manual_seed(seed))
        try:
            try_batch(subject, batch)
        except Exception as error:  # whatever the model raises
            failures.append((error, batch))
        else:
            return recipe
        if time.monotonic() > deadline:
            break
    raise _nothing_found(subject, signature, failures)


def _nothing_found(
    subject: Subject, signature: Signature, failures: list[tuple[Exception, Batch]]
) -> SampleError | NotCompleted:
    for error, batch in failures:
        if is_models_own(error, batch):
            found = explain(error, subject, placed_batch(subject, batch))
            assert isinstance(found, NotCompleted)
            return found
    first = f"; the first try ended with: {first_line(failures[0][0])}" if failures else ""
    message = f"no input could be made up for {signature} in {len(failures)} tries{first}"
    needed = ", ".join(signature.needed or signature.positional[:1]) or "the inputs"
    hint = f"give --data with {needed}, or --input-shape"
    return SampleError("no-input-found", message, hint=hint, file=subject.path)


# ------------------------------------------------------------------------------------------------------- what is tried


def _recipes(root: torch.nn.Module, signature: Signature) -> Iterator[Recipe]:
    seen: set[str] = set()
    for recipe in itertools.chain(huggingface.recipes(root, signature), _generic(root, signature)):
        if str(recipe) not in seen:
            seen.add(str(recipe))
            yield recipe


def _generic(root: torch.nn.Module, signature: Signature) -> Iterator[Recipe]:
    names = signature.required or signature.positional[:1] or (("input",) if signature.any_positional else ())
    columns = [_candidates(root, name, position, len(names)) for position, name in enumerate(names)]
    keywords = {name: _candidates(root, name, 0, 2)[0] for name in signature.needed_keywords}
    for choice in _likeliest_first(columns):
        yield Recipe(choice, keywords)


def _candidates(root: torch.nn.Module, name: str, position: int, count: int) -> list[Noise]:
    """Return what the input `name`, at `position` of `count`, could be: by its name, then by the layers in turn."""
    around = surroundings_of(root)
    layers = telling_layers(root)
    named = inputs_named(name, root, around) if count > 1 else []
    at = position % len(layers) if layers and count > 1 else 0
    found = [noise for layer in layers[at:] + layers[:at] for noise in inputs_of(layer, around, position)]
    return list(dict.fromkeys(named + found)) or [Noise((16,)), Noise((3, 32, 32)), Noise((16, 16))]


def _likeliest_first(columns: list[list[Noise]]) -> Iterator[tuple[Noise, ...]]:
    """Yield one candidate for each input: first choices, then one kind for all, then by the sum of ranks."""
    if len(columns) == 1:
        yield from ((noise,) for noise in columns[0])
        return
    yield tuple(column[0] for column in columns)
    for noise in columns[0] if columns else ():
        if all(noise in column for column in columns):
            yield (noise,) * len(columns)
    short = [column[:12] for column in columns[:4]] + [column[:1] for column in columns[4:]]
    ranks = itertools.product(*(range(len(column)) for column in short))
    for rank in sorted(ranks, key=lambda rank: (sum(rank), rank)):
        yield tuple(column[index] for column, index in zip(short, rank, strict=True))
