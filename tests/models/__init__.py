"""A zoo of small architectures, healthy at their initialisation, for the project's tests and benchmarks.

``ZOO[name]()`` gives ``(module, inputs)``, the same at every call; ``module(*inputs)`` runs it.
"""

from __future__ import annotations

from collections.abc import Callable

from .agents import AGENTS
from .attention import ATTENTION
from .convolutional import CONVOLUTIONAL
from .generative import GENERATIVE
from .graphs import GRAPHS
from .language import LANGUAGE
from .mixers import MIXERS
from .mobile import MOBILE
from .others import OTHERS
from .probabilistic import PROBABILISTIC
from .recurrent import RECURRENT
from .signals import SIGNALS
from .tabular import TABULAR
from .unusual import UNUSUAL
from .vision import VISION
from .zoo import Built, float_outputs

ZOO: dict[str, Callable[[], Built]] = {
    **CONVOLUTIONAL,
    **MOBILE,
    **ATTENTION,
    **LANGUAGE,
    **RECURRENT,
    **GENERATIVE,
    **OTHERS,
    **VISION,
    **MIXERS,
    **SIGNALS,
    **GRAPHS,
    **PROBABILISTIC,
    **TABULAR,
    **UNUSUAL,
    **AGENTS,
}

__all__ = ["ZOO", "Built", "float_outputs"]
