"""Callbacks in somebody else's LightningModule: every scalar against its definition, worked out from the weights."""

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import gfflow
from gfflow import callbacks as cb
from gfflow.errors import InvalidInput
from gfflow.records.loggers import MetricsTable
from gfflow.training.schedule import Schedule

GENERATOR = torch.Generator().manual_seed(3)
X = torch.randn(12, 3, generator=GENERATOR)
Y = torch.sin(X[:, :1]) + 0.3
QUIET = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)


class Plain(pl.LightningModule):
    """A network of layers, trained as a tutorial would."""

    def __init__(self, *layers: nn.Module, optimizer=lambda p: torch.optim.Adam(p, lr=1e-2)) -> None:
        super().__init__()
        self.net = nn.Sequential(*layers)
        self.loss = nn.MSELoss()
        self.optimizer = optimizer
        self.weights = []  # (iteration, copies of all parameters) after every step

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, _):
        x, y = batch
        return self.loss(self(x), y)

    def configure_optimizers(self):
        return self.optimizer(self.parameters())

    def keep(self):
        self.weights.append((self.global_step, [p.detach().double().numpy().copy() for p in self.parameters()]))

    def on_train_start(self):
        self.keep()

    def on_train_batch_end(self, *_):
        self.keep()


class Custom(Plain):
    """Its own parameters and functional ReLU, no biases, float64; output sum over neurons."""

    def __init__(self, scale: float = 1.0, **options) -> None:
        super().__init__(nn.Identity(), **options)
        generator = torch.Generator().manual_seed(1)
        inner = torch.randn(3, 8, generator=generator, dtype=torch.float64) * scale
        self.inner = nn.Parameter(inner)
        self.outer = nn.Parameter(inner.detach().norm(dim=0) * torch.tensor([1.0, -1.0] * 4, dtype=torch.float64))

    def forward(self, x):
        return (torch.relu(x @ self.inner) * self.outer).sum(dim=1, keepdim=True)


def custom_view(module):
    return module.inner.T, module.outer


def measurements():
    return [cb.Loss(), cb.GradientNorm(), cb.AlignmentCosines(), cb.GroupMasses(), cb.Invariants()]


def fit(tmp_path, module, callbacks, loader=None, **options):
    """Trains and returns the rows logged, by iteration, by the names of a run's scalars."""
    table = MetricsTable(tmp_path / "metrics.csv")
    loader = loader if loader is not None else DataLoader(TensorDataset(X, Y), batch_size=5, shuffle=True)
    settings = {"max_epochs": 20, "logger": [table], **QUIET, "accelerator": "cpu", "log_every_n_steps": 1, **options}
    pl.Trainer(callbacks=callbacks, default_root_dir=tmp_path, **settings).fit(module, loader)
    return {step: {name.removeprefix("gfflow/"): v for name, v in row.items()} for step, row in table.rows.items()}


def by_hand(w, a, b, x, y, start, slope=0.0):
    """The scalars of every training, from w (m, d), a (m,), output bias b (None: the network has none) and the
    residuals y - b - h."""
    z = x @ w.T
    r = y - (0.0 if b is None else b) - np.where(z > 0, z, slope * z) @ a
    fields = np.stack([(np.where(z[:, j] > 0, 1.0, slope) * r) @ x / len(y) for j in range(len(a))])
    norms, sizes = np.linalg.norm(w, axis=1), np.linalg.norm(fields, axis=1)
    squared = (a**2 * sizes**2).sum() + ((fields * w).sum(axis=1) ** 2).sum()
    squared += 0.0 if b is None else r.mean() ** 2
    on = sizes > 1e-9
    own = (np.sign(a) * (w * fields).sum(axis=1))[on] / norms[on] / sizes[on]
    loss = (r**2).sum() / (2 * len(y))
    drift = a**2 - norms**2 - (start[1] ** 2 - (start[0] ** 2).sum(axis=1))
    return {
        "loss": loss,
        "gradient/norm": np.sqrt(squared),
        "gradient/pl_ratio": squared / loss,
        "alignment/own_min": own.min(),
        "alignment/own_mean": own.mean(),
        "mass/u_plus": (norms[a > 0] ** 2).sum(),
        "mass/u_minus": (norms[a < 0] ** 2).sum(),
        "invariant/balance_drift": np.abs(drift).max(),
    }


def check(rows, weights, split, x, slope=0.0):
    """Rows against the weights that the module itself kept; 1e-9 is the rounding of a few sums in another order, and
    the drift, a difference of squares of size 1, is exact to 1e-12 only."""
    kept = dict(weights)
    start = split(kept[0])
    for step, row in rows.items():
        wanted = by_hand(*split(kept[step]), x, Y.double().numpy().ravel(), start, slope)
        assert set(row) == {*wanted, "invariant/reactivations"}
        for name, value in wanted.items():
            assert row[name] == pytest.approx(value, rel=1e-9, abs=1e-12), (name, step)


def test_layers_with_biases_adam_and_shuffled_mini_batches(tmp_path):
    torch.manual_seed(0)
    module = Plain(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    schedule = Schedule.of(60, ratio=1.5, linear=0)
    rows = fit(tmp_path, module, [cb.View(schedule=schedule), *measurements()])

    def split(parameters):
        w, hidden_bias, a, b = parameters
        return np.column_stack([w, hidden_bias]), a[0], b[0]

    assert list(rows) == list(schedule)
    x = np.column_stack([X.double().numpy(), np.ones(len(X))])
    check(rows, module.weights, split, x)
    # the module's own loss on the whole set, twice L, in its own float32
    assert 2 * rows[60]["loss"] == pytest.approx(float(nn.MSELoss()(module(X), Y).detach()), rel=1e-5)


def test_a_leaky_relu_is_measured_as_what_it_is(tmp_path):
    """By hand, and the gradient's norm by autograd on the module itself; of the theory the early phase holds."""
    torch.manual_seed(0)
    layers = nn.Linear(3, 8, bias=False), nn.LeakyReLU(0.3), nn.Linear(8, 1, bias=False)
    module = Plain(*layers).double()
    loader = DataLoader(TensorDataset(X.double(), Y.double()), batch_size=5, shuffle=True)
    rows = fit(tmp_path, module, measurements(), loader)
    check(rows, module.weights, lambda p: (p[0], p[1][0], None), X.double().numpy(), slope=0.3)
    loss = nn.functional.mse_loss(module(X.double()), Y.double()) / 2
    gradient = torch.autograd.grad(loss, list(module.net.parameters()))
    assert rows[60]["gradient/norm"] == pytest.approx(float(nn.utils.parameters_to_vector(gradient).norm()), rel=1e-9)
    view = cb.View(lambda m: (m.net[0].weight, m.net[2].weight), slope=0.3)
    again = fit(tmp_path, module, [view, *measurements()], loader, max_epochs=1)
    assert again[0]["loss"] == pytest.approx(float(loss.detach()), rel=1e-12)
    with pytest.warns(UserWarning, match="only the early phase"):
        prediction = gfflow.predict_module(module, loader, scale=1.0)
    assert prediction.source == "none" and prediction.limit is None
    logged = set(fit(tmp_path, module, [cb.Loss(), cb.AssignedAlignment()], loader, max_epochs=1)[3])
    assert logged == {"loss", "alignment/assigned_min", "alignment/assigned_mean"}


def test_a_loss_of_torch_that_is_another_is_told(tmp_path):
    module = Plain(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    module.loss = nn.L1Loss()
    with pytest.raises(InvalidInput, match=r"the square loss.*View\(loss=a function of \(h, y\) .* L1Loss"):
        fit(tmp_path, module, [cb.Loss()], max_epochs=1)
    with pytest.raises(InvalidInput, match="loss: received hinge; allowed: one of square, logistic, exponential, or"):
        cb.View(loss="hinge")
    with pytest.raises(InvalidInput, match=r"data labels: received .*; allowed: \+1 and -1 with loss=exponential"):
        fit(tmp_path, module, [cb.View(loss="exponential"), cb.Loss()], max_epochs=1)


def test_custom_forward_with_view_in_a_data_module(tmp_path):
    data = pl.LightningDataModule()
    data.train_dataloader = lambda: DataLoader(TensorDataset(X.double(), Y.double()), batch_size=4, shuffle=True)
    module = Custom()
    rows = fit(tmp_path, module, [*measurements(), cb.View(custom_view)], data)
    assert list(rows) == list(Schedule.of(60, linear=0))  # the default: log-spaced up to the last step
    check(rows, module.weights, lambda p: (p[0].T, p[1], None), X.double().numpy())


def test_callbacks_find_the_layers_without_any_view(tmp_path):
    module = Plain(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 1, bias=False))
    rows = fit(tmp_path, module, [cb.Loss()], max_epochs=2)
    assert 0 in rows and 6 in rows and set(rows[6]) == {"loss"}


def test_plain_descent_has_a_flow_time_and_the_theory_speaks(tmp_path):
    """Orthonormal inputs, full batch, mean squared error: one step of lr is one of 2 lr on L."""
    x, y = torch.eye(3, dtype=torch.float64), torch.tensor([[1.0], [-0.6], [0.8]], dtype=torch.float64)
    loader = DataLoader(TensorDataset(x, y), batch_size=3)
    module = Custom(scale=1e-3, optimizer=lambda p: torch.optim.SGD(p, lr=5e-2))
    prediction = gfflow.predict_module(module, loader, scale=1e-3, view=custom_view)
    view = cb.View(custom_view, step_size=1e-1)
    callbacks = [view, cb.Loss(), cb.GroupMasses(prediction), cb.LimitDistance(prediction), cb.Structure()]
    rows = fit(tmp_path, module, callbacks, loader, max_epochs=400)
    assert rows[400]["time"] == pytest.approx(40.0)
    assert "structure/clusters" in rows[400] and "limit/norm_gap" in rows[400]
    limit = prediction.group("plus").mass_limit
    errors = [abs(row["mass/u_plus"] - row["theory/u_plus"]) / limit for row in rows.values()]
    assert rows[400]["mass/u_plus"] > 0.9 * limit
    assert (
        max(errors) < 0.15
    )  # descent's clock is late by T N eta / 2 = 0.3, and the mass moves by 0.2 per unit of time; 0.06 seen
    without = fit(tmp_path, Custom(1e-3), [cb.View(custom_view), cb.Loss(), cb.GroupMasses(prediction)], loader)
    assert not {"time", "theory/u_plus"} & set().union(*without.values())
    assert "mass/other_max" in without[0]


@pytest.mark.parametrize(
    "optimizer", [torch.optim.Adam, lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9)], ids=["adam", "momentum"]
)
def test_a_step_size_is_refused_where_steps_are_not_those_of_descent(tmp_path, optimizer):
    loader = DataLoader(TensorDataset(X.double(), Y.double()), batch_size=12)
    with pytest.raises(InvalidInput, match="step_size"):
        fit(tmp_path, Custom(optimizer=optimizer), [cb.View(custom_view, step_size=1e-2), cb.Loss()], loader)


def test_a_step_size_is_refused_with_mini_batches(tmp_path):
    module = Plain(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1), optimizer=lambda p: torch.optim.SGD(p, lr=1e-2))
    with pytest.raises(InvalidInput, match="step_size"):
        fit(tmp_path, module, [cb.View(step_size=1e-2), cb.Loss()])


class Functional(Plain):
    def forward(self, x):
        return self.net[1](torch.tanh(self.net[0](x)))


class Swapped(Plain):
    """Has the right layers, and uses them otherwise."""

    def forward(self, x):
        return super().forward(x) ** 2


REFUSED = {
    "two hidden layers": lambda: Plain(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1)),
    "several outputs": lambda: Plain(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)),
    "another activation": lambda: Plain(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 1)),
    "a functional activation": lambda: Functional(nn.Linear(3, 4), nn.Linear(4, 1)),
    "another forward": lambda: Swapped(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)),
    "no layers": lambda: Custom(),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_hidden_relu_layer_is_refused_in_one_line(tmp_path, kind):
    with pytest.raises(InvalidInput, match=r"View\(view=") as caught:
        fit(tmp_path, REFUSED[kind](), [cb.Loss()])
    assert "\n" not in str(caught.value)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


def test_a_stream_needs_its_training_set_given(tmp_path):
    layers = nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)
    loader = DataLoader(Stream(), batch_size=6)
    schedule = Schedule.of(8)
    with pytest.raises(InvalidInput, match=r"View\(training_set="):
        fit(tmp_path, Plain(*layers), [cb.View(schedule=schedule), cb.Loss()], loader)
    with_bias = gfflow.TrainingSet(torch.cat([X, torch.ones(12, 1)], dim=1), Y.flatten())
    view = cb.View(training_set=with_bias, schedule=schedule)
    rows = fit(tmp_path, Plain(*layers), [view, cb.Loss()], loader, max_epochs=4)
    assert set(rows) == set(range(9))


def test_accumulated_batches_are_one_iteration(tmp_path):
    module = Plain(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    seen = []

    class Counting(cb.Loss):
        def measure(self, snapshot):
            seen.append(snapshot.iteration)
            return super().measure(snapshot)

    fit(tmp_path, module, [Counting()], accumulate_grad_batches=3, max_epochs=4)
    assert seen == [0, 1, 2, 3, 4]


def test_measuring_changes_no_weight(tmp_path):
    """Bit for bit, in training with shuffling: the random states are left alone too."""
    ends = []
    for callbacks in ([], [*measurements(), cb.Structure(), cb.TrajectoryRecorder(tmp_path / "trajectory.npz")]):
        torch.manual_seed(5)
        module = Plain(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.0), nn.Linear(8, 1))
        callbacks = [cb.View(lambda m: (m.net[0].weight, m.net[3].weight)), *callbacks] if callbacks else []
        module.net[0].bias = None
        module.net[3].bias = None
        fit(tmp_path, module, callbacks)
        ends.append(nn.utils.parameters_to_vector(module.parameters()))
    assert torch.equal(*ends)


def test_trajectory_histograms_and_bar_of_an_ordinary_training(tmp_path):
    torch.manual_seed(0)
    module = Plain(nn.Linear(3, 8, bias=False), nn.ReLU(), nn.Linear(8, 1, bias=False))
    recorder = cb.TrajectoryRecorder(tmp_path / "trajectory.npz", Schedule((0, 7, 30)))
    events = TensorBoardLogger(tmp_path)
    fit(tmp_path, module, [recorder, cb.Histograms(), cb.PhaseProgress()], logger=events)
    with np.load(tmp_path / "trajectory.npz") as file:
        assert file["step"].tolist() == [0, 7, 30, 60]  # the last one in any case
        kept = dict(module.weights)
        for step, w, a in zip(file["step"], file["w"], file["a"], strict=True):
            np.testing.assert_array_equal(w, kept[step][0])
            np.testing.assert_array_equal(a, kept[step][1][0])
        np.testing.assert_array_equal(file["x"], X.double())
    assert list((tmp_path / "lightning_logs").rglob("events*"))


def test_a_training_that_diverges_is_measured_until_then(tmp_path):
    module = Plain(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1), optimizer=lambda p: torch.optim.SGD(p, lr=1e8))
    rows = fit(tmp_path, module, measurements())
    assert 0 in rows and 60 not in rows
    assert all(np.isfinite(list(row.values())).all() for row in rows.values())


class FunctionalLeaky(Plain):
    """A leaky ReLU that only its forward knows of."""

    def forward(self, x):
        return self.net[1](nn.functional.leaky_relu(self.net[0](x), 0.2))


@pytest.mark.parametrize("own", [True, False])
def test_a_snapshot_with_a_view_has_the_modules_activation(own):
    """A custom view returns weights alone: the activation is the module's, given, or seen to be wrong."""
    torch.manual_seed(0)
    hidden, output = nn.Linear(3, 8), nn.Linear(8, 1)
    module = Plain(hidden, nn.LeakyReLU(0.2), output) if own else FunctionalLeaky(hidden, output)
    x, y = torch.randn(20, 3), torch.randn(20)
    loader = DataLoader(TensorDataset(x, y), batch_size=20)

    def view(m):
        return torch.cat([m.net[0].weight, m.net[0].bias[:, None]], dim=1), m.net[-1].weight, m.net[-1].bias

    if not own:
        with pytest.raises(InvalidInput, match=r"forward that differs.*slope=\.\.\."):
            gfflow.snapshot_of(module, loader, view)
    found = gfflow.snapshot_of(module, loader, view, slope=None if own else 0.2)
    expected = module(x).detach().flatten().double() - float(output.bias.detach())
    torch.testing.assert_close(found.outputs, expected, rtol=0, atol=1e-5)  # float32
    given = gfflow.snapshot_of(module, gfflow.TrainingSet(torch.cat([x, torch.ones(20, 1)], 1), y), view, 0.2)
    assert torch.equal(given.outputs, found.outputs)
    with pytest.raises(InvalidInput, match="an output bias"):
        gfflow.predict_module(module, loader, 1.0, view, 0.2)


def test_a_given_slope_settles_which_activation_counts(tmp_path):
    """The module has two activations, one of them not of the network that the view shows."""

    class Two(Plain):
        def __init__(self) -> None:
            super().__init__(nn.Linear(2, 8, bias=False), nn.LeakyReLU(0.1), nn.Linear(8, 1, bias=False))
            self.unused = nn.ReLU()

    torch.manual_seed(0)
    module, x = Two().double(), torch.randn(16, 2, dtype=torch.float64)
    y = x[:, :1].clone()
    wanted = float(nn.functional.mse_loss(module(x), y).detach()) / 2
    view = cb.View(lambda m: (m.net[0].weight, m.net[2].weight), slope=0.1)
    rows = fit(tmp_path, module, [view, cb.Loss()], DataLoader(TensorDataset(x, y), batch_size=16), max_epochs=1)
    assert rows[0]["loss"] == pytest.approx(wanted, rel=1e-12)  # rounding
