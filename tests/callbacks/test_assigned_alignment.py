"""The cosine with the extremal direction that each neuron goes to, in somebody else's module."""

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gfflow import callbacks as cb
from gfflow.records.loggers import MetricsTable

GENERATOR = torch.Generator().manual_seed(3)
X = torch.randn(12, 3, generator=GENERATOR).double()
Y = torch.sin(X[:, :1]) + 0.3


class Custom(pl.LightningModule):
    """A network of its own parameters, trained by descent on the mean square."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        inner = scale * torch.randn(3, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        self.inner = nn.Parameter(inner)
        self.outer = nn.Parameter(inner.norm(dim=0) * torch.tensor([1.0, -1.0] * 4, dtype=torch.float64))
        self.weights = {}  # iteration -> w, after every step

    def forward(self, x):
        return (torch.relu(x @ self.inner) * self.outer).sum(dim=1, keepdim=True)

    def training_step(self, batch, _):
        return nn.functional.mse_loss(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=2e-2)

    def on_train_start(self):
        self.on_train_batch_end()

    def on_train_batch_end(self, *_):
        self.weights[self.global_step] = self.inner.detach().T.numpy().copy()


def fit(tmp_path, module, callback, x, y, epochs):
    """Trains with the callback on the whole set at once, and returns the rows logged, by iteration."""
    table, view = MetricsTable(tmp_path / "metrics.csv"), cb.View(lambda module: (module.inner.T, module.outer))
    quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = pl.Trainer(
        max_epochs=epochs, logger=[table], callbacks=[view, cb.Loss(), callback], accelerator="cpu",
        default_root_dir=tmp_path, log_every_n_steps=1, **quiet,
    )  # fmt: skip
    trainer.fit(module, DataLoader(TensorDataset(x, y), batch_size=len(x)))
    return {step: {name.removeprefix("gfflow/"): v for name, v in row.items()} for step, row in table.rows.items()}


def test_neurons_come_to_their_directions(tmp_path):
    """From a start of 1e-12 by plain descent every neuron comes to its direction, computed before training, while the
    loss is still what it was: the slowest, of rate 0.07, to 1e-3 in cosine."""
    callbacks, module = [cb.AssignedAlignment(), cb.AssignedAlignment()], Custom(scale=1e-12)
    rows = fit(tmp_path, module, callbacks[0], X, Y, 1650)
    phase = callbacks[0].source.phase
    assert phase is not None and bool((phase.index >= 0).any())
    chosen = phase.index.numpy()
    for step, row in rows.items():
        w = module.weights[step]
        cosines = (w * phase.directions.numpy()[chosen]).sum(axis=1) / np.linalg.norm(w, axis=1)
        assert row["alignment/assigned_min"] == pytest.approx(cosines[chosen >= 0].min(), rel=1e-12)
        assert row["alignment/assigned_mean"] == pytest.approx(cosines[chosen >= 0].mean(), rel=1e-12)
    last = rows[1650]
    assert rows[0]["alignment/assigned_min"] < 0 < 0.999 < last["alignment/assigned_min"]
    assert last["loss"] > 0.99 * rows[0]["loss"]
    callbacks[1].load_state_dict(callbacks[0].state_dict())  # a resumed training keeps its beginning's directions
    again = fit(tmp_path, module, callbacks[1], X, Y, 1)
    assert again[0]["alignment/assigned_mean"] == last["alignment/assigned_mean"]


def test_absent_on_orthogonal_inputs(tmp_path):
    labels = torch.tensor([[1.0], [-0.6], [0.8]], dtype=torch.float64)
    rows = fit(tmp_path, Custom(1e-3), cb.AssignedAlignment(), torch.eye(3).double(), labels, 3)
    assert all(set(row) == {"loss"} for row in rows.values())


def test_absent_with_a_warning_where_it_would_take_minutes(tmp_path, monkeypatch):
    monkeypatch.setattr("gfflow.theory.early_phase.COSTLY", 10)
    with pytest.warns(UserWarning, match="n = 12 samples and m = 8 neurons would take minutes"):
        rows = fit(tmp_path, Custom(1.0), cb.AssignedAlignment(), X, Y, 3)
    assert all(set(row) == {"loss"} for row in rows.values())
