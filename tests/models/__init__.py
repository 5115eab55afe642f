"""A zoo of small architectures, healthy at their initialisation, for the project's tests and benchmarks.

``ZOO[name]()`` gives ``(module, inputs)``, the same at every call; ``module(*inputs)`` runs it.
"""

from __future__ import annotations

from collections.abc import Callable

from .attention import ATTENTION
from .convolutional import CONVOLUTIONAL
from .generative import GENERATIVE
from .language import LANGUAGE
from .mobile import MOBILE
from .others import OTHERS
from .recurrent import RECURRENT
from .zoo import Built, float_outputs

ZOO: dict[str, Callable[[], Built]] = {
    **CONVOLUTIONAL,
    **MOBILE,
    **ATTENTION,
    **LANGUAGE,
    **RECURRENT,
    **GENERATIVE,
    **OTHERS,
}

__all__ = ["ZOO", "Built", "float_outputs"]
