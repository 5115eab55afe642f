"""Inputs found by what goes wrong: the search, the repairs that an error suggests, and made-up graphs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from sample_subjects import draw, subject_of
from torch import Tensor, nn

from gradcheck_cli.records import Batch
from gradcheck_cli.sample import searching
from gradcheck_cli.sample.graph_noise import Adjacency, EdgeList
from gradcheck_cli.sample.leaf_inputs import surroundings_of
from gradcheck_cli.sample.named_inputs import inputs_named, kind_named
from gradcheck_cli.sample.noise import Noise, Recipe
from gradcheck_cli.sample.repairs import gap, numbers_in, repairs
from gradcheck_cli.sample.searching import Trials, search, with_floats
from gradcheck_cli.sample.signature import signature_of


def drawn(recipe: Recipe, size: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(tuple(noise.draw(size, generator) for noise in recipe.args), size=size)


def trials(net: nn.Module, seen: list[Batch] | None = None) -> Trials:
    def attempt(batch: Batch) -> bool:
        if seen is not None:
            seen.append(batch)
        with torch.no_grad():
            net(*batch.args)
        return False

    return Trials(drawn, attempt)


def searched(net: nn.Module, *guesses: Recipe) -> Recipe | None:
    return search(net, signature_of(net), guesses, trials(net))


class Net(nn.Module):
    def __init__(self, function: Callable[..., Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(self, *inputs)


CASES = {
    "a width": (Net(lambda net, x: net.fc(x), fc=nn.Linear(12, 3)), [Noise((16,))]),
    "two widths whose sum is told": (
        Net(lambda net, x, y: net.fc(torch.cat([x, y], 1)), fc=nn.Linear(10, 3)),
        [Noise((32,)), Noise((10,))],
    ),
    "a width that only an einsum tells": (
        Net(lambda net, x: net.fc(torch.einsum("bi,ij->bj", x, torch.ones(7, 5))), fc=nn.Linear(5, 2)),
        [Noise((16,))],
    ),
    "tokens in the second place": (
        Net(lambda net, x, y: net.fc(x) + net.table(y), fc=nn.Linear(4, 6), table=nn.Embedding(9, 6)),
        [Noise((4,)), Noise((4,))],
    ),
    "numbers below the smallest table": (
        Net(lambda net, x: net.a(x) + net.b(x), a=nn.Embedding(50, 4), b=nn.Embedding(6, 4)),
        [Noise((16,), high=50)],
    ),
    "frames of images": (
        Net(lambda net, x: torch.stack([net.conv(frame) for frame in x.unbind(1)]), conv=nn.Conv2d(5, 3, 3)),
        [Noise((16, 16))],
    ),
    "channels that are put beside a state": (
        Net(lambda net, x: net.conv(torch.cat([x, x.new_zeros(len(x), 8, 32, 32)], 1)), conv=nn.Conv2d(9, 4, 3)),
        [Noise((9, 32, 32))],
    ),
    "channels that an unshuffle multiplies": (
        Net(lambda net, x: net.conv(torch.pixel_unshuffle(x, 2)), conv=nn.Conv2d(12, 4, 3)),
        [Noise((12, 32, 32))],
    ),
    "a label of one hot": (
        Net(lambda net, x, y: net.fc(x) + nn.functional.one_hot(y, 5), fc=nn.Linear(4, 5)),
        [Noise((4,)), Noise((4,))],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_finds_an_input(name: str) -> None:
    net, start = CASES[name]
    recipe = searched(net, Recipe(tuple(start)))
    assert recipe is not None
    for size in (2, 3, 7):
        net(*drawn(recipe, size).args)


def test_an_optional_input_that_the_message_names_is_given() -> None:
    class Crosses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
            if context is None:
                raise ValueError("context must be passed in")
            return torch.as_tensor(self.fc(x) + self.fc(context))

    batch = draw(subject_of(Crosses()), batch_size=3).batches[0]
    assert batch.args[0].shape == batch.kwargs["context"].shape == (3, 4)


def test_it_gives_up_where_nothing_helps() -> None:
    def fail(*_: object) -> Tensor:
        raise ValueError("no")

    net = Net(fail)
    seen: list[Batch] = []
    tries = trials(net, seen)
    assert search(net, signature_of(net), [Recipe((Noise((4,)),))], tries) is None
    assert 10 < tries.count == len(seen) <= searching.MAX_TRIALS
    assert tries.nearest is not None
    assert tries.nearest[1] == "no"
    assert tries.models_own is None


def test_it_remembers_the_call_that_came_farthest_and_what_is_the_models_own_fault() -> None:
    net = Net(lambda net, x: net.fc(x) + net.nothing, fc=nn.Linear(12, 3))
    tries = trials(net)
    assert search(net, signature_of(net), [Recipe((Noise((5,)),)), Recipe((Noise((12,)),))], tries) is None
    assert tries.nearest is not None
    assert tries.nearest[0] == Recipe((Noise((12,)),))
    assert tries.models_own is not None
    assert isinstance(tries.models_own[0], AttributeError)


def test_it_stops_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MAX_SECONDS", -1)
    net = Net(lambda net, x: net.fc(x), fc=nn.Linear(12, 3))
    seen: list[Batch] = []
    assert search(net, signature_of(net), [Recipe((Noise((size,)),)) for size in (16, 12)], trials(net, seen)) is None
    assert len(seen) == 1


def test_a_size_is_never_right_only_because_it_is_the_batch() -> None:
    """Two vectors of one number each pass for one of two numbers, as long as there are two of them."""
    net = Net(lambda net, x: net.fc(x), fc=nn.Linear(2, 3))
    recipe = searched(net, Recipe((Noise(()),)))
    assert recipe is not None
    assert recipe.args[0].shape[-1:] == (2,)


def test_integers_become_floats_where_the_net_takes_them() -> None:
    net = Net(lambda net, x, y: net.table(x) + y, table=nn.Embedding(9, 4))
    recipe = Recipe((Noise((), high=9), Noise((4,), high=9)))
    assert with_floats(recipe, trials(net)) == Recipe((Noise((), high=9), Noise((4,))))


@pytest.mark.parametrize(
    ("error", "numbers"),
    [
        ("mat1 and mat2 shapes cannot be multiplied (2x42 and 10x32)", [2, 42, 10, 32]),
        ("The size of tensor a (16) must match the size of tensor b (3) at non-singleton dimension 1", [16, 3, 1]),
        ("Given groups=1, weight of size [16, 12, 3, 3], expected input[2, 24, 16, 16] to have 12 channels", None),
        ("conv2d_3: 0.5 of 1234567 is wrong", []),
    ],
)
def test_numbers_in(error: str, numbers: list[int] | None) -> None:
    assert numbers_in(error) == ([1, 16, 12, 3, 2, 24] if numbers is None else numbers)


def test_the_likeliest_repair_comes_first() -> None:
    shape = next(repairs(Noise((42,)), "mat1 and mat2 shapes cannot be multiplied (2x42 and 10x32)", ())).shape
    assert shape in {(10,), (2,), (32,)}
    assert next(repairs(Noise((4,)), "indices must be long", (50,))).high == 50
    assert next(repairs(Noise((4,), high=50), "index out of range in self", (50, 20))).high == 20
    assert len(next(repairs(Noise((4,)), "Expected 3D or 4D input", ())).shape) != 1


@pytest.mark.parametrize(
    ("noise", "error", "shape"),
    [
        (Noise((10,)), "mat1 and mat2 shapes cannot be multiplied (2x20 and 10x32)", (5,)),
        (Noise((12, 9, 9)), "expected input[2, 24, 9, 9] to have 12 channels, but got 24 channels instead", (6, 9, 9)),
        (
            Noise((3, 32, 32)),
            "The size of tensor a (64) must match the size of tensor b (16) at dimension 1",
            (3, 16, 16),
        ),
        (
            Noise((3, 32, 32)),
            "The size of tensor a (65) must match the size of tensor b (17) at dimension 1",
            (3, 16, 16),
        ),
        (Noise((4, 8)), "input.size(-1) must be equal to input_size. Expected 6, got 8", (4, 6)),
    ],
)
def test_what_a_message_tells_comes_first(noise: Noise, error: str, shape: tuple[int, ...]) -> None:
    assert next(repairs(noise, error, ())).shape == shape


def test_the_gap_is_how_far_a_size_is_off() -> None:
    assert gap("mat1 and mat2 shapes cannot be multiplied (2x11 and 10x32)") == 1
    assert gap("The size of tensor a (64) must match the size of tensor b (16) at non-singleton dimension 1") == 48
    assert gap("something else") > gap("Expected 6, got 2000")


def test_repairs_are_sane() -> None:
    found = list(repairs(Noise((4, 4096)), "9999 4096 4095 3 8", (7,)))
    assert len(set(found)) == len(found)
    assert Noise((4, 4096)) not in found
    assert all(noise.shape == () or (min(noise.shape) > 0 and len(noise.shape) <= 5) for noise in found)


@pytest.mark.parametrize("nodes", [1, 2, 3, 32, 64, 100])
def test_every_node_of_a_made_up_graph_has_a_neighbour(nodes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    edges = EdgeList().draw(nodes, generator)
    assert edges.shape == (2, 64)
    assert edges.dtype == torch.int64
    assert 0 <= int(edges.min()) <= int(edges.max()) < nodes
    assert len(set(edges[1].tolist())) == min(nodes, 64)
    adjacency = Adjacency().draw(nodes, generator)
    assert adjacency.shape == (nodes, nodes)
    assert torch.equal(adjacency, adjacency.T)
    assert not adjacency.diagonal().any()
    assert nodes == 1 or bool((adjacency.sum(1) > 0).all())
    assert set(adjacency.flatten().tolist()) <= {0.0, 1.0}


def test_dense_graphs_in_a_batch() -> None:
    adjacency = Adjacency((16, 16)).draw(3, torch.Generator().manual_seed(0))
    assert adjacency.shape == (3, 16, 16)
    assert torch.equal(adjacency, adjacency.transpose(1, 2))


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        ("image", Noise((3, 8, 8)), Noise((8,), high=9)),
        ("question_ids", Noise((8,), high=9), Noise((3, 8, 8))),
        ("x_num", Noise((8,)), Noise((8,), high=9)),
    ],
)
def test_names_tell_the_kind(name: str, yes: Noise, no: Noise) -> None:
    kind = kind_named(name)
    assert kind is not None
    assert (kind(yes), kind(no)) == (True, False)
    assert kind_named("x") is None


def test_names_tell_graphs() -> None:
    net = nn.Linear(4, 3)
    around = surroundings_of(net)
    assert isinstance(inputs_named("edge_index", net, around)[0], EdgeList)
    assert isinstance(inputs_named("adj", net, around)[0], Adjacency)
    assert inputs_named("edge_attr", net, around)[0] == Noise((64, 4), None)
    assert inputs_named("pos", net, around)[0] == Noise((3,))
    assert inputs_named("label", nn.Embedding(7, 2), around)[0] == Noise((), high=7)
