"""What an input is likely to be by its name in forward's signature: masks, lengths, time steps, edges, labels, hidden states."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from gradcheck_cli.sample.graph_noise import EDGES, Adjacency, EdgeList
from gradcheck_cli.sample.leaf_inputs import LENGTHS, Surroundings
from gradcheck_cli.sample.noise import Noise

_TIMES = frozenset({"t", "time", "times", "timestep", "timesteps", "step", "steps", "noise_level", "sigma"})
_EDGES = frozenset({"edge_index", "edges", "edge_list", "edge_indices"})
_ADJACENCIES = frozenset({"adj", "adjacency", "adj_matrix", "adjacency_matrix", "adj_mat"})
_EDGE_VALUES = frozenset({"edge_attr", "edge_attrs", "edge_features", "edge_feats", "edge_weight", "edge_weights"})
_EDGE_KINDS = frozenset({"edge_type", "edge_types"})
_PLACES = frozenset({"pos", "positions", "coords", "coordinates", "coors", "xyz"})
_LABELS = frozenset({"label", "labels", "y", "class_labels", "classes", "cls"})
_PICTURES = ("image", "img", "pixel", "picture", "frame", "video")
_TOKENS = ("ids", "token", "text", "word", "question", "caption", "sentence", "categ", "prompt")
_NUMBERS = ("num", "cont", "feat", "state", "obs", "action", "embed", "latent", "noise", "value", "coord")
_SEQUENCES = ("hidden_states", "context", "memory", "sequence")
_STATES = frozenset({"h", "h0", "hx", "hidden", "hidden_state", "state", "hid"})


def inputs_named(name: str, root: nn.Module, around: Surroundings) -> list[Noise]:
    """Return the candidates that the name suggests; empty for a name that says nothing."""
    length, lower = LENGTHS[0], name.lower()
    if "mask" in lower:
        square = Noise((length, length), None, fill=0.0)
        return [Noise((length,), around.batch_dim, fill=1), square, Noise((length,), 0, fill=False)]
    if "len" in lower:
        return [Noise((), fill=length)]
    if lower in _TIMES:
        return [Noise((), high=10), Noise(()), Noise((1,))]
    if lower in _EDGES:
        return [EdgeList()]
    if lower in _ADJACENCIES:
        return [Adjacency(), Adjacency((length, length))]
    if lower in _EDGE_VALUES:
        wide = [Noise((EDGES, width), None) for width in around.linear_widths]
        return [*wide, Noise((EDGES,), None)] if "weight" not in lower else [Noise((EDGES,), None), *wide]
    if lower in _EDGE_KINDS:
        return [Noise((EDGES,), None, high=2)]
    if lower in _PLACES:
        return [Noise((3,)), Noise((length, 3))]
    if lower in _LABELS:
        tables = [part.num_embeddings for part in root.modules() if isinstance(part, nn.Embedding)]
        return [Noise((), high=min(tables, default=2))]
    return _states(root) if lower in _STATES else []


def kind_named(name: str) -> Callable[[Noise], bool] | None:
    """Return what the name says of the kind of input: pictures, tokens, sequences, numbers; None for a name that says nothing."""
    lower = name.lower()
    if any(word in lower for word in _TOKENS):
        return lambda noise: noise.high > 0
    if any(word in lower for word in _PICTURES):
        return lambda noise: not noise.high and len(noise.shape) > 2
    if any(word in lower for word in _SEQUENCES):
        return lambda noise: not noise.high and len(noise.shape) == 2
    if any(word in lower for word in _NUMBERS):
        return lambda noise: not noise.high
    return None


def _states(root: nn.Module) -> list[Noise]:
    found: list[Noise] = []
    for part in root.modules():
        if isinstance(part, nn.RNNBase):
            layers = part.num_layers * (2 if part.bidirectional else 1)
            found.append(Noise((layers, part.hidden_size), 1))
        elif isinstance(part, nn.RNNCellBase):
            found.append(Noise((part.hidden_size,)))
    return found
