"""What tests of callbacks in other people's trainings share: a module, training it, and the truth by autograd."""

import logging

import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gfflow.records.loggers import MetricsTable

GENERATOR = torch.Generator().manual_seed(7)
X = torch.randn(12, 3, generator=GENERATOR, dtype=torch.float64)
Y = torch.sin(X[:, :1]) + 0.3
QUIET = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)


class Plain(pl.LightningModule):
    """Two layers without biases, in float64; `losses` are the true L on X, Y after each batch, by batch."""

    def __init__(self, width=6, lr=0.05, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.net = nn.Sequential(nn.Linear(3, width, bias=False), nn.ReLU(), nn.Linear(width, 1, bias=False)).double()
        self.lr, self.losses = lr, []

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, _):
        x, y = batch
        return nn.functional.mse_loss(self(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def on_train_start(self):
        self.losses = [loss_of(self)]

    def on_train_batch_end(self, *_):
        self.losses.append(loss_of(self))


def loss_of(module, x=X, y=Y):
    """L = 1/(2n) sum (h - y)^2."""
    with torch.no_grad():
        return float(nn.functional.mse_loss(module(x), y) / 2)


def gradient_norm_of(module, x=X, y=Y):
    gradients = torch.autograd.grad(nn.functional.mse_loss(module(x), y) / 2, list(module.parameters()))
    return float(nn.utils.parameters_to_vector(gradients).norm())


def loader_of(batch_size=12, **options):
    return DataLoader(TensorDataset(X, Y), batch_size=batch_size, **options)


def trainer_for(folder, callbacks, **options):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    settings = {"max_epochs": 10, "logger": False, **QUIET, "accelerator": "cpu", "log_every_n_steps": 1, **options}
    return pl.Trainer(callbacks=callbacks, default_root_dir=folder, **settings)


def fit(folder, module, callbacks, loader=None, **options):
    """Trains, and returns the rows that were logged, by iteration."""
    table = MetricsTable(folder / "metrics.csv")
    trainer_for(folder, callbacks, logger=[table], **options).fit(module, loader_of() if loader is None else loader)
    return table.rows
