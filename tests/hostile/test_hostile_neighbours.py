"""The corpus proves something only if its payloads are real, and if the honest files next to its own are read."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import forged_files as forge
import pytest
import safetensors.torch
import torch
from torch import nn

from gradcheck_cli.errors import GradcheckError, ModelError
from gradcheck_cli.loaders import inspect, load
from hostile import archives, data, exports, honest, pickles, weights

WEIGHT = forge.tensor("0", [2, 2], [2, 1], numel=4)
BIAS = forge.tensor("1", [2], [1], numel=2)
STORAGES = {"0": bytes(16), "1": bytes(8)}


@pytest.fixture
def arch(tmp_path: Path) -> str:
    (tmp_path / "architectures.py").write_text("from torch import nn\n\ndef linear():\n    return nn.Linear(2, 2)\n")
    return f"{tmp_path / 'architectures.py'}:linear"


# ------------------------------------------------------------------------------------------------- payloads are real


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("door", ["pickled-weights", "opaque-constant", "expression"])
def test_without_the_checks_torch_runs_the_payloads_of_exports(door: str, tmp_path: Path) -> None:
    path = forge.written(tmp_path, exports.forged(door, tmp_path / "marker"), "model.pt2")
    with pytest.raises(ModelError):
        load(path, trust=True)
    assert (tmp_path / "marker").exists()


def test_without_the_checks_python_runs_the_payloads_of_pickles(tmp_path: Path) -> None:
    for name, content in (("a", pickle.dumps([pickles.Payload(tmp_path / "a")])), ("b", b"")):
        pickle.loads(content or forge.PROTO + pickles.touch(tmp_path / name) + forge.END)
        assert (tmp_path / name).exists()


def test_the_bombs_are_small_and_expand() -> None:
    bomb = archives.overlapping(2000, 1 << 20)
    assert len(bomb) < 1 << 18
    with zipfile.ZipFile(io.BytesIO(bomb)) as archive:
        assert sum(member.file_size for member in archive.infolist()) == 2000 << 20
    assert all(len(forge.archive(content)) < 4 << 20 for content in pickles.MODULE_BOMBS.values())


# --------------------------------------------------------------------------------------- honest neighbours are read


@pytest.mark.filterwarnings("ignore")
def test_forged_files_that_are_not_hostile_are_read(arch: str, tmp_path: Path) -> None:
    archive = forge.zipped(honest.members(honest.exported()))
    assert load(forge.written(tmp_path, archive, "x.pt2")).module(torch.ones(5, 3)).shape == (5, 2)
    linear = forge.archive(pickles.linear_with(forge.parameter(WEIGHT)), STORAGES)
    assert load(forge.written(tmp_path, linear)).module.weight.shape == (2, 2)
    module = forge.zipped(honest.members(honest.module()))
    assert len(load(forge.written(tmp_path, module)).module) == 3  # type: ignore[arg-type]
    header = weights.tensors({**weights.HONEST, "__metadata__": {"format": "pt"}})
    assert load(forge.written(tmp_path, header, "x.safetensors"), arch=arch).module.get_parameter("weight").sum() == 0
    state = weights.state_dict_with(WEIGHT)
    assert load(forge.written(tmp_path, state), arch=arch).module.get_parameter("weight").sum() == 0
    assert inspect(forge.written(tmp_path, weights.old(), "old.pt")).parameters == 4
    assert (tmp_path / "x.pt2").read_bytes() == archive


def test_the_honest_files_of_the_cut_ones_are_read(arch: str, tmp_path: Path) -> None:
    for name, (build, options) in archives.HONEST.items():
        path = forge.written(tmp_path, build(), name)
        if name == "script.pt":
            with pytest.raises(GradcheckError, match="--trust"):
                load(path)
        else:
            assert load(path, arch=arch if options else None).module is not None


def test_honest_headers_of_arrays_are_read(tmp_path: Path) -> None:
    from gradcheck_cli.sample.files import open_data
    from gradcheck_cli.sample.numpy_files import read_npy

    for version in (b"\x01\x00", b"\x02\x00"):
        text = "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }"
        with open_data(forge.written(tmp_path, data.npy_header(text, version=version), "x.npy")) as file:
            assert read_npy(file).shape == (4,)


def test_a_link_leads_into_the_cache_that_it_is_part_of(arch: str, tmp_path: Path) -> None:
    """As the cache of the Hugging Face hub lies on disk; links to elsewhere are in the corpus."""
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--a--b" / "blobs").mkdir()
    content = {"weight": torch.ones(2, 2), "bias": torch.ones(2)}
    safetensors.torch.save_file(content, tmp_path / "models--a--b" / "blobs" / "abc")
    (snapshot / "x.index.json").write_text('{"weight_map": {"weight": "a.safetensors", "bias": "a.safetensors"}}')
    (snapshot / "a.safetensors").symlink_to("../../blobs/abc")
    assert load(str(snapshot / "x.index.json"), arch=arch).module.get_parameter("weight").sum() == 4
    (snapshot / "a.safetensors").unlink()
    (snapshot / "a.safetensors").symlink_to("nothing")
    with pytest.raises(GradcheckError) as caught:
        load(str(snapshot / "x.index.json"), arch=arch)
    assert caught.value.slug == "missing-file"


# ------------------------------------------------------------------------------------------------ what is passed by


@pytest.mark.parametrize("place", pickles.BESIDE_WEIGHTS)
@pytest.mark.parametrize("way", pickles.WAYS_OF_SAVING)
def test_code_beside_weights_is_named_and_passed_by(place: str, way: str, arch: str, tmp_path: Path) -> None:
    state = nn.Linear(2, 2).state_dict()
    content = pickles.BESIDE_WEIGHTS[place](pickles.Payload(tmp_path / "marker"), dict(state))
    path = forge.written(tmp_path, honest.saved(content, **pickles.WAYS_OF_SAVING[way]), "x.ckpt")
    assert any("touch" in name or "Path" in name for name in inspect(path).code)
    assert torch.equal(load(path, arch=arch).module.get_parameter("weight"), state["weight"])
    assert not (tmp_path / "marker").exists()


def test_hooks_in_a_state_dict_are_not_kept(arch: str, tmp_path: Path) -> None:
    hooks = forge.ordered({"0": forge.name("torch.nn.functional.relu")})
    bias = forge.tensor("1", [2], [1], numel=2, hooks=hooks)
    content = forge.mapping({"weight": forge.parameter(WEIGHT, hooks), "bias": bias})
    path = forge.written(tmp_path, forge.archive(forge.mapping({"state_dict": content}), STORAGES))
    module = load(path, arch=arch).module
    assert all(not parameter._backward_hooks for parameter in module.parameters())


def test_an_expanded_tensor_takes_no_room_to_be_told(tmp_path: Path) -> None:
    expanded = forge.tensor("0", [10**8, 10**7], [0, 0], numel=4)
    content = forge.mapping({"state_dict": forge.mapping({"weight": expanded})})
    path = forge.written(tmp_path, forge.archive(content, {"0": bytes(16)}))
    assert inspect(path).parameters == 10**15


def test_a_module_inside_itself_ends(arch: str, tmp_path: Path) -> None:
    parts = (forge.text("_parameters"), forge.mapping({"w": WEIGHT}), forge.text("_buffers"), b"}")
    me = forge.text("_modules") + b"}(" + forge.text("me") + b"h\x00uub"
    cyclic = forge.name("a.B") + b")\x81q\x00}(" + b"".join(parts) + me
    path = forge.written(tmp_path, forge.archive(cyclic, STORAGES))
    assert [tensor.name for tensor in inspect(path).tensors] == ["w"]
    for given, slug in ((None, "foreign-class"), (arch, "weights-do-not-fit")):
        with pytest.raises(GradcheckError) as caught:
            load(path, arch=given)
        assert caught.value.slug == slug


# -------------------------------------------------------------------------------------------------- what is said


UNNAMED = ("pickle-in-persistent-id", "popped", "before-the-end")
"""Where the call is no part of what the pickle makes."""


@pytest.mark.parametrize("place", [place for place in pickles.PLACES if place not in UNNAMED])
def test_a_refusal_names_what_would_have_run(place: str, tmp_path: Path) -> None:
    path = forge.written(tmp_path, forge.archive(pickles.PLACES[place](pickles.touch(tmp_path / "marker"))))
    with pytest.raises(ModelError) as caught:
        load(path)
    assert "os.system" in caught.value.message


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("door", [door for door in exports.DOORS if door not in exports.HARMLESS_ONCE_DROPPED])
def test_a_refused_export_says_that_nothing_was_run(door: str, tmp_path: Path) -> None:
    path = forge.written(tmp_path, exports.forged(door, tmp_path / "marker"), "model.pt2")
    with pytest.raises(ModelError) as caught:
        load(path)
    assert "nothing was run" in caught.value.hint or caught.value.slug == "truncated-file"


def test_several_indexes_in_a_folder_are_named(tmp_path: Path) -> None:
    for name in ("a.index.json", "b.index.json"):
        (tmp_path / name).write_text('{"weight_map": {"a": "b"}}')
    with pytest.raises(ModelError, match=r"a\.index\.json, b\.index\.json"):
        load(str(tmp_path))
