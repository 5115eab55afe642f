"""Which array is which input, which is the target, and how they are cut into batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_subjects import Forward, draw, exported, mlp, subject_of
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from gradcheck_cli.errors import GradcheckError, SampleError, UsageError
from gradcheck_cli.records import Sample

X, Y = torch.randn(10, 4), torch.randint(0, 3, (10,))


def two(self: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(self.fc(a) - self.fc(b))


def optional(self: Any, x: torch.Tensor, mask: Any = None, scale: Any = None) -> torch.Tensor:
    out = self.fc(x) if mask is None else self.fc(x) * mask[:, None]
    return torch.as_tensor(out if scale is None else out * scale)


def of_dict(self: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.as_tensor(self.fc(batch["image"]))


def siamese() -> nn.Module:
    return Forward(two, fc=nn.Linear(4, 3))


def masked() -> nn.Module:
    return Forward(optional, fc=nn.Linear(4, 3))


def slug(module: nn.Module, data: Any, **options: Any) -> str:
    with pytest.raises(GradcheckError) as caught:
        draw(subject_of(module), data, **options)
    return caught.value.slug


def whole_target(sample: Sample) -> torch.Tensor:
    return torch.cat([batch.target for batch in sample.batches])


@pytest.mark.parametrize("name", ["y", "target", "targets", "label", "labels"])
def test_keyed_target_by_name(tmp_path: Path, name: str) -> None:
    arrays: dict[str, Any] = {name: Y.numpy(), "anything": X.numpy()}
    np.savez(tmp_path / "d.npz", **arrays)
    sample = draw(subject_of(mlp()), str(tmp_path / "d.npz"), batch_size=4, batches=9)
    assert [batch.size for batch in sample.batches] == [4, 4, 2]
    assert torch.equal(torch.cat([batch.args[0] for batch in sample.batches]), X)
    assert torch.equal(whole_target(sample), Y)
    assert (sample.source, sample.loss_name) == (str(tmp_path / "d.npz"), "cross-entropy")


def test_keys_go_by_name_whatever_their_order() -> None:
    batch = draw(subject_of(siamese()), {"b": X + 1, "y": Y, "a": X}).batches[0]
    assert set(batch.kwargs) == {"a", "b"}
    assert torch.equal(batch.kwargs["a"], X)


def test_keys_that_are_no_names_go_by_order() -> None:
    batch = draw(subject_of(siamese()), {"left": X, "right": X + 1, "y": Y}).batches[0]
    assert torch.equal(batch.args[1], X + 1)


@pytest.mark.parametrize("data", [{"image": X, "y": Y}, {"image": X, "other": X, "y": Y}])
def test_a_dict_can_be_the_one_argument(data: dict[str, torch.Tensor]) -> None:
    batch = draw(subject_of(Forward(of_dict, fc=nn.Linear(4, 3))), data, batch_size=6).batches[0]
    assert set(batch.args[0]) == set(data) - {"y"}
    assert batch.args[0]["image"].shape == (6, 4)


def test_a_dict_argument_that_needs_its_target_gets_it() -> None:
    def forward(self: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.as_tensor(self.fc(batch["image"]) + batch["y"][:, None])

    batch = draw(subject_of(Forward(forward, fc=nn.Linear(4, 3))), {"image": X, "y": Y}).batches[0]
    assert set(batch.args[0]) == {"image", "y"}


def test_a_needed_input_called_y_is_no_target() -> None:
    def forward(self: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.fc(x) + self.fc(y))

    sample = draw(subject_of(Forward(forward, fc=nn.Linear(4, 3))), {"x": X, "y": X})
    assert set(sample.batches[0].kwargs) == {"x", "y"}
    assert sample.loss_name == "none"


def test_optional_target_parameter_gets_the_target_and_its_loss_is_taken() -> None:
    def forward(self: Any, x: torch.Tensor, labels: Any = None) -> dict[str, Any]:
        logits = self.fc(x)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels) * 3
        return {"logits": logits, "loss": loss}

    module = Forward(forward, fc=nn.Linear(4, 3))
    sample = draw(subject_of(module), (X, Y))
    assert sample.loss_name == "model"
    assert sample.loss is not None
    batch = sample.batches[0]
    output = module(*batch.args, **batch.kwargs)
    assert sample.loss(output, batch.target).item() == pytest.approx(
        3 * nn.functional.cross_entropy(module.fc(X), Y).item()  # type: ignore[operator]
    )
    assert draw(subject_of(module), (X, Y), loss="cross-entropy").loss_name == "cross-entropy"
    assert draw(subject_of(module), X).loss_name == "none"


def test_target_as_key_file_array_and_autoencoder(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X.numpy(), cls=Y.numpy())
    np.save(tmp_path / "t.npy", Y.numpy())
    np.savez(tmp_path / "t.npz", other=X.numpy(), label=Y.numpy())
    np.save(tmp_path / "x.npy", X.numpy())
    path = str(tmp_path / "d.npz")
    assert torch.equal(whole_target(draw(subject_of(mlp()), path, target="cls")), Y)
    for name in ("t.npy", "t.npz"):
        sample = draw(subject_of(mlp()), str(tmp_path / "x.npy"), target=str(tmp_path / name))
        assert torch.equal(whole_target(sample), Y)
    assert torch.equal(whole_target(draw(subject_of(mlp()), X, target=Y)), Y)
    assert torch.equal(whole_target(draw(subject_of(mlp()), X.numpy(), target=Y.numpy())), Y)
    auto = draw(subject_of(mlp(outputs=4)), {"x": X}, target="x")
    assert torch.equal(auto.batches[0].target, X)
    assert auto.loss_name == "mse"


def test_target_that_is_not_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", a=Y.numpy(), b=Y.numpy())
    assert slug(mlp(), {"x": X}, target="cls") == "missing-target"
    assert slug(mlp(), X, target="cls") == "missing-target"
    assert slug(mlp(), X, target=str(tmp_path / "t.npz")) == "ambiguous-data"
    assert slug(mlp(), None, target=Y) == "missing-data"


@pytest.mark.parametrize("kind", [tuple, list])
def test_tuples_go_by_order_and_the_rest_is_the_target(kind: Any) -> None:
    sample = draw(subject_of(siamese()), kind([X, X + 1, Y]))
    assert len(sample.batches[0].args) == 2
    assert torch.equal(whole_target(sample), Y)
    assert draw(subject_of(siamese()), kind([X, X + 1])).loss_name == "none"
    assert torch.equal(whole_target(draw(subject_of(masked()), kind([X, Y]))), Y)


def test_nested_inputs_and_target() -> None:
    sample = draw(subject_of(siamese()), ((X, X + 1), Y))
    assert len(sample.batches[0].args) == 2
    sample = draw(subject_of(siamese()), ({"b": X, "a": X}, Y))
    assert set(sample.batches[0].kwargs) == {"a", "b"}
    assert torch.equal(whole_target(sample), Y)


def test_explicit_target_leaves_optional_inputs_by_order() -> None:
    sample = draw(subject_of(masked()), (X, torch.ones(10)), target=Y)
    assert len(sample.batches[0].args) == 2


@pytest.mark.parametrize("data", [(X, X, Y), {"x": X, "stranger": X, "y": Y}])
def test_ambiguous(data: Any) -> None:
    with pytest.raises(SampleError) as caught:
        draw(subject_of(masked()), data)
    assert caught.value.slug == "ambiguous-data"
    assert "x" in caught.value.hint + caught.value.message
    assert "y" in caught.value.hint


def test_missing_inputs() -> None:
    assert slug(siamese(), X) == "data-does-not-fit"
    assert slug(siamese(), {"a": X, "y": Y}) == "data-does-not-fit"
    with pytest.raises(SampleError, match="needs b"):
        draw(subject_of(siamese()), {"a": X})


@settings(max_examples=80, deadline=None)
@given(samples=st.integers(1, 50), size=st.integers(1, 20), count=st.integers(1, 6))
def test_batches_are_the_first_samples_in_order(samples: int, size: int, count: int) -> None:
    x = torch.arange(samples * 4.0).reshape(samples, 4)
    sample = draw(subject_of(nn.Linear(4, 1)), x, batch_size=size, batches=count)
    joined = torch.cat([batch.args[0] for batch in sample.batches])
    assert torch.equal(joined, x[: size * count])
    assert sample.samples == min(samples, size * count)
    assert all(batch.size == size for batch in sample.batches[:-1])


def test_inputs_of_different_length_are_not_cut() -> None:
    def forward(self: Any, nodes: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.fc(nodes)[edges[0]])

    sample = draw(
        subject_of(Forward(forward, fc=nn.Linear(4, 3))), (X, torch.zeros(2, 40, dtype=torch.int64)), batch_size=2
    )
    assert [batch.args[0].shape[0] for batch in sample.batches] == [10]


def test_time_major_inputs_are_not_cut() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.rnn(x)[0][-1])

    data = (torch.randn(50, 7, 4), torch.randint(0, 3, (7,)))
    sample = draw(subject_of(Forward(forward, rnn=nn.RNN(4, 3))), data, batch_size=4)
    assert [batch.size for batch in sample.batches] == [7]
    assert sample.batches[0].args[0].shape == (50, 7, 4)


def test_single_numbers_go_to_every_batch() -> None:
    sample = draw(subject_of(masked()), {"x": X, "scale": torch.tensor(2.0), "y": Y}, batch_size=5)
    assert [batch.kwargs["scale"].item() for batch in sample.batches] == [2.0, 2.0]


def test_fixed_batch_of_an_exported_program() -> None:
    sample = draw(exported(mlp(), torch.randn(3, 4)), (X, Y))
    assert [batch.size for batch in sample.batches] == [3, 3, 3]
    assert any("batches of 3 only" in remark for remark in sample.remarks)
    free = draw(exported(mlp(), torch.randn(3, 4), dynamic=True), (X, Y), batch_size=4)
    assert [batch.size for batch in free.batches] == [4, 4, 2]
    with pytest.raises(SampleError, match="example inputs are") as caught:
        draw(exported(mlp(), torch.randn(3, 4)), X[:2])
    assert caught.value.slug == "data-does-not-fit"


def test_one_sample_alone_is_left_out_before_batch_norm_in_train_mode() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    assert [b.size for b in draw(subject_of(module), X[:9], batch_size=4).batches] == [4, 4]
    assert [b.size for b in draw(subject_of(module), X[:9], batch_size=4, mode="eval").batches] == [4, 4, 1]
    assert slug(module, X[:1]) == "data-does-not-fit"
    pictures = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    assert draw(subject_of(pictures), torch.randn(1, 1, 8, 8)).samples == 1


# -------------------------------------------------------------------------------------------------- loaders, data sets


class Squares(Dataset[Any]):
    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> Any:
        return torch.full((4,), float(index)), index % 3


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return ({"x": torch.ones(4), "label": 1} for _ in range(7))


def test_datasets_are_collated_and_loaders_taken_as_they_come() -> None:
    sample = draw(subject_of(mlp()), Squares(), batch_size=8, batches=2)
    assert torch.cat([b.args[0] for b in sample.batches])[:, 0].tolist() == list(range(16))
    assert whole_target(sample).tolist() == [i % 3 for i in range(16)]
    sample = draw(subject_of(mlp()), DataLoader(Squares(), batch_size=5), batch_size=8, batches=3)
    assert [b.size for b in sample.batches] == [5, 5, 5]
    sample = draw(subject_of(mlp()), Stream(), batch_size=3)
    assert [b.size for b in sample.batches] == [3, 3, 1]
    assert sample.source == "in-memory"
    assert draw(subject_of(mlp()), ((X, Y) for _ in range(9)), batches=2).samples == 20
    assert draw(subject_of(mlp()), TensorDataset(X)).loss_name == "none"


def test_a_shuffled_loader_is_repeatable_and_leaves_the_random_state() -> None:
    loader = DataLoader(Squares(), batch_size=4, shuffle=True)
    subject = subject_of(mlp())
    before = torch.get_rng_state()
    first, again = (draw(subject, loader, seed=3).batches[0].args[0] for _ in range(2))
    other = draw(subject, loader, seed=4).batches[0].args[0]
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_faulty_and_empty_streams() -> None:
    class Faulty(Squares):
        def __getitem__(self, index: int) -> Any:
            raise KeyError("no such picture")

    assert slug(mlp(), Faulty()) == "data-failed"
    assert slug(mlp(), DataLoader(TensorDataset(X[:0]))) == "empty-data"
    assert slug(mlp(), iter(())) == "empty-data"
    assert slug(mlp(), Squares(), target=Y) == "ambiguous-data"
    assert slug(mlp(), iter([(X, ["a"] * 10)])) == "unsupported-data"


def test_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_sample_data.py").write_text(
        "import torch\n"
        "def pair(): return torch.ones(6, 4), torch.zeros(6, dtype=torch.int64)\n"
        "table = {'x': torch.ones(5, 4)}\n"
        "def fails(): raise OSError('disk gone')\n"
        "def l4(output, target): return ((output - target) ** 4).mean()\n"
        "class Names: data = staticmethod(pair)\n"
    )
    Path("my_broken_data.py").write_text("import nothing_of_this_name\n")
    subject = subject_of(mlp())
    assert draw(subject, "my_sample_data:pair").samples == 6
    assert draw(subject, "my_sample_data:pair").source == "my_sample_data:pair"
    assert draw(subject, "my_sample_data:table").samples == 5
    assert draw(subject, "my_sample_data:Names.data").samples == 6
    assert draw(subject, (X, torch.randn(10, 3)), loss="my_sample_data:l4").loss_name == "my_sample_data:l4"
    assert slug(mlp(), "my_sample_data:fails") == "entry-point-failed"
    assert slug(mlp(), "my_sample_data:gone") == "missing-entry-point"
    assert slug(mlp(), "no_such_module_here:gone") == "missing-entry-point"
    assert slug(mlp(), "my_broken_data:gone") == "entry-point-failed"


@pytest.mark.parametrize("data", [object(), "no such file", {"x": {1}}, (X, "text"), [[1.0, 2.0], [3.0]]])
def test_what_is_no_data(data: Any) -> None:
    assert slug(mlp(), data) in ("unsupported-data", "missing-data")


def test_lists_of_numbers_are_arrays() -> None:
    assert torch.equal(
        draw(subject_of(mlp()), [[1.0, 2, 3, 4]] * 3).batches[0].args[0][0], torch.tensor([1.0, 2, 3, 4])
    )


def test_inputs_come_detached_in_the_model_s_dtype_or_the_one_asked_for() -> None:
    x = X.double().requires_grad_()
    batch = draw(subject_of(mlp()), x).batches[0]
    assert batch.args[0].dtype == torch.float32
    assert not batch.args[0].requires_grad
    assert draw(subject_of(mlp().double()), X).batches[0].args[0].dtype == torch.float64
    exact = torch.full((2, 4), 1 / 3, dtype=torch.float64)
    for dtype in ("float64", torch.float64):
        assert torch.equal(draw(subject_of(mlp()), exact, dtype=dtype).batches[0].args[0], exact)
    assert draw(subject_of(mlp()), X, dtype="bf16").batches[0].args[0].dtype == torch.bfloat16
    assert draw(subject_of(mlp()), X, device="cpu").batches[0].args[0].device.type == "cpu"
    assert slug(mlp(), X * 1e5, dtype="float16") == "non-finite-data"
    for options in ({"dtype": "int32"}, {"dtype": "nonsense"}, {"batch_size": 0}, {"batches": 0}):
        with pytest.raises(UsageError):
            draw(subject_of(mlp()), X, **options)


@pytest.mark.parametrize("dtype", [torch.int16, torch.uint16, torch.int32, torch.int64])
def test_every_integer_kind_serves_as_token(dtype: torch.dtype) -> None:
    tokens = torch.tensor([[0, 4], [2, 3]]).to(dtype)
    assert draw(subject_of(nn.Embedding(5, 2)), tokens).samples == 2
