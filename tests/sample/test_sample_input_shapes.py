"""``--input-shape``: what it means, what the model gets, and how a shape that cannot be is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sample_subjects import Forward, draw, exported, mlp, subject_of
from torch import nn

from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.sample.input_shapes import InputShape, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3,32,32", InputShape(None, (3, 32, 32), 0, None)),
        (" 16 ", InputShape(None, (16,), 0, None)),
        ("x=5:int64", InputShape("x", (5,), 0, "int64")),
        ("t=:int64", InputShape("t", (), 0, "int64")),
        ("7,B,4:float16", InputShape(None, (7, 4), 1, "float16")),
        ("input_ids=B,16", InputShape("input_ids", (16,), 0, None)),
    ],
)
def test_forms(text: str, expected: InputShape) -> None:
    assert parse([text]) == [expected]


@pytest.mark.parametrize(
    "texts",
    [
        ["0,3"],
        ["-1,3"],
        ["3x32"],
        [""],
        ["3,32:int7"],
        ["x y=3"],
        ["B,B,3"],
        ["99999999999,99999999999"],
        [",".join("1" * 17)],
        ["x=3", "x=4"],
        ["3.5"],
    ],
)
def test_what_is_no_shape(texts: list[str]) -> None:
    with pytest.raises(GradcheckError) as caught:
        parse(texts)
    assert (caught.value.slug, bool(caught.value.hint)) == ("bad-option", True)


def test_inputs_by_order_come_before_those_by_name() -> None:
    assert [each.name for each in parse(["b=1", "2", "a=3", "4"])] == [None, None, "b", "a"]


def test_the_batch_is_added() -> None:
    sample = draw(subject_of(mlp()), input_shape="9,4", batch_size=5, batches=2)
    assert [tuple(batch.args[0].shape) for batch in sample.batches] == [(5, 9, 4)] * 2
    assert any("in the shape given" in remark for remark in sample.remarks)


def test_the_batch_goes_where_the_b_stands() -> None:
    sample = draw(subject_of(nn.LSTM(4, 3)), input_shape="6,B,4", batch_size=5, batches=1)
    assert tuple(sample.batches[0].args[0].shape) == (6, 5, 4)


def test_integers_are_found_by_trial_and_stay_below_the_table() -> None:
    model = nn.Sequential(nn.Embedding(3, 2), nn.Flatten(), nn.Linear(200, 2))
    sample = draw(subject_of(model), input_shape="100", batch_size=8, batches=1)
    (tokens,) = sample.batches[0].args
    assert tokens.dtype == torch.int64
    assert set(tokens.flatten().tolist()) == {0, 1, 2}


def two(self: Any, tokens: torch.Tensor, mask: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
    out: torch.Tensor = self.embed(tokens) * mask.unsqueeze(-1)
    return out if scale is None else out * scale[:, None, None]


def test_names_dtypes_and_masks() -> None:
    model = Forward(two, embed=nn.Embedding(11, 4))
    shapes = ["tokens=6:int64", "mask=6:int64", "scale=:float32"]
    (batch,) = draw(subject_of(model), input_shape=shapes, batch_size=3, batches=1).batches
    assert bool((batch.kwargs["mask"] == 1).all())
    assert tuple(batch.kwargs["tokens"].shape) == (3, 6)
    assert tuple(batch.kwargs["scale"].shape) == (3,)


@pytest.mark.parametrize("dtype", ["bool", "int32", "float64"])
def test_dtypes_are_as_asked_for(dtype: str) -> None:
    seen = []

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        seen.append(x.dtype)
        return self.layer(x.float())  # type: ignore[no-any-return]

    draw(subject_of(Forward(forward, layer=nn.Linear(4, 2))), input_shape=f"4:{dtype}", batches=1)
    # Floating inputs come in the model's own dtype.
    assert set(seen) == {torch.float32 if dtype == "float64" else getattr(torch, dtype)}


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        (["tokns=6", "mask=6"], "tokens"),
        (["tokens=6"], "mask"),
        (["6", "6", "6", "6"], "4 times"),
    ],
)
def test_what_the_model_does_not_take_by_name_or_number(shapes: list[str], says: str) -> None:
    with pytest.raises(GradcheckError) as caught:
        draw(subject_of(Forward(two, embed=nn.Embedding(11, 4))), input_shape=shapes)
    assert caught.value.slug == "bad-option"
    assert says in str(caught.value)


def test_a_shape_that_does_not_fit_says_what_does() -> None:
    with pytest.raises(GradcheckError) as caught:
        draw(subject_of(mlp()), input_shape="5")
    assert caught.value.slug == "data-does-not-fit"
    assert "(…, 4)" in caught.value.message


def test_it_goes_before_the_example_inputs_of_the_file() -> None:
    subject = exported(nn.Sequential(nn.Linear(4, 2)), torch.ones(2, 4), dynamic=True)
    sample = draw(subject, input_shape="4", batch_size=7, batches=1)
    assert sample.batches[0].size == 7


def test_with_data_it_is_refused() -> None:
    with pytest.raises(GradcheckError) as caught:
        draw(subject_of(mlp()), torch.ones(2, 4), input_shape="4")
    assert caught.value.slug == "ambiguous-data"
