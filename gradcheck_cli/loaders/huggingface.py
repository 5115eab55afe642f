"""Hugging Face model directories: ``config.json`` names a class of transformers, the weights lie beside it.

Nothing is fetched and no code in the directory is run. Before the library opens anything, the configuration is looked
at, and every file of weights is read by our own strict reader.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from gradcheck_cli.loaders.formats import Kind
from gradcheck_cli.loaders.pickled_module import torch_errors
from gradcheck_cli.loaders.refusals import Slug, printable, refuse, some
from gradcheck_cli.loaders.sniff import sniff
from gradcheck_cli.loaders.soundness import require_module, require_values
from gradcheck_cli.loaders.source import Source, open_source
from gradcheck_cli.loaders.weights import load as weights_load
from gradcheck_cli.loaders.weights.contents import Weights
from gradcheck_cli.loaders.weights.digest import digest_of
from gradcheck_cli.loaders.weights.shards import inside
from gradcheck_cli.records import Subject

FORMAT = "hugging-face"
MAX_CONFIG = 4 << 20
CONFIG = "config.json"
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
BIN = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_LAYERS = re.compile(r"(num|n)_.*layers?|n_layer|.*_layers")
_ARCH = "pass your own network for its weights: --arch package.module:factory"


def load(path: str, arch: str | None) -> Subject:
    """The model in the directory `path`, of the class that its configuration names, or else of `arch`.

    Raises:
        ModelError: `missing-extra` without transformers, `weights-do-not-fit`, `needs-architecture` for a class that
            is not in transformers, and whatever is wrong with the configuration or the weights.
    """
    folder = Path(path)
    with _weights(folder, path) as (source, kind, found, files):
        if arch is not None:
            return replace(weights_load.load(source, kind, arch), path=path)
        with open_source(inside(folder, CONFIG)) as opened:
            config = read_config(opened)
            _require_buildable(config, sum(len(weights.tensors) for weights in found), path)
            build = _from_safetensors if Path(source.path).name in SAFETENSORS else _from_bin
            module, remarks = build(_class(config, path), path, found)
            digest = digest_of(opened, dict.fromkeys([source, *files]))
    require_values(module, path)
    return Subject(path=path, format=FORMAT, module=module, sha256=digest, remarks=remarks)


def read_config(source: Source) -> dict[str, Any]:
    """``config.json`` as a dict. Raises a `ModelError` (`damaged-file`)."""
    try:
        config = json.loads(source.read(0, source.size)) if source.size <= MAX_CONFIG else None
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise refuse(Slug.DAMAGED_FILE, source.path, "the configuration is no readable JSON", "download it again")
    return config


def weights_file(folder: Path, path: str) -> str:
    """The file of weights, or their index, that is to be used. Raises a `ModelError` (`missing-file`)."""
    for name in (*SAFETENSORS, *BIN):
        if (folder / name).exists():
            return inside(folder, name)
    message = f"the directory has a configuration, but none of {', '.join((*SAFETENSORS, *BIN))}"
    raise refuse(Slug.MISSING_FILE, path, message, "download the weights too, or save them with save_pretrained")


@contextmanager
def _weights(folder: Path, path: str) -> Iterator[tuple[Source, Kind, list[Weights], list[Source]]]:
    """The strictly read weights of the directory; the files stay open, and must not change, until the end."""
    with ExitStack() as stack:
        source = stack.enter_context(open_source(weights_file(folder, path)))
        kind = sniff(source)
        found, files = stack.enter_context(weights_load.opened(source, kind))
        yield source, kind, found, files
        for file in files:
            file.require_unchanged()


# -------------------------------------------------------------------------------------------------------- the library


def _require_buildable(config: dict[str, Any], tensors: int, path: str) -> None:
    """Refuses what the library would build by other means than its own layers, or without bound."""
    if config.get("quantization_config"):
        hint = f"save it again in float16 or float32, or {_ARCH}"
        raise refuse(Slug.UNSUPPORTED_FORMAT, path, "its weights are quantised, and cannot be differentiated", hint)
    if (Path(path) / "adapter_config.json").exists():
        message = "this is an adapter, whose base model is elsewhere"
        raise refuse(Slug.UNSUPPORTED_FORMAT, path, message, "merge it (merge_and_unload) and save the whole model")
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        for key, value in part.items():
            if _LAYERS.fullmatch(key) and type(value) is int and value > tensors:
                message = (
                    f"its configuration asks for {printable(key)} = {value}, and the weights are {tensors} tensors"
                )
                raise refuse(Slug.DAMAGED_FILE, path, message, "download it again")


def _class(config: dict[str, Any], path: str) -> Any:
    """The class of transformers that the configuration names; its imports of optional libraries may fail."""
    try:
        import transformers
    except ImportError as error:
        hint = "pip install 'gradcheck-cli[transformers]'"
        message = "a Hugging Face directory needs the library transformers, which is not installed"
        raise refuse(Slug.MISSING_EXTRA, path, message, hint) from error
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    if not isinstance(name, str) or not name.isidentifier():
        message = "its configuration names no architecture"
        raise refuse(Slug.NEEDS_ARCHITECTURE, path, message, f"{_ARCH} (gradcheck diagnose {printable(path)} --arch …)")
    with torch_errors(path):
        found = getattr(transformers, name, None)
        if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel):
            return found
    remote = ", but in code of its own, which is not run" if config.get("auto_map") else ""
    message = f"its class {printable(name)} is not in transformers {transformers.__version__}{remote}"
    raise refuse(Slug.NEEDS_ARCHITECTURE, path, message, f"update transformers, or {_ARCH}")


def _from_safetensors(cls: Any, path: str, _: list[Weights]) -> tuple[nn.Module, tuple[str, ...]]:
    options = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    with torch_errors(path), _silent():
        loaded, info = cls.from_pretrained(path, output_loading_info=True, **options)
    missing, unexpected = (sorted(map(str, info.get(key) or ())) for key in ("missing_keys", "unexpected_keys"))
    if missing:
        message = f"{len(missing)} weights of {cls.__name__} are not in the files, and would be random: {some(missing)}"
        raise refuse(
            Slug.WEIGHTS_DO_NOT_FIT, path, message, "let architectures in config.json name the class that was saved"
        )
    remarks = [f"{len(unexpected)} weights in the files are not used: {some(unexpected)}"] if unexpected else []
    return require_module(loaded, path), tuple(remarks)


def _from_bin(cls: Any, path: str, found: list[Weights]) -> tuple[nn.Module, tuple[str, ...]]:
    """Pickled weights: the library would unpickle them, so it only builds the network, and our reader fills it."""
    with torch_errors(path), _silent():
        config = cls.config_class.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        module = require_module(cls(config), path)
    return module, weights_load.put_into(module, found, path, cls.__name__)


@contextmanager
def _silent() -> Iterator[None]:
    """No warnings and no progress bars of transformers'."""
    import transformers

    logging: Any = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
