"""Finds inputs by trying: first guesses in turn, then the failed call that came farthest is mended as its error suggests.

A best-first search. A call that gets more operations done before it fails is nearer to one that the model takes; so of all
calls tried the one that came farthest is changed next, in one input (`repairs`). Trials and time are bounded.
"""

from __future__ import annotations

import heapq
import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

from gradcheck_cli.records import Batch
from gradcheck_cli.sample.blame import first_line, is_models_own
from gradcheck_cli.sample.guesses import candidates
from gradcheck_cli.sample.noise import Noise, Recipe
from gradcheck_cli.sample.repairs import gap, repairs
from gradcheck_cli.sample.signature import Signature

MAX_TRIALS = 600
MAX_SECONDS = 30.0
"""Of the processor, so that a busy machine finds the same."""
MAX_GUESSES = 300
"""First guesses tried before any is mended."""
_TURN = 6
"""Changes of one call before another that came as far has its turn."""
_OPTIONAL = 4
"""Choices of an optional input that turns out to be needed."""
_SIZES = (2, 3)
"""Samples in the two trials of a call: in the second, no size is right only because it is the batch's."""


class Trials:
    """Runs a model on recipes, and remembers how far the best of those that failed came."""

    def __init__(self, draw: Callable[[Recipe, int], Batch], attempt: Callable[[Batch], bool]) -> None:
        """`draw` gives so many samples of a recipe, where the model is.

        `attempt` runs the model, raises whatever it raises, and tells whether strides left a single position.
        """
        self._draw, self._attempt = draw, attempt
        self._deadline = time.thread_time() + MAX_SECONDS
        self._tried: set[str] = set()
        self._farthest = -1
        self.nearest: tuple[Recipe, str] | None = None
        """The call that came farthest, and its error."""
        self.shrank = False
        """Whether, in the last call that went well, strides left a single position."""
        self.models_own: tuple[Exception, Batch] | None = None
        """An error that no other input would cure."""

    @property
    def count(self) -> int:
        """How many different calls were tried."""
        return len(self._tried)

    @property
    def spent(self) -> bool:
        """Whether no trial or no time is left."""
        return self.count >= MAX_TRIALS or time.thread_time() > self._deadline

    def is_new(self, recipe: Recipe) -> bool:
        """Tell whether no call like this was tried."""
        return str(recipe) not in self._tried

    def run(self, recipe: Recipe) -> tuple[int, str | None]:
        """Return how many operations were done, and the error; None where both trials went well."""
        self._tried.add(str(recipe))
        for size in _SIZES:
            counting, batch = _Counting(), self._draw(recipe, size)
            try:
                with counting:
                    shrank = self._attempt(batch)
            except Exception as error:  # whatever the model raises
                self._remember(recipe, counting.done, error, batch)
                return counting.done, first_line(error)
        self.shrank = shrank
        return 0, None

    def _remember(self, recipe: Recipe, done: int, error: Exception, batch: Batch) -> None:
        if done > self._farthest:
            self._farthest, self.nearest = done, (recipe, first_line(error))
        if self.models_own is None and is_models_own(error, batch):
            self.models_own = (error, batch)


@dataclass(order=True)
class _Failure:
    """A call that failed, and what is left to change in it; the least is the one to go on with."""

    rank: tuple[int, int, int, int, int]
    """Minus operations done, by how much a size is off, how often its like was changed already, changes made to come here,
    number of the trial."""
    changes: Iterator[Recipe] = field(compare=False)
    taken: int = field(default=0, compare=False)

    def demoted(self) -> _Failure:
        """After some changes in vain, the others of the same progress have their turn."""
        self.taken += 1
        if self.taken % _TURN == 0:
            self.rank = (*self.rank[:2], self.rank[2] + 1, *self.rank[3:])
        return self


def search(
    root: nn.Module, signature: Signature, guesses: Iterable[Recipe], trials: Trials, *, mend: bool = True
) -> Recipe | None:
    """Return the first call that the model takes, of `guesses` or else, with `mend`, made from one of them by repairs.

    None if there is none within the bounds.
    """
    vocabularies = _vocabularies(root)
    frontier: list[_Failure] = []
    alike: Counter[tuple[int, str]] = Counter()

    def failure(recipe: Recipe, generation: int) -> _Failure | None:
        done, message = trials.run(recipe)
        if message is None:
            return None
        kind = (done, re.sub(r"\d+", "", message))
        alike[kind] += 1  # a new kind of error, as far on, is worth more than one seen before
        rank = (-done, gap(message), alike[kind], generation, trials.count)
        more = _more(root, signature, recipe, message)
        return _Failure(rank, itertools.chain(more, _changes(recipe, message, vocabularies)))

    for guess in itertools.islice(filter(trials.is_new, guesses), MAX_GUESSES):
        found = failure(guess, 0)
        if found is None:
            return with_floats(guess, trials)
        heapq.heappush(frontier, found)
        if trials.spent:
            return None
    while mend and frontier and not trials.spent:
        best = heapq.heappop(frontier)
        recipe = next(filter(trials.is_new, best.changes), None)
        if recipe is None:
            continue
        found = failure(recipe, best.rank[3] + 1)
        if found is None:
            return with_floats(recipe, trials)
        heapq.heappush(frontier, best.demoted())
        heapq.heappush(frontier, found)
    return None


def with_floats(recipe: Recipe, trials: Trials) -> Recipe:
    """Return the recipe with floats in the place of integers wherever the model takes them.

    Integers are for tables and the like, which refuse floats; everything else is better measured on floats.
    """
    for slot in range(len(recipe.args)):
        noise = _noise(recipe, slot)
        if type(noise) is Noise and noise.high and noise.shape:
            other = _replaced(recipe, slot, replace(noise, high=0, avoid=frozenset()))
            if trials.run(other)[1] is None:
                recipe = other
    return recipe


def _vocabularies(root: nn.Module) -> tuple[int, ...]:
    """Return the sizes of the model's tables, the largest four."""
    tables = {part.num_embeddings for part in root.modules() if isinstance(part, (nn.Embedding, nn.EmbeddingBag))}
    return tuple(sorted(tables, reverse=True))[:4]


def _more(root: nn.Module, signature: Signature, recipe: Recipe, error: str) -> Iterator[Recipe]:
    """Yield the recipe with one optional input more: one that the message names, or any where it speaks of None."""
    free = (*signature.positional[len(recipe.args) :], *signature.keywords)
    left = [name for name in free if name in signature.absent and name not in recipe.kwargs]
    named = [name for name in left if re.search(rf"\b{re.escape(name)}\b", error)]
    for name in named or (left if "NoneType" in error else ()):
        for noise in candidates(root, name, len(recipe.args), 2)[:_OPTIONAL]:
            yield Recipe(recipe.args, {**recipe.kwargs, name: noise})


def _changes(recipe: Recipe, error: str, vocabularies: tuple[int, ...]) -> Iterator[Recipe]:
    """Yield the recipe with one input changed, the inputs in turn, so that none waits for all changes of another."""
    slots: list[int | str] = [*range(len(recipe.args)), *recipe.kwargs]
    for turn in itertools.zip_longest(*(_changes_at(recipe, slot, error, vocabularies) for slot in slots)):
        yield from (change for change in turn if change is not None)


def _changes_at(recipe: Recipe, slot: int | str, error: str, vocabularies: tuple[int, ...]) -> Iterator[Recipe]:
    for other in repairs(_noise(recipe, slot), error, vocabularies):
        yield _replaced(recipe, slot, other)


def _noise(recipe: Recipe, slot: int | str) -> Noise:
    return recipe.args[slot] if isinstance(slot, int) else recipe.kwargs[slot]


def _replaced(recipe: Recipe, slot: int | str, noise: Noise) -> Recipe:
    if isinstance(slot, int):
        return Recipe((*recipe.args[:slot], noise, *recipe.args[slot + 1 :]), recipe.kwargs)
    return Recipe(recipe.args, {**recipe.kwargs, slot: noise})


class _Counting(TorchFunctionMode):
    """Counts the calls of torch's functions that came to an end; what one of them does inside does not count."""

    def __init__(self) -> None:
        super().__init__()
        self.done = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        self.done += 1
        return output
