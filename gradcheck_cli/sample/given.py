"""Data that was given, of any kind, fitted to the model: arrays, tables, folders, or batches one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from gradcheck_cli.errors import SampleError
from gradcheck_cli.records import Batch, Subject
from gradcheck_cli.sample import huggingface, images
from gradcheck_cli.sample.blame import explain
from gradcheck_cli.sample.contents import fetch, is_stream, stream_batches, target_of, tensors_of
from gradcheck_cli.sample.fitting import Drawn, fit_arrays, fit_stream, own_batch_size, placed_batch, try_batch
from gradcheck_cli.sample.folders import ImageFolder, TestData
from gradcheck_cli.sample.image_shapes import image_shapes
from gradcheck_cli.sample.input_shapes import InputShape
from gradcheck_cli.sample.matching import Call, match
from gradcheck_cli.sample.signature import signature_of
from gradcheck_cli.sample.tables import Table, no_column, table_calls, target_column


@dataclass(frozen=True)
class Wish:
    """How much of the data, and what the user said of it."""

    target: object
    batch_size: int
    batches: int
    input_shapes: Sequence[InputShape]

    def rows(self, subject: Subject) -> int:
        """Return how many samples can be used at most."""
        return max(self.batch_size, own_batch_size(subject) or 1) * self.batches


def fit(subject: Subject, data: object, wish: Wish) -> Drawn:
    """Return `data` in batches that the model takes.

    Raises:
        SampleError: it is missing, broken, unsupported or ambiguous, or does not fit.
        NotCompleted: the model's own forward failed.
    """
    content, source = fetch(data, wish.rows(subject))
    if wish.input_shapes and not isinstance(content, ImageFolder):
        hint = "leave --input-shape out, or --data"
        raise SampleError("ambiguous-data", "--input-shape is for made-up inputs, and data is given", hint=hint)
    if isinstance(content, ImageFolder):
        return _images(subject, content, source, wish)
    if isinstance(content, Table):
        return _table(subject, content, source, wish)
    if isinstance(content, TestData):
        return _test_data(subject, content, source, wish)
    if is_stream(content):
        raw = stream_batches(content, source, wish.batch_size, wish.batches)
        return fit_stream(subject, [_calls(subject, batch, wish, stream=True) for batch in raw], source)
    calls = _calls(subject, tensors_of(content, source), wish, stream=False)
    return fit_arrays(subject, calls, wish.batch_size, wish.batches, source)


def _calls(subject: Subject, data: Any, wish: Wish, *, stream: bool) -> list[Call]:
    given, key = target_of(wish.target, data if isinstance(data, Mapping) else (), wish.rows(subject))
    if stream and given is not None:
        hint = "let it give (input, target) pairs, or name a key of its batches"
        raise SampleError("ambiguous-data", "a target apart from data that comes in batches", hint=hint)
    if key is not None and not isinstance(data, Mapping) and not stream:
        hint = "give --target a file, or save the data with names"
        raise SampleError("missing-target", f"there is no file {key}, and the data has no names", hint=hint)
    return match(data, given, key, signature_of(subject.module), huggingface.main_input(subject.module))


def _table(subject: Subject, table: Table, source: str, wish: Wish) -> Drawn:
    tensors_of(table.columns, source)  # for the check of its values
    wanted = wish.target if isinstance(wish.target, str) else None
    key, given = target_column(table, wanted), None
    if wish.target is not None and key is None:
        given, unknown = target_of(wish.target, table.columns, wish.rows(subject))
        if unknown is not None:
            raise no_column(table, unknown, source)
    calls = table_calls(table, key, given, signature_of(subject.module), huggingface.main_input(subject.module))
    drawn = fit_arrays(subject, calls, wish.batch_size, wish.batches, source)
    return replace(drawn, remarks=(*drawn.remarks, *table.remarks))


def _test_data(subject: Subject, data: TestData, source: str, wish: Wish) -> Drawn:
    given, unknown = target_of(wish.target, (), wish.rows(subject))
    if unknown is not None:
        raise SampleError("missing-target", f"there is no file {unknown}", hint="give --target a file", file=source)
    if given is not None and len(data.calls) > 1:
        hint = "pass one of the test_data_set folders"
        raise SampleError("ambiguous-data", "one target for several sets of inputs", hint=hint, file=source)
    signature = signature_of(subject.module)
    per_batch = []
    for named in data.calls[: wish.batches]:
        tensors_of(named, source)
        by_order = Call(tuple(named.values()), {}, given)
        by_name = [Call((), dict(named), given)] if all(map(signature.names, named)) else []
        per_batch.append([*by_name, by_order])
    drawn = fit_stream(subject, per_batch, source)
    if not data.has_outputs or given is not None:
        return drawn
    remark = "the output files beside the inputs are what the model gave, and no target: they are left out"
    return replace(drawn, remarks=(*drawn.remarks, remark))


def _images(subject: Subject, folder: ImageFolder, source: str, wish: Wish) -> Drawn:
    given, unknown = target_of(wish.target, (), wish.rows(subject))
    if unknown is not None:
        raise SampleError("missing-target", f"there is no file {unknown}", hint="give --target a file", file=source)
    shape = _taken_shape(subject, folder, wish)
    target = folder.target if given is None else given
    pixels = images.read_images(folder, *shape)
    calls = match((pixels,), target, None, signature_of(subject.module), huggingface.main_input(subject.module))
    if target is None:
        # An optional second input is no target, and a flat folder has none.
        calls = [Call((pixels,)), *calls]
    drawn = fit_arrays(subject, calls, wish.batch_size, wish.batches, source)
    return replace(drawn, remarks=(*drawn.remarks, images.described(folder, *shape)))


def _taken_shape(subject: Subject, folder: ImageFolder, wish: Wish) -> tuple[int, int, int]:
    """Return the first ``(C, H, W)`` that the model takes; raises what the likeliest gave if it takes none."""
    first: Exception | None = None
    name = huggingface.main_input(subject.module)
    for shape in image_shapes(subject.module, images.natural_size(folder), wish.input_shapes):
        pixels = torch.zeros(2, *shape)
        is_named = name is not None and not signature_of(subject.module).required
        batch = Batch(kwargs={str(name): pixels}, size=2) if is_named else Batch((pixels,), size=2)
        try:
            try_batch(subject, batch)
        except Exception as error:  # whatever the model raises
            first = first or explain(error, subject, placed_batch(subject, batch))
        else:
            return shape
    assert first is not None
    raise first
