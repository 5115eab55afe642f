"""Pickled modules of classes that are not torch's: their weights are read without the classes, and put into `--arch`."""

from __future__ import annotations

from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.loaders import torch_names
from gradcheck_cli.loaders.formats import Kind
from gradcheck_cli.loaders.pickle_names import global_names
from gradcheck_cli.loaders.refusals import TRUST, Slug, refuse, some
from gradcheck_cli.loaders.source import Source
from gradcheck_cli.loaders.weights import load as weights_load
from gradcheck_cli.loaders.weights.contents import Weights
from gradcheck_cli.loaders.weights.torch_save import TorchFile, open_torch_file
from gradcheck_cli.records import Subject


def is_foreign(source: Source) -> bool:
    """Whether the file is a module of a foreign class from which a state dict can be recovered."""
    try:
        file = open_torch_file(source)
        return bool(_foreign(file)) and bool(_modules(file, source))
    except GradcheckError:  # whatever is wrong with it is for `pickled_module` to say
        return False


def load(source: Source, arch: str | None) -> Subject:
    """The weights of the module in the network of `arch`.

    Raises:
        ModelError: `foreign-class` without `arch`, else as `weights.load`.
    """
    if arch is not None:
        return weights_load.load(source, Kind.PICKLED_MODULE, arch)
    file = open_torch_file(source)
    weights = _modules(file, source)[0]
    message = (
        f"this is a pickled {weights.class_name}, and the file needs classes that are not torch.nn's: "
        f"{some(_foreign(file))}; {weights_load.contents(weights)}"
    )
    hint = f"nothing was run; name its architecture: {weights_load.command(source.path, weights)}; or, {TRUST}"
    raise refuse(Slug.FOREIGN_CLASS, source.path, message, hint)


def _foreign(file: TorchFile) -> list[str]:
    return [name for name in global_names(file.pickles) if not torch_names.is_allowed(name)]


def _modules(file: TorchFile, source: Source) -> list[Weights]:
    return [weights for weights in file.weights(source.path) if weights.class_name]
