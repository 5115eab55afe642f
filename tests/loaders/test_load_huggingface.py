"""Hugging Face directories: of the class that the configuration names, without the network and without code in them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from gradcheck_cli import pipeline
from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.loaders import inspect, load


def _bert() -> Any:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(**sizes, intermediate_size=32, hidden_dropout_prob=0.0)
    return transformers.BertForSequenceClassification(config)


def _gpt2() -> Any:
    torch.manual_seed(0)
    ends: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=30, n_embd=16, n_layer=2, n_head=2, **ends))


def _whole(model: Any, folder: Path) -> None:
    model.save_pretrained(folder)


def _shards(model: Any, folder: Path) -> None:
    model.save_pretrained(folder, max_shard_size="12KB")
    assert (folder / "model.safetensors.index.json").exists()


def _bin(model: Any, folder: Path) -> None:
    model.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


def _bin_shards(model: Any, folder: Path) -> None:
    _bin(model, folder)
    (folder / "pytorch_model.bin").unlink()
    state = model.state_dict()
    table = {name: f"part-{index % 2}.bin" for index, name in enumerate(state)}
    for file in set(table.values()):
        torch.save({name: state[name].clone() for name in state if table[name] == file}, folder / file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": table}))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", denied)


@pytest.mark.parametrize("make", [_bert, _gpt2])
@pytest.mark.parametrize("save", [_whole, _shards, _bin, _bin_shards])
def test_the_model_comes_back(
    make: Callable[[], Any], save: Callable[[Any, Path], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = make()
    save(model, tmp_path)
    capfd.readouterr()
    subject = load(str(tmp_path))
    assert type(subject.module) is type(model)
    expected, found = model.state_dict(), subject.module.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    ties = [[name for name, _ in each.named_parameters()] for each in (model, subject.module)]
    assert ties[0] == ties[1]
    assert (subject.format, subject.remarks, len(str(subject.sha256))) == ("hugging-face", (), 64)
    assert capfd.readouterr() == ("", "")


def test_it_is_measured_as_the_module_is(tmp_path: Path) -> None:
    _bert().save_pretrained(tmp_path)
    sample = {"input_ids": torch.randint(0, 30, (8, 6), generator=torch.Generator().manual_seed(0))}
    expected = pipeline.diagnose(_bert(), sample, rehearse=0)
    found = pipeline.diagnose(tmp_path, sample, rehearse=0)
    assert found.layers == expected.layers
    assert found.verdict == expected.verdict


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(16, 2)
        self.bert = _bert().bert


def test_an_architecture_of_ones_own_takes_the_weights(tmp_path: Path) -> None:
    _bert().save_pretrained(tmp_path)
    subject = load(str(tmp_path), arch="test_load_huggingface:Own")
    assert torch.equal(subject.module.get_parameter("classifier.weight"), _bert().classifier.weight)
    assert subject.path == str(tmp_path)


def _configured(folder: Path, **changes: object) -> str:
    _bert().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return str(folder)


@pytest.mark.parametrize(
    ("changes", "slug"),
    [
        ({"architectures": ["MyOwnModel"], "auto_map": {"AutoModel": "modeling.MyOwnModel"}}, "needs-architecture"),
        ({"architectures": ["os"]}, "needs-architecture"),
        ({"architectures": ["AutoModel"]}, "needs-architecture"),
        ({"architectures": ["__import__('os')"]}, "needs-architecture"),
        ({"architectures": []}, "needs-architecture"),
        ({"architectures": [7]}, "needs-architecture"),
        ({"architectures": ["BertForMaskedLM"]}, "weights-do-not-fit"),
        ({"architectures": ["GPT2LMHeadModel"]}, "weights-do-not-fit"),
        ({"num_hidden_layers": 10**9}, "damaged-file"),
        ({"hidden_size": -4}, "load-failed"),
        ({"hidden_size": "x"}, "load-failed"),
        ({"vocab_size": 31}, "load-failed"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "unsupported-format"),
    ],
)
def test_a_configuration_that_lies_is_refused(changes: dict[str, object], slug: str, tmp_path: Path) -> None:
    path = _configured(tmp_path, **changes)
    (tmp_path / "modeling.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    with pytest.raises(GradcheckError) as caught:
        load(path)
    assert caught.value.slug == slug, str(caught.value)
    assert not (tmp_path / "marker").exists()


def test_broken_directories(tmp_path: Path) -> None:
    def refused(slug: str) -> None:
        with pytest.raises(GradcheckError) as caught:
            load(str(tmp_path))
        assert caught.value.slug == slug, str(caught.value)

    (tmp_path / "config.json").write_text("{}")
    refused("missing-file")
    _bert().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    refused("damaged-file")
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").symlink_to("/dev/zero")
    refused("unsafe-path")
    (tmp_path / "config.json").unlink()
    _bert().save_pretrained(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    refused("unsupported-format")
    (tmp_path / "adapter_config.json").unlink()
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-4])
    refused("damaged-file")
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors").symlink_to("/etc/passwd")
    refused("unsafe-path")


def test_without_the_library_the_extra_is_named(tmp_path: Path) -> None:
    _bert().save_pretrained(tmp_path)
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "from gradcheck_cli.errors import GradcheckError\nfrom gradcheck_cli.loaders import load\n"
        f"try: load({str(tmp_path)!r})\nexcept GradcheckError as error: print(error.slug, error.hint)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "missing-extra pip install 'gradcheck-cli[transformers]'\n"


def test_it_is_inspected_without_the_library(tmp_path: Path) -> None:
    _bert().save_pretrained(tmp_path)
    facts = inspect(str(tmp_path))
    assert facts.class_name == "transformers.BertForSequenceClassification"
    assert facts.parameters == sum(parameter.numel() for parameter in _bert().parameters())
    assert facts.command == f"gradcheck diagnose {tmp_path}"
