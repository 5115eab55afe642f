"""``--input-shape [NAME=]3,32,32[:DTYPE]``: the shapes of made-up inputs, as the user knows them. Imports no torch at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gradcheck_cli.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

    from gradcheck_cli.sample.noise import Noise, Recipe
    from gradcheck_cli.sample.signature import Signature

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int64", "int32", "uint8")
DTYPES = (*FLOATS, *INTEGERS, "bool")
MAX_VALUES = 1 << 30
"""Of one sample."""
_FORM = re.compile(r"(?:(?P<name>[^\W\d]\w*)=)?(?P<shape>[0-9B, ]*)(?::(?P<dtype>\w+))?")
_HINT = "write it as 3,32,32 or NAME=16:int64; the batch is added in front, or where a B stands"


@dataclass(frozen=True)
class InputShape:
    """One input as the user described it."""

    name: str | None
    """None: by order."""
    shape: tuple[int, ...]
    """Without the batch."""
    batch_dim: int
    dtype: str | None
    """None: floating, or integers where the model takes no floats."""


def parse(texts: Sequence[str]) -> list[InputShape]:
    """Return the inputs that the options describe, those by order before those by name.

    Raises:
        UsageError: ``bad-option``.
    """
    found = [_parsed(text) for text in texts]
    names = [each.name for each in found if each.name is not None]
    if len(set(names)) < len(names):
        raise UsageError("bad-option", "--input-shape gives one name twice", hint="give each input once")
    return sorted(found, key=lambda each: each.name is not None)


def _parsed(text: str) -> InputShape:
    match = _FORM.fullmatch(text.strip())
    if not match or not (match["shape"].strip() or match["name"]):
        raise _unusable(text, "is no shape")
    dims = [part.strip() for part in match["shape"].split(",") if part.strip()]
    if dims.count("B") > 1 or any(not (dim == "B" or dim.isdecimal()) for dim in dims):
        raise _unusable(text, "is no shape")
    shape = tuple(int(dim) for dim in dims if dim != "B")
    values = 1
    for size in shape:
        values *= size
    if not 0 < values <= MAX_VALUES or len(shape) > 16:
        raise _unusable(text, f"has a size of 0, or over {MAX_VALUES} values in a sample")
    if match["dtype"] not in (None, *DTYPES):
        raise _unusable(text, f"has a dtype that is none of {', '.join(DTYPES)}")
    return InputShape(match["name"], shape, dims.index("B") if "B" in dims else 0, match["dtype"])


def _unusable(text: str, why: str) -> UsageError:
    return UsageError("bad-option", f"--input-shape {text!r} {why}", hint=_HINT)


def recipes(given: Sequence[InputShape], root: nn.Module, signature: Signature) -> list[Recipe]:
    """Return the calls to try with these inputs: floats before integers where no dtype is given.

    Raises:
        UsageError: ``bad-option`` where forward takes no such inputs, or needs others as well.
    """
    import itertools

    from gradcheck_cli.sample.noise import Recipe

    _check(given, signature)
    columns = [_candidates(each, root) for each in given]
    found = []
    for choice in itertools.islice(itertools.product(*columns), 64):
        pairs = list(zip(given, choice, strict=True))
        args = tuple(noise for each, noise in pairs if each.name is None)
        found.append(Recipe(args, {each.name: noise for each, noise in pairs if each.name is not None}))
    return found


def _check(given: Sequence[InputShape], signature: Signature) -> None:
    by_order = sum(each.name is None for each in given)
    if by_order > len(signature.positional) and not signature.any_positional:
        message = f"--input-shape is given {by_order} times without a name, and the model takes {signature}"
        raise UsageError("bad-option", message, hint="leave some out, or name them")
    names = [each.name for each in given if each.name is not None]
    known = (*signature.positional[by_order:], *signature.keywords)
    for name in names:
        if name not in known and not signature.any_keyword:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"name one of {', '.join(known[:8]) or 'none'}"
            raise UsageError("bad-option", f"--input-shape {name}: the model takes {signature}", hint=hint)
    lacking = [name for name in signature.needed if name not in (*signature.positional[:by_order], *names)]
    if lacking:
        message = f"the model takes {signature} and needs {', '.join(lacking)} as well"
        raise UsageError("bad-option", message, hint=f"add --input-shape {lacking[0]}=SHAPE")


def _candidates(each: InputShape, root: nn.Module) -> list[Noise]:
    from gradcheck_cli.sample.noise import Noise

    plain = Noise(each.shape, each.batch_dim, dtype="" if each.dtype in (None, "float32", "int64") else str(each.dtype))
    if each.dtype == "bool":
        return [replace(plain, fill=True)]
    integers = _integers(each.name or "", plain, root)
    if each.dtype in INTEGERS:
        return integers
    return [plain] if each.dtype in FLOATS else [plain, *integers]


def _integers(name: str, plain: Noise, root: nn.Module) -> list[Noise]:
    """Masks are all ones; tokens lie in the config's vocabulary, or in the tables of the embeddings in turn."""
    from torch import nn

    if "mask" in name.lower():
        return [replace(plain, fill=1)]
    tables = [part.num_embeddings for part in root.modules() if isinstance(part, (nn.Embedding, nn.EmbeddingBag))]
    highs = dict.fromkeys([*tables[:4], *sorted(tables)[:1], 2])
    return [replace(plain, high=high) for high in highs]
