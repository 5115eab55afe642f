"""A sample without data: inputs made up from the model, tried until it takes them. Never a target."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from gradcheck_cli.errors import GradcheckError, NotCompleted, SampleError
from gradcheck_cli.records import Batch, Subject
from gradcheck_cli.sample import declared, huggingface
from gradcheck_cli.sample.blame import explain
from gradcheck_cli.sample.examples import example_batches
from gradcheck_cli.sample.fitting import Drawn, batches_of, placed_batch, try_batch
from gradcheck_cli.sample.guesses import guesses
from gradcheck_cli.sample.input_shapes import InputShape
from gradcheck_cli.sample.input_shapes import recipes as given_recipes
from gradcheck_cli.sample.noise import Recipe
from gradcheck_cli.sample.points import large_enough, shrinking
from gradcheck_cli.sample.searching import Trials, search
from gradcheck_cli.sample.signature import Signature, signature_of
from gradcheck_cli.sample.trial import attempt

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
    remarks: tuple[str, ...]
    if input_shapes:
        recipe = _first_of_given(subject, seed, input_shapes)
        pieces = [_batch(recipe, batch_size, generator) for _ in range(batches)]
        remarks = (f"made-up input, in the shape given: {recipe}",)
    elif subject.example_inputs is not None:
        pieces, remark = example_batches(subject, batch_size, batches, generator)
        remarks = (remark,)
    else:
        recipe = _found(subject, seed)
        needs_input = bool(recipe.args or recipe.kwargs)
        own = declared.fixed_batch(subject)
        count = batches if own is None else batches_of(own, batch_size, batches)
        pieces = [_batch(recipe, own or batch_size, generator) for _ in range(count if needs_input else 1)]
        remarks = (
            f"made-up input: {recipe}",
            *huggingface.left_out(subject.module, signature_of(subject.module), recipe),
        )
    try:
        trial = try_batch(subject, pieces[0])
    except Exception as error:  # whatever the model raises
        raise explain(error, subject, placed_batch(subject, pieces[0])) from error
    return Drawn(pieces, trial, SOURCE, remarks)


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


def _found(subject: Subject, seed: int) -> Recipe:
    signature = signature_of(subject.module)

    def drawn(recipe: Recipe, size: int) -> Batch:
        return placed_batch(subject, _batch(recipe, size, torch.Generator().manual_seed(seed)))

    def shrinks(batch: Batch) -> bool:
        with shrinking(subject.module) as points:
            attempt(subject.module, batch, fixed=subject.mode_fixed)
        return bool(points)

    trials = Trials(drawn, shrinks)
    known = huggingface.recipes(subject.module, signature)
    guessed = itertools.chain(declared.recipes(subject), known, guesses(subject.module, signature))
    # Where a config tells names and sizes, its calls are all there is to try.
    recipe = search(subject.module, signature, guessed, trials, mend=not huggingface.is_known(subject.module))
    if recipe is None:
        raise _nothing_found(subject, signature, trials)
    return large_enough(recipe, trials)


def _nothing_found(subject: Subject, signature: Signature, trials: Trials) -> SampleError | NotCompleted:
    if trials.models_own is not None:
        error, batch = trials.models_own
        found = explain(error, subject, placed_batch(subject, batch))
        assert isinstance(found, NotCompleted)
        return found
    nearest = "" if trials.nearest is None else "; the nearest, {}, ended with: {}".format(*trials.nearest)
    message = f"no input could be made up for {signature} in {trials.count} tries{nearest}"
    needed = ", ".join(signature.needed or signature.positional[:1]) or "the inputs"
    hint = f"give --data with {needed}, or --input-shape for each"
    return SampleError("no-input-found", message, hint=hint, file=subject.path)
