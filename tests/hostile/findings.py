"""What was found in other people's readers by trying, and the cases that show that it is of no use here."""

from __future__ import annotations

FINDINGS: dict[str, tuple[str, ...]] = {
    "torch.export.load unpickles weights": ("pt2-doors/pickled-weights",),
    "torch.export.load unpickles constants": ("pt2-doors/pickled-constant", "pt2-doors/custom-constant"),
    "torch.export.load unpickles opaque objects": ("pt2-doors/opaque-constant",),
    "torch.export.load unpickles legacy weights and constants": (
        "pt2-doors/pickled-state-dict",
        "pt2-doors/pickled-constants",
    ),
    "torch.export.load unpickles sample inputs": ("pt2-doors/sample-inputs", "pt2-doors/sample-inputs-legacy"),
    "torch.export.load evaluates expressions": ("pt2-doors/expression", "pt2-doors/range"),
    "torch.export.load reads the layout before 2.8": ("extensions/old-pt2",),
    "a graph of pure JSON reads files": ("pt2-doors/target-file",),
    "a graph names any callable": (
        "pt2-doors/target-eval",
        "pt2-doors/target-operator",
        "pt2-doors/target-attribute",
        "pt2-doors/target-library",
        "pt2-doors/target-extension",
        "pt2-doors/target-in-subgraph",
    ),
    "names in a graph become source text": (
        "pt2-doors/node-name",
        "pt2-doors/argument-name",
        "pt2-doors/input-name",
        "pt2-doors/parameter-name",
        "pt2-doors/guards",
    ),
    "members of AOTInductor reach the native loader": ("native-code/aotinductor", "native-code/aotinductor-source"),
    "weights_only hangs on shared tuples as a key": (
        "pickle-bombs/module-shared-60-fold-as-key",
        "pickles-data/shared-as-key",
    ),
    "weights_only crashes on tuples nested a million deep": (
        "pickle-bombs/module-million-nested-as-key",
        "pickle-bombs/checkpoint-million-nested",
        "pickles-data/million-nested",
    ),
    "sparse tensors reach beyond their bounds": ("pickle-calls/sparse", "pickles-data/sparse", "pt2-doors/sparse"),
    "weights_only allocates gigabytes": (
        "pickle-bombs/module-bytearray",
        "pickle-bombs/module-float-tensor",
        "pickles-data/bytearray",
        "pickles-data/float-tensor",
    ),
    "weights_only accepts parameters of stride 0": (
        "tensors/expanded",
        "state-dicts/expanded",
        "pickles-data/expanded",
        "pt2-doors/huge-tensor",
    ),
    "REDUCE on a module allocates gigabytes": ("pickle-bombs/module-linear", "pickle-bombs/module-embedding"),
    "hooks on modules survive": ("module-state/_forward_hooks", "module-state/_backward_pre_hooks"),
    "hooks on parameters run in our own backward pass": (
        "module-state/parameter-hooks",
        "module-state/tensor-hooks",
        "pickles-data/hooks",
    ),
    "an attribute shadows a method": ("module-state/forward", "module-state/_call_impl", "module-state/train"),
    "torch checks no checksum of a zip": ("archives/checksum", "archives-data/checksum"),
    "deflate has no limit": ("zip-bombs/storage", "zip-bombs/pickle", "zip-bombs/overlapping", "archives-data/bomb"),
    "torch reads the first of duplicate members": (
        "archives/duplicate",
        "archives/duplicate-pickle",
        "archives-data/duplicate",
    ),
    "a FIFO hangs every library": (
        "places/fifo-x.pt",
        "places/link-to-fifo-x.safetensors",
        "places-data/fifo-x.npz",
        "indexes/pipe",
        "images/fifo",
        "directories/config-fifo",
    ),
    "an empty file is taken": ("places/empty-x.pt", "places-data/empty-x.csv"),
    "a mapped file that shrinks kills the process": (
        "changing/x.safetensors-cut",
        "changing/x.pt-cut",
        "changing-data/x.npy-cut",
        "changing-data/x.safetensors-emptied",
    ),
    "numpy allocates the declared shape": ("arrays/huge.npy", "arrays/fortran-huge.npy", "arrays/header-length.npy"),
    "object arrays are pickles": ("arrays/pickled-object.npy", "arrays/object-in-record.npy", "arrays/target"),
    "an uncaught exception is status 1": ("tables/many-digits.csv", "tensor-names/long-index"),
    "names are terminal escapes, markup or HTML": (
        "layer-names/colour",
        "layer-names/markup",
        "layer-names/html",
        "tensor-names/link-safetensors",
        "class-names/colour",
        "data-names/title",
    ),
}
"""Finding → labels of cases."""
