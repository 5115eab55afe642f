"""Bare weights find their place in an architecture, exactly or not at all."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forged_files as forge
import pytest
import safetensors.torch
import torch
from torch import nn

from gradcheck_cli.errors import GradcheckError, NotCompleted
from gradcheck_cli.loaders import load


class Small(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.norm = nn.BatchNorm1d(width)
        self.second = nn.Linear(width, 2)
        self.register_buffer("passing", torch.zeros(2), persistent=False)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.table.weight


class Deep(nn.Module):
    """A module within modules, so that its names have a prefix."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.ModuleDict({"backbone": Small()})


def wider() -> nn.Module:
    return Small(5)


def half() -> nn.Module:
    return Small().half()


def without_values() -> nn.Module:
    with torch.device("meta"):
        return Small()


def linear_without_values() -> nn.Module:
    return nn.Linear(3, 4, device="meta")


def tied_without_values() -> nn.Module:
    with torch.device("meta"):
        return Tied()


def failing() -> nn.Module:
    raise ValueError("no luck")


HERE = "test_load_weights"


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    module = Small()
    module.norm.running_mean.normal_()  # type: ignore[union-attr]
    module.norm.num_batches_tracked.fill_(7)  # type: ignore[union-attr]
    return dict(module.state_dict())


def saved(folder: Path, content: object, **options: Any) -> str:
    torch.save(content, folder / "x.pt", **options)
    return str(folder / "x.pt")


def assert_holds(module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    found = module.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


def refused(path: str, arch: str | None, slug: str) -> GradcheckError:
    with pytest.raises(GradcheckError) as caught:
        load(path, arch=arch and f"{HERE}:{arch}")
    assert caught.value.slug == slug, str(caught.value)
    assert str(caught.value).isprintable()
    return caught.value


# -------------------------------------------------------------------------------------------------- what holds weights

Wrap = Callable[[dict[str, torch.Tensor]], object]
CONTENTS: dict[str, Wrap] = {
    "plain": lambda state: state,
    "ordered": OrderedDict,
    "parameters": lambda state: {name: nn.Parameter(value, value.is_floating_point()) for name, value in state.items()},
    **{
        key: lambda state, key=key: {"epoch": 1, key: state}  # type: ignore[misc]
        for key in ("state_dict", "model", "model_state_dict", "net", "module", "ema", "anything")
    },
    "nested": lambda state: {"states": {"model": {"weights": state}}},
    "module-in-a-dict": lambda state: {"model": _filled(state), "args": Namespace(lr=0.1)},
    "module": lambda state: _filled(state),
    "data-parallel": lambda state: nn.DataParallel(_filled(state)),
}


def _filled(state: dict[str, torch.Tensor]) -> nn.Module:
    module = Small()
    module.load_state_dict(state)
    return module


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("form", CONTENTS)
def test_wherever_the_weights_lie(form: str, protocol: int, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = saved(tmp_path, CONTENTS[form](state), pickle_protocol=protocol)
    before = Path(path).read_bytes()
    subject = load(path, arch=f"{HERE}:Small")
    assert_holds(subject.module, state)
    assert subject.sha256 == hashlib.sha256(before).hexdigest()
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize("form", CONTENTS)
def test_the_old_format(form: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = saved(tmp_path, CONTENTS[form](state), _use_new_zipfile_serialization=False)
    assert_holds(load(path, arch=f"{HERE}:Small").module, state)


@pytest.mark.filterwarnings("ignore:Casting complex")
@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
        *(torch.bool, torch.complex64, torch.complex128, torch.uint16, torch.float8_e4m3fn),
    ],
)
def test_every_dtype_comes_back(dtype: torch.dtype, tmp_path: Path) -> None:
    from gradcheck_cli.loaders.source import open_source
    from gradcheck_cli.loaders.weights.torch_save import open_torch_file

    value = torch.arange(-3, 9).to(dtype).reshape(3, 4)
    content = {"whole": value, "turned": value.t(), "part": value[1:, 1:3], "one": value[1, 1], "none": value[:0]}
    for zipped in (True, False):
        path = saved(tmp_path, {"state_dict": content}, _use_new_zipfile_serialization=zipped)
        with open_source(path) as source:
            (weights,) = open_torch_file(source).weights(path)
            for name, tensor in content.items():
                assert torch.equal(weights.tensors[name].read().float(), tensor.float()), name
                target = torch.ones_like(tensor)
                weights.tensors[name].read_into(target)
                assert torch.equal(target.float(), tensor.float()), name


def test_views_of_one_storage(tmp_path: Path) -> None:
    flat = torch.randn(3 * 4 + 4)
    state = {"weight": flat[:12].view(4, 3), "bias": flat[12:]}
    path = saved(tmp_path, {"model": {f"first.{name}": value for name, value in state.items()}})
    with pytest.raises(GradcheckError) as caught:
        load(path, arch=f"{HERE}:Small")
    assert "norm.weight" in caught.value.message
    subject = load(path, arch=f"{HERE}:linear")
    assert_holds(subject.module, state)
    assert subject.remarks == ("the prefix 'first.' was taken from the names in the file",)


def linear() -> nn.Module:
    return nn.Linear(3, 4)


# ----------------------------------------------------------------------------------------------------------- prefixes


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "net.", "_orig_mod.", "backbone.", "module.model.", "odd.name."]
)
def test_a_prefix_is_stripped_and_said(prefix: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = saved(tmp_path, {prefix + name: value for name, value in state.items()})
    subject = load(path, arch=f"{HERE}:Small")
    assert_holds(subject.module, state)
    assert subject.remarks == (f"the prefix '{prefix}' was taken from the names in the file",)


def test_a_prefix_is_put_before(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    subject = load(saved(tmp_path, state), arch=f"{HERE}:Deep")
    assert_holds(subject.module, {f"model.backbone.{name}": value for name, value in state.items()})
    assert subject.remarks == ("the prefix 'model.backbone.' was put before the names in the file",)


def test_of_two_networks_in_one_file_only_a_wrapper_is_taken(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    other = {"critic.weight": torch.zeros(2, 2)}
    path = saved(tmp_path, {**{f"model.{name}": value for name, value in state.items()}, **other})
    subject = load(path, arch=f"{HERE}:Small")
    assert_holds(subject.module, state)
    assert any("critic.weight" in remark for remark in subject.remarks)
    path = saved(tmp_path, {**{f"actor.{name}": value for name, value in state.items()}, **other})
    refused(path, "Small", "weights-do-not-fit")


def test_the_first_of_several_state_dicts_that_fit_is_taken_and_said(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    zeros = {name: torch.zeros_like(value) for name, value in state.items()}
    wrong = {"first.weight": torch.zeros(1)}
    subject = load(saved(tmp_path, {"ema": zeros, "state_dict": wrong, "model": state}), arch=f"{HERE}:Small")
    assert_holds(subject.module, state)
    assert subject.remarks == ("the weights were read from 'model'; those of ema would fit too",)


# ------------------------------------------------------------------------------------------------------- strict or not


def test_what_does_not_fit_is_listed(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    error = refused(saved(tmp_path, state), "wider", "weights-do-not-fit")
    assert "7 of another shape: first.weight is [4, 3] in the file and [5, 3] in the network" in error.message
    assert error.message.endswith("and 4 more")
    del state["second.bias"], state["first.bias"]
    state["extra\x1b[31m"] = torch.zeros(1)
    error = refused(saved(tmp_path, state), "Small", "weights-do-not-fit")
    assert "2 missing from the file: first.bias, second.bias" in error.message
    assert "1 unknown to the network: extra\\x1b[31m" in error.message
    integers = {**state, "first.weight": torch.zeros(4, 3, dtype=torch.int8)}
    assert "first.weight is int8 [4, 3]" in refused(saved(tmp_path, integers), "Small", "weights-do-not-fit").message


def test_other_precisions_are_converted_and_said(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    subject = load(saved(tmp_path, state), arch=f"{HERE}:half")
    assert subject.module.get_parameter("first.weight").dtype == torch.float16
    assert torch.equal(subject.module.get_parameter("first.weight"), state["first.weight"].half())
    assert subject.remarks == ("8 tensors were converted from float32 to the network's float16",)


def test_what_old_files_lack_and_what_new_ones_no_longer_save(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    del state["norm.num_batches_tracked"]
    state["passing"] = torch.zeros(2)
    subject = load(saved(tmp_path, state), arch=f"{HERE}:Small")
    assert subject.remarks == ("the file lacks 1 counters of batch norm, as old files do",)


def test_tied_weights_stay_tied_and_one_name_is_enough(tmp_path: Path) -> None:
    weight = torch.randn(5, 3)
    safetensors.torch.save_file({"table.weight": weight}, tmp_path / "x.safetensors")
    for arch in ("Tied", "tied_without_values"):
        module = load(str(tmp_path / "x.safetensors"), arch=f"{HERE}:{arch}").module
        assert module.get_parameter("table.weight") is module.get_parameter("head.weight")
        assert torch.equal(module.get_parameter("head.weight"), weight)
    both = {"table.weight": weight, "head.weight": weight.clone()}
    assert load(saved(tmp_path, both), arch=f"{HERE}:Tied").remarks == ()
    (remark,) = load(saved(tmp_path, {**both, "head.weight": weight + 1}), arch=f"{HERE}:Tied").remarks
    assert "table.weight and head.weight" in remark


def test_an_architecture_without_values_gets_those_of_the_file(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = saved(tmp_path, state)
    assert "passing" in refused(path, "without_values", "no-values").message  # a buffer that no file holds
    values = {name.removeprefix("first."): value for name, value in state.items() if name.startswith("first.")}
    assert_holds(load(saved(tmp_path, values), arch=f"{HERE}:linear_without_values").module, values)


def test_the_architecture_is_the_users_own_code(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = saved(tmp_path, state)
    with pytest.raises(NotCompleted) as caught:
        load(path, arch=f"{HERE}:failing")
    assert caught.value.slug == "entry-point-failed"
    refused(path, "nothing", "no-such-attribute")


def test_without_an_architecture_the_command_is_said(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = saved(tmp_path, {"state_dict": state})
    error = refused(path, None, "needs-architecture")
    assert "8 tensors with" in error.message or "9 tensors with" in error.message
    assert "under 'state_dict': first.weight, first.bias" in error.message
    assert f"gradcheck diagnose {path} --arch package.module:factory" in error.hint
    error = refused(saved(tmp_path, _filled(state)), None, "foreign-class")
    assert f"--arch {HERE}:Small" in error.hint
    assert "test_load_weights.Small" in error.message


def test_data_is_weights_only_where_an_architecture_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, {"weight": torch.ones(4, 3), "x": torch.ones(4)})
    refused(path, "linear", "weights-do-not-fit")
    tensors = {"a": torch.ones(3), "b": torch.zeros(2)}
    refused(saved(tmp_path, tensors), None, "not-a-model")
    refused(saved(tmp_path, [1, 2]), "linear", "not-a-model")


def test_foreign_classes_are_not_imported(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """The module that the pickle names would leave a marker if it were imported."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')\nclass Net: pass\n")
    weight = forge.parameter(forge.tensor("0", [4, 3], [3, 1], numel=12))
    bias = forge.parameter(forge.tensor("1", [4], [1], numel=4))
    net = forge.module(
        "evil.Net", _parameters=forge.mapping({"weight": weight, "bias": bias}), config=forge.call("evil.f")
    )
    path = forge.written(tmp_path, forge.archive(net, {"0": bytes(48), "1": bytes(16)}))
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(Path(__file__).parent)!r},"
        f" {str(Path(__file__).parents[1])!r}]\n"
        f"from gradcheck_cli.loaders import load\n"
        f"print(load({path!r}, arch='{HERE}:linear').module.weight.sum().item())\n"
        f"assert 'evil' not in sys.modules"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout == "0.0\n", ran.stderr
    assert not (tmp_path / "marker").exists()


# -------------------------------------------------------------------------------------------------------------- shards


def _sharded(folder: Path, state: dict[str, torch.Tensor]) -> None:
    names = list(state)
    parts = {"a.safetensors": names[:3], "b.safetensors": names[3:]}
    for file, held in parts.items():
        safetensors.torch.save_file({name: state[name] for name in held}, folder / file)
    table = {name: file for file, held in parts.items() for name in held}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))


def test_a_folder_with_an_index(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    _sharded(tmp_path, state)
    index = str(tmp_path / "model.safetensors.index.json")
    whole, folder = load(index, arch=f"{HERE}:Small"), load(str(tmp_path), arch=f"{HERE}:Small")
    assert_holds(whole.module, state)
    assert_holds(folder.module, state)
    assert whole.format == "sharded-checkpoint"
    assert whole.sha256 == folder.sha256
    refused(index, None, "needs-architecture")
    # Any change of any part is another model.
    state["second.bias"] += 1
    _sharded(tmp_path, state)
    assert load(index, arch=f"{HERE}:Small").sha256 != whole.sha256
