"""Measured is what is trained on, and reading it moves nobody's random numbers."""

import random
import warnings

import numpy as np
import pytest
import torch
from foreign_trainings import Plain, X, Y, fit, loss_of
from torch import nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from gfflow import callbacks as cb
from gfflow.training.samples import generators_kept, trained_indices

ALL = list(range(12))
DATA = TensorDataset(X, Y)


class Fixed(Sampler):
    def __init__(self, indices):
        self.indices = indices

    def __iter__(self):
        return iter(self.indices)

    def __len__(self):
        return len(self.indices)


class Halves(Sampler):
    """Draws half of the samples anew each epoch, by a generator of its own."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __iter__(self):
        return iter(self.rng.permutation(12)[:6].tolist())

    def __len__(self):
        return 6


@pytest.mark.parametrize(
    ("options", "batches", "wanted"),
    [
        ({"batch_size": 5}, 3, ALL),
        ({"batch_size": 5, "shuffle": True}, 3, ALL),
        ({"batch_size": 5, "shuffle": True}, 1, ALL),  # every epoch draws others
        ({"batch_size": 5}, 2, ALL[:10]),
        ({"batch_size": 5, "drop_last": True}, 2, ALL[:10]),
        ({"batch_size": 5, "drop_last": True, "shuffle": True}, 2, ALL),
        ({"batch_size": 5, "sampler": SubsetRandomSampler([7, 2, 5])}, 1, [2, 5, 7]),
        ({"batch_size": 5, "sampler": Fixed([3, 1, 1, 0])}, 1, [0, 1, 1, 3]),
        ({"batch_sampler": [[4, 5], [6, 7], [0, 1]]}, 3, [0, 1, 4, 5, 6, 7]),
        ({"batch_sampler": [[4, 5], [6, 7], [0, 1]]}, 2, [4, 5, 6, 7]),
        ({"batch_size": None}, 4, [0, 1, 2, 3]),
        ({"batch_size": 5, "sampler": RandomSampler(DATA, replacement=True, num_samples=30)}, 6, ALL),
    ],
)
def test_which_samples_are_trained_on(options, batches, wanted):
    assert trained_indices(DataLoader(DATA, **options), batches) == wanted


def test_draws_with_weights_and_draws_that_differ_are_said():
    weighted = DataLoader(DATA, batch_size=4, sampler=WeightedRandomSampler([0.0, 1.0, 2.0] * 4, 12))
    with pytest.warns(UserWarning, match="drawn with weights: measured on the 8 that can come, each once"):
        assert trained_indices(weighted, 3) == [i for i in ALL if i % 3]
    halves = DataLoader(DATA, batch_size=4, sampler=Halves())
    state = halves.sampler.rng.bit_generator.state
    with pytest.warns(UserWarning, match="the sampler draws other samples each epoch"):
        found = trained_indices(halves, 2)
    again = np.random.default_rng(0)
    assert found == sorted({*again.permutation(12)[:6].tolist(), *again.permutation(12)[:6].tolist()})
    assert halves.sampler.rng.bit_generator.state == state


@pytest.mark.parametrize(
    ("loader", "options", "trained"),
    [
        ({"batch_size": 3, "sampler": SubsetRandomSampler(list(range(6)))}, {}, slice(0, 6)),
        ({"batch_size": 3}, {"limit_train_batches": 2}, slice(0, 6)),
        ({"batch_size": 3, "shuffle": True}, {"overfit_batches": 1}, slice(0, 3)),
        ({"batch_size": 5, "drop_last": True}, {}, slice(0, 10)),
    ],
    ids=["subset", "limited", "overfit", "drop_last"],
)
def test_the_loss_is_that_of_the_samples_that_are_trained_on(tmp_path, loader, options, trained):
    module = Plain()
    rows = fit(tmp_path, module, [cb.Loss()], DataLoader(DATA, **loader), max_epochs=3, **options)
    last = rows[max(rows)]["gfflow/loss"]
    assert last == pytest.approx(loss_of(module, X[trained], Y[trained]), rel=1e-12)
    assert last != pytest.approx(loss_of(module), rel=1e-3)


class Augmenting(Dataset):
    """Adds noise whenever a sample is read, from all the generators that there are."""

    def __init__(self):
        self.own, self.torchs = np.random.default_rng(3), torch.Generator().manual_seed(4)
        rng, other = np.random.RandomState(5), np.random.RandomState(6)
        self.transform = lambda x, drawn=other: x + 0.01 * rng.randn() + 0.01 * drawn.randn()
        self.drawn = random.Random(6)

    def __len__(self):
        return 12

    def __getitem__(self, i):
        noise = np.random.randn() + random.random() + float(torch.randn(()))  # noqa: NPY002
        noise += self.own.standard_normal() + float(torch.randn((), generator=self.torchs)) + self.drawn.random()
        return self.transform(X[i] + 0.01 * noise), Y[i]


def test_a_dataset_that_draws_is_trained_on_as_without_callbacks(tmp_path):
    ends = []
    for callbacks in ([], [cb.Loss(), cb.Structure()]):
        random.seed(1), np.random.seed(1)  # noqa: NPY002
        module = Plain()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit(tmp_path, module, callbacks, DataLoader(Augmenting(), batch_size=4, shuffle=True), max_epochs=3)
        ends.append(nn.utils.parameters_to_vector(module.parameters()).detach())
        said = [str(warning.message) for warning in caught if "draws its samples anew" in str(warning.message)]
        assert len(said) == (1 if callbacks else 0)
    assert torch.equal(*ends)


class Redrawn(Dataset):
    """Other samples in each epoch, the same all through it."""

    x = X

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], Y[i]


@pytest.mark.parametrize("samples", [12, 7])
def test_samples_that_are_others_in_a_later_epoch_are_read_anew(tmp_path, samples):
    data = Redrawn()

    class Draws(Plain):
        def on_train_epoch_start(self):
            epoch = self.trainer.current_epoch
            data.x = X if epoch == 0 else (1 + 0.1 * epoch) * X[:samples]

    module = Draws()
    rows = fit(tmp_path, module, [cb.Loss()], DataLoader(data, batch_size=12), max_epochs=4)
    assert rows[4]["gfflow/loss"] == pytest.approx(loss_of(module, 1.3 * X[:samples], Y[:samples]), rel=1e-12)
    assert rows[1]["gfflow/loss"] == pytest.approx(module.losses[1], rel=1e-12)


def test_all_generators_stand_where_they_stood():
    own = {"a": [np.random.default_rng(0)], "b": random.Random(1)}

    def numbers():
        held = [float(own["a"][0].random()), own["b"].random()]
        return [float(torch.rand(())), random.random(), float(np.random.rand()), *held]  # noqa: NPY002

    with generators_kept(own):
        first = numbers()
    assert numbers() == first
