"""Which samples of a dataset are trained on, and reading them without moving anybody's random numbers."""

from __future__ import annotations

import copy
import random
import types
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

DEPTH, LISTED = 6, 1000  # how deep, and how far in a list, generators are looked for inside what may draw from them
CALLABLES = ("func", "args", "keywords", "__self__", "__defaults__", "__kwdefaults__")
_PLAIN = (str, bytes, int, float, complex, bool, type(None), torch.Tensor, np.ndarray, type, types.ModuleType)


def trained_indices(loader: DataLoader[Any], batches: float = float("inf")) -> list[int]:
    """The indices of the samples that the loader trains on in an epoch of so many batches, in increasing order, as
    often as each of them comes.

    In a fixed order these are those of the first `batches`, without the last ones where incomplete batches are
    dropped; where all are shuffled, all, since every epoch draws others. Warns where samples are drawn with weights
    or by a sampler whose epochs differ: each then counts once.
    """
    everything = list(range(len(loader.dataset)))  # type: ignore[arg-type]
    sampler = _wrapped(loader.sampler)
    plain = loader.batch_sampler is None or type(loader.batch_sampler) is BatchSampler
    if plain and isinstance(sampler, (RandomSampler, DistributedSampler)):
        return everything
    if plain and isinstance(sampler, SubsetRandomSampler):
        return sorted(sampler.indices)
    if plain and isinstance(sampler, WeightedRandomSampler):
        drawn = [i for i, weight in enumerate(sampler.weights.tolist()) if weight > 0]
        _warn_of_draws("samples are drawn with weights", len(drawn))
        return drawn
    if plain and type(sampler) is SequentialSampler and batches >= len(loader) and not loader.drop_last:
        return everything
    first, second = _two_epochs(loader, batches)
    if sorted(first) == sorted(second):
        return sorted(first)
    drawn = sorted({*first, *second})
    _warn_of_draws("the sampler draws other samples each epoch", len(drawn))
    return drawn


def _wrapped(sampler: Any) -> Any:
    """The sampler inside Lightning's, which deals samples out to several processes."""
    inner = getattr(getattr(sampler, "dataset", None), "_sampler", None)
    return sampler if inner is None else inner


def _two_epochs(loader: DataLoader[Any], batches: float) -> tuple[list[int], list[int]]:
    """The indices of two epochs, drawn by copies of the loader's samplers."""
    limit = None if batches == float("inf") else int(batches)
    keep = {id(loader.dataset): loader.dataset}  # not copied
    sampler = copy.deepcopy(loader.batch_sampler or loader.sampler, keep)

    def epoch() -> list[int]:
        drawn = islice(iter(sampler), limit)
        return [int(i) for batch in drawn for i in (batch if isinstance(batch, Iterable) else (batch,))]

    with generators_kept():
        return epoch(), epoch()


def _warn_of_draws(why: str, count: int) -> None:
    line = f"{why}: measured on the {count} that can come, each once; View(training_set=...) for others"
    warnings.warn(line, stacklevel=4)


@contextmanager
def generators_kept(*holders: Any) -> Iterator[None]:
    """Within it random numbers may be drawn: afterwards all generators stand where they stood, Python's, numpy's and
    torch's own, on every device in use, and those found inside the `holders` (a dataset, a collate function)."""
    found = list(_generators_in(holders))
    states = [(generator, _state(generator)) for generator in found]
    ours, theirs = random.getstate(), np.random.get_state()  # noqa: NPY002 (the state that others draw from)
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(ours)
        np.random.set_state(theirs)  # noqa: NPY002
        for generator, state in states:
            _set_state(generator, state)


def _generators_in(holders: Iterable[Any]) -> Iterator[Any]:
    seen: set[int] = set()
    level = list(holders)
    for _ in range(DEPTH):
        deeper: list[Any] = []
        for one in level:
            if isinstance(one, _PLAIN) or id(one) in seen:
                continue
            seen.add(id(one))
            if isinstance(one, (random.Random, np.random.Generator, np.random.RandomState, torch.Generator)):
                yield one
            elif isinstance(one, dict):
                deeper += islice(one.values(), LISTED)
            elif isinstance(one, (list, tuple, set, frozenset)):
                deeper += islice(one, LISTED)
            else:
                deeper += vars(one).values() if hasattr(one, "__dict__") else ()
                deeper += [getattr(one, name, None) for name in CALLABLES]
                deeper += [cell.cell_contents for cell in getattr(one, "__closure__", None) or () if _filled(cell)]
        level = deeper


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _state(generator: Any) -> Any:
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, np.random.Generator):
        return copy.deepcopy(generator.bit_generator.state)
    return generator.get_state()


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, random.Random):
        generator.setstate(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    else:
        generator.set_state(state)


class Probe:
    """Three samples of a dataset, by which is seen whether it gives others than before."""

    def __init__(self, loader: DataLoader[Any], indices: list[int]) -> None:
        self.indices = sorted({indices[0], indices[len(indices) // 2], indices[-1]}) if indices else []
        with generators_kept(loader.dataset):
            self.values = self._read(loader)
            self.drawn_anew = not _same(self.values, self._read(loader))  # at every reading, as augmented ones are

    def changed(self, loader: DataLoader[Any]) -> bool:
        """Whether the samples are others by now; never said of those that every reading draws anew."""
        if self.drawn_anew:
            return False
        with generators_kept(loader.dataset):
            return not _same(self.values, self._read(loader))

    def _read(self, loader: DataLoader[Any]) -> list[Any]:
        try:
            return [copy.deepcopy(loader.dataset[i]) for i in self.indices]
        except IndexError:  # it has become shorter
            return []


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
