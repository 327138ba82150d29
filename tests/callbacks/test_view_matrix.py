"""Kinds of modules, of losses and of training, each with each: what is logged is what autograd gives on the module
itself, or the training is refused in one line."""

import copy
import itertools
import warnings

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, leaky_relu, softplus
from torch.utils.data import DataLoader, TensorDataset

import gfflow
from gfflow import callbacks as cb
from gfflow.errors import InvalidInput

GENERATOR = torch.Generator().manual_seed(5)
M, D, N = 6, 3, 12
X = torch.randn(N, D, generator=GENERATOR, dtype=torch.float64) * 2 + 0.5
MEAN, DEVIATION = X.mean(dim=0), X.std(dim=0)
SIGNS = torch.where(torch.rand(N, generator=GENERATOR, dtype=torch.float64) > 0.5, 1.0, -1.0)
TARGETS = torch.sin(X[:, 0]) + 0.3
QUIET = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger"), False)


def linear(bias):
    return nn.Linear(D, M, bias=bias), nn.Linear(M, 1, bias=bias)


class Base(pl.LightningModule):
    """h on the samples as the dataset has them, the loss of a batch from it, and how the steps are made."""

    def __init__(self):
        super().__init__()
        self.build()
        self.double()

    def configured(self, loss, training):
        self.loss_of, self.kind = loss, training
        self.automatic_optimization = training not in ("manual", "raw", "by hand")
        return self

    def forward(self, x):
        return self.h(x)

    def training_step(self, batch, _):
        x, y = batch
        loss = self.loss_of(self(x), y)
        if self.automatic_optimization:
            return loss
        if self.kind == "by hand":
            moving = [p for p in self.parameters() if p.requires_grad]
            with torch.no_grad():
                for parameter, slope in zip(moving, torch.autograd.grad(loss, moving), strict=True):
                    parameter -= 0.01 * slope
            return None
        optimizer = self.optimizers(use_pl_optimizer=self.kind == "manual")
        optimizer.zero_grad()
        self.manual_backward(loss) if self.kind == "manual" else loss.backward()
        optimizer.step()
        return None

    def configure_optimizers(self):
        moving = [p for p in self.parameters() if p.requires_grad]
        if self.kind == "by hand":
            return None
        if self.kind == "lbfgs":
            return torch.optim.LBFGS(moving, lr=0.1, max_iter=3)
        return (torch.optim.Adam if self.kind == "adam" else torch.optim.SGD)(moving, lr=1e-2)


class Layers(Base):
    def build(self):
        hidden, output = linear(True)
        self.net = nn.Sequential(hidden, nn.ReLU(), output)

    def h(self, x):
        return self.net(x).squeeze(1)


class NoBiases(Layers):
    def build(self):
        hidden, output = linear(False)
        self.net = nn.Sequential(hidden, nn.ReLU(), output)


class Leaky(Layers):
    def build(self):
        hidden, output = linear(True)
        self.net = nn.Sequential(hidden, nn.LeakyReLU(0.2), output)


class Own(Base):
    """Parameters of its own."""

    def build(self):
        self.w, self.a = nn.Parameter(torch.randn(M, D)), nn.Parameter(torch.randn(M))

    def h(self, x):
        return torch.relu(x @ self.w.T) @ self.a


class Scaled(Layers):
    def h(self, x):
        return super().h(x) / M**0.5


class OwnScaled(Own):
    def h(self, x):
        return super().h(x) / M


class OwnLeaky(Own):
    def h(self, x):
        return leaky_relu(x @ self.w.T, 0.3) @ self.a


class NoForward:
    """What it computes is written in its training step."""

    def forward(self, x):
        raise NotImplementedError

    def training_step(self, batch, index):
        self.forward = self.h
        try:
            return super().training_step(batch, index)
        finally:
            del self.forward


class LayersNoForward(NoForward, Layers):
    pass


class ScaledNoForward(NoForward, OwnScaled):
    pass


class LeakyNoForward(NoForward, OwnLeaky):
    pass


class Standardised(Layers):
    """Inputs changed in the training step alone."""

    def training_step(self, batch, index):
        return super().training_step(((batch[0] - MEAN) / DEVIATION, batch[1]), index)


class Transferred(Layers):
    def on_after_batch_transfer(self, batch, index):
        return (batch[0] - MEAN) / DEVIATION, batch[1]


class Normalised(Layers):
    def build(self):
        hidden, output = linear(False)
        self.net = nn.Sequential(hidden, nn.BatchNorm1d(M), nn.ReLU(), output)


class Dropped(Layers):
    def build(self):
        hidden, output = linear(False)
        self.net = nn.Sequential(hidden, nn.ReLU(), nn.Dropout(0.5), output)


class FrozenOutput(NoBiases):
    def build(self):
        super().build()
        self.net[2].weight.requires_grad_(False)


class FrozenHidden(Layers):
    def build(self):
        super().build()
        self.net[0].requires_grad_(False)


class WeightNormed(Layers):
    def build(self):
        hidden, output = linear(False)
        self.net = nn.Sequential(nn.utils.parametrizations.weight_norm(hidden), nn.ReLU(), output)


class Skipping(Own):
    def build(self):
        super().build()
        self.line = nn.Parameter(torch.zeros(D))

    def h(self, x):
        return super().h(x) + x @ self.line


def two_layers(module):
    return module.net[0].weight, module.net[-1].weight


def own(module):
    return module.w, module.a


# module, arguments of its View, whether it is refused
MODULES = {
    "layers": (Layers, {}, False),
    "no biases": (NoBiases, {}, False),
    "leaky": (Leaky, {}, False),
    "own parameters": (Own, {"view": own}, False),
    "scaled": (Scaled, {}, True),
    "scaled, said": (Scaled, {"output_scale": M**-0.5}, False),
    "own, scaled": (OwnScaled, {"view": own}, True),
    "own, scaled, folded": (OwnScaled, {"view": lambda m: (m.w, m.a / M)}, True),
    "own, scaled, said": (OwnScaled, {"view": own, "output_scale": 1 / M}, False),
    "own, leaky": (OwnLeaky, {"view": own}, True),
    "own, leaky, said": (OwnLeaky, {"view": own, "slope": 0.3}, False),
    "no forward": (LayersNoForward, {}, False),
    "no forward, scaled": (ScaledNoForward, {"view": own}, True),
    "no forward, scaled, said": (ScaledNoForward, {"view": own, "output_scale": 1 / M}, False),
    "no forward, leaky": (LeakyNoForward, {"view": own}, True),
    "standardised": (Standardised, {}, True),
    "standardised, said": (Standardised, {"given": True}, False),
    "transferred": (Transferred, {}, True),
    "transferred, said": (Transferred, {"given": True}, False),
    "batch norm": (Normalised, {"view": two_layers}, True),
    "dropout": (Dropped, {"view": two_layers}, True),
    "output frozen": (FrozenOutput, {}, False),
    "hidden frozen": (FrozenHidden, {}, False),
    "weight norm": (WeightNormed, {"view": two_layers}, False),
    "a skip connection": (Skipping, {"view": own}, True),
}


def margin(h, y):
    return softplus(-y * h)


def quartic(h, y):
    return (h - y) ** 4


# the labels, the loss of a batch, what the View is told, the loss of each sample that is meant, whether it is refused
LOSSES = {
    "mean square": (TARGETS, nn.functional.mse_loss, None, lambda h, y: (h - y) ** 2 / 2, False),
    "sum of squares": (TARGETS, lambda h, y: ((h - y) ** 2).sum(), "square", lambda h, y: (h - y) ** 2 / 2, False),
    "cross entropy": (
        (SIGNS + 1) / 2,
        binary_cross_entropy_with_logits,
        "logistic",
        lambda h, y: margin(h, 2 * y - 1),
        False,
    ),
    "cross entropy, not said": ((SIGNS + 1) / 2, binary_cross_entropy_with_logits, None, None, True),
    "softplus": (SIGNS, lambda h, y: margin(h, y).mean(), margin, margin, False),
    "softplus, not said": (SIGNS, lambda h, y: margin(h, y).mean(), None, None, True),
    "quartic": (TARGETS, lambda h, y: quartic(h, y).mean(), quartic, quartic, False),
    "hinge, not said": (SIGNS, lambda h, y: torch.relu(1 - y * h).mean(), None, None, True),
}

TRAININGS = {
    "adam": {"batch": 5, "shuffle": True, "max_epochs": 1},
    "descent": {"batch": N, "max_epochs": 2},
    "accumulated and clipped": {"batch": 3, "accumulate_grad_batches": 2, "gradient_clip_val": 0.1, "max_epochs": 1},
    "manual": {"batch": 6, "max_epochs": 1},
    "raw": {"batch": 6, "max_epochs": 1},
    "lbfgs": {"batch": N, "max_epochs": 2},
    "by hand": {"batch": 6, "max_epochs": 1},
}

CASES = list(itertools.product(MODULES, LOSSES, TRAININGS))
QUICK = [case for i, case in enumerate(CASES) if i % 37 == 5]


def truth(module, samples, per_sample):
    """L and the norm of its gradient, on the module itself."""
    x, y = samples
    parameters = [p for p in module.parameters() if p.requires_grad]
    loss = per_sample(module.h(x), y).mean()
    gradients = torch.autograd.grad(loss, parameters)
    return float(loss.detach()), float(torch.cat([g.flatten() for g in gradients]).norm())


def run(module, loss, training):
    kind, told, refused = MODULES[module]
    y, of_batch, said, per_sample, unsaid = LOSSES[loss]
    options = dict(TRAININGS[training])
    torch.manual_seed(1)
    net = kind().configured(of_batch, training)
    told = dict(told)
    samples = ((X - MEAN) / DEVIATION, y) if told.pop("given", False) else (X, y)
    if samples[0] is not X:
        told["training_set"] = gfflow.TrainingSet(*samples)
    view = cb.View(loss=said, **told)
    loader = DataLoader(TensorDataset(X, y), options.pop("batch"), options.pop("shuffle", False))
    trainer = pl.Trainer(callbacks=[view, cb.Loss(), cb.GradientNorm()], accelerator="cpu", **QUIET, **options)
    start = copy.deepcopy(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if refused or unsaid:
            with pytest.raises(InvalidInput) as caught:
                trainer.fit(net, loader)
            assert "\n" not in str(caught.value) and not view.rows
            return
        trainer.fit(net, loader)
    last = max(view.rows)
    assert last >= 2 and 0 in view.rows
    for row, now in ((view.rows[0], start), (view.rows[last], net)):
        value, norm = truth(now, samples, per_sample)
        assert row["loss"] == pytest.approx(value, rel=1e-6)
        assert row["gradient/norm"] == pytest.approx(norm, rel=1e-6)


@pytest.mark.parametrize(("module", "loss", "training"), QUICK)
def test_some_of_all_trainings(module, loss, training):
    run(module, loss, training)


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_all_trainings(module):
    for loss, training in itertools.product(LOSSES, TRAININGS):
        try:
            run(module, loss, training)
        except BaseException as error:
            error.add_note(f"{module}, {loss}, {training}")
            raise
