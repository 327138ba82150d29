"""Trainings as people write them, whose numbers were once wrong: each is right now, by autograd on the module itself,
or refused in a line that says what to pass."""

import copy
import random
import warnings

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.nn.functional import mse_loss, softplus
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from torch.utils.tensorboard import SummaryWriter

import gfflow
from gfflow import callbacks as cb
from gfflow.errors import InvalidInput
from gfflow.model.data import ZeroLabel
from gfflow.training.schedule import Schedule

GENERATOR = torch.Generator().manual_seed(7)
N, D, M = 16, 2, 10
X = torch.randn(N, D, generator=GENERATOR)
Y = X[:, :1].abs() - 0.5
SIGNS = X[:, 0].sign()
QUIET = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger"), False)


class Net(pl.LightningModule):
    """Two layers, the loss of a batch given as a function, and an optimiser."""

    def __init__(self, loss=mse_loss, optimizer=lambda p: torch.optim.SGD(p, lr=0.05), bias=False, d=D):
        super().__init__()
        torch.manual_seed(3)
        self.net = nn.Sequential(nn.Linear(d, M, bias=bias), nn.ReLU(), nn.Linear(M, 1, bias=bias))
        self.loss_of, self.optimizer = loss, optimizer

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, _):
        x, y = batch
        return self.loss_of(self(x), y)

    def configure_optimizers(self):
        return self.optimizer(self.parameters())


class OwnScale(Net):
    """1/m outside, on parameters of its own."""

    def __init__(self, scale=1 / M, **options):
        super().__init__(**options)
        self.net = None
        self.w, self.a, self.scale = nn.Parameter(torch.randn(M, D)), nn.Parameter(torch.randn(M)), scale

    def forward(self, x):
        return self.scale * (torch.relu(x @ self.w.T) @ self.a)[:, None]


def own(module):
    return module.w, module.a


def full(*data):
    return DataLoader(TensorDataset(*data), batch_size=len(data[0]))


def fit(module, *callbacks, loader=None, view=None, **options):
    """The rows of a training."""
    view = view or cb.View()
    settings = {"max_epochs": 3, **QUIET, "accelerator": "cpu", **options}
    measures = [cb.Loss(), cb.GradientNorm(), cb.AlignmentCosines(), cb.Invariants()]
    trainer = pl.Trainer(callbacks=[view, *measures, *callbacks], **settings)
    trainer.fit(module, full(X, Y) if loader is None else loader)
    return view.rows


def refused(*arguments, match, **options):
    """Nothing has been measured, and one line says why."""
    view = options.setdefault("view", cb.View())
    with pytest.raises(InvalidInput, match=match) as caught:
        fit(*arguments, **options)
    assert "\n" not in str(caught.value) and not view.rows


def by_autograd(module, loss, parameters=None):
    """The loss of the module in float64, and the norm of its gradient."""
    double = copy.deepcopy(module).double()
    named = dict(double.named_parameters())
    chosen = [
        named[n] for n, p in module.named_parameters() if (p.requires_grad if parameters is None else n in parameters)
    ]
    value = loss(double)
    gradients = torch.autograd.grad(value, chosen)
    return float(value.detach()), float(torch.cat([g.flatten() for g in gradients]).norm())


def check(row, module, loss, parameters=None):
    """1e-9 is the rounding of a few sums in another order."""
    value, norm = by_autograd(module, loss, parameters)
    assert row["loss"] == pytest.approx(value, rel=1e-9)
    assert row["gradient/norm"] == pytest.approx(norm, rel=1e-9)


def half_square(module, x=X, y=Y):
    return mse_loss(module(x.double()), y.double()) / 2


# ---- the loss


def test_cross_entropy_on_labels_0_and_1():
    def cross_entropy(h, y):
        return nn.functional.binary_cross_entropy_with_logits(h.squeeze(1), y)

    def sgd(p):
        return torch.optim.SGD(p, lr=0.5)

    classes = (SIGNS + 1) / 2
    loader = full(X, classes)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ZeroLabel)
        refused(
            Net(cross_entropy, sgd),
            loader=loader,
            match=r"another, the logistic one; allowed: View\(loss='logistic'\)",
        )
        module = Net(cross_entropy, sgd)
        rows = fit(module, loader=loader, view=cb.View(loss="logistic"), max_epochs=40)
    check(rows[40], module, lambda m: cross_entropy(m(X.double()), classes.double()))
    w, a = (p.detach().double() for p in module.parameters())
    z = X.double() @ w.T
    residual = classes - torch.sigmoid(torch.relu(z) @ a[0])
    fields = ((z > 0) * residual[:, None]).T @ X.double() / N
    cosines = torch.cosine_similarity(w, fields) * a[0].sign()
    assert rows[40]["alignment/own_mean"] == pytest.approx(float(cosines.mean()), rel=1e-9)


def test_softplus_of_the_margin_even_from_a_start_too_small_to_show_it():
    """At h = 0 the pulls of the square and the logistic loss are multiples of each other: the value tells."""

    def loss(h, y):
        return softplus(-y * h.squeeze(1)).mean()

    for size in (1.0, 1e-6):
        module = Net(loss)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.mul_(size)
        start = copy.deepcopy(module)
        refused(module, loader=full(X, SIGNS), match=r"View\(loss='logistic'\)")
        module = copy.deepcopy(start)
        rows = fit(module, loader=full(X, SIGNS), view=cb.View(loss=lambda h, y: softplus(-y * h)))
        check(rows[3], module, lambda m: loss(m(X.double()), SIGNS.double()))
        check(rows[0], start, lambda m: loss(m(X.double()), SIGNS.double()))


def test_another_loss_of_torch_is_named():
    module = Net(nn.L1Loss())
    module.own = module.loss_of
    refused(module, match=r"View\(loss=a function of \(h, y\) that gives the loss of L1Loss of each sample\)")
    module = Net(nn.L1Loss())
    rows = fit(module, view=cb.View(loss=lambda h, y: (h - y).abs()))
    check(rows[3], module, lambda m: nn.functional.l1_loss(m(X.double()), Y.double()))
    assert fit(Net(nn.L1Loss()), view=cb.View(check=False))[3]["loss"] > 0


def test_shapes_that_broadcast_are_no_loss_of_each_sample():
    refused(Net(), loader=full(X, Y[:, 0]), match="the square loss")


def test_a_regulariser_is_told_and_left_out():
    for power, word in ((2, "squares"), (1, "sizes")):
        module = Net()

        def loss(h, y, module=module, power=power):
            return mse_loss(h, y) + 0.01 * sum(p.abs().pow(power).sum() for p in module.parameters())

        module.loss_of = loss
        with pytest.warns(UserWarning, match=f"0.01 times the {word} of the .*; measured without it"):
            rows = fit(module)
        check(rows[3], module, half_square)


# ---- factors and frozen layers


@pytest.mark.parametrize("scale", [1 / M, M**-0.5])
def test_an_output_that_is_scaled(scale):
    module = OwnScale(scale)
    rows = fit(module, view=cb.View(own, output_scale=scale))
    check(rows[3], module, half_square)
    w, a = (p.detach().double() for p in (module.w, module.a))
    start = OwnScale(scale)
    balance, at_start = (
        v.double().square() - u.double().square().sum(dim=1) for u, v in ((w, a), (start.w, start.a))
    )
    drift = float((balance - at_start).abs().max().detach())
    assert rows[3]["invariant/balance_drift"] == pytest.approx(drift, rel=1e-9) and drift < 1e-2
    refused(OwnScale(scale), view=cb.View(own), match=rf"View\(output_scale={scale:.6g}\)")
    folded = cb.View(lambda m: (m.w, m.a * scale))
    refused(OwnScale(scale), view=folded, match=rf"{scale:.6g} times the module's own; .*output_scale={scale:.6g}\)")


def test_an_output_scale_with_layers_and_biases():
    class Scaled(Net):
        def forward(self, x):
            return self.net(x) / M

    refused(Scaled(bias=True), match=r"0\.1 times the view's; allowed: View\(output_scale=0\.1\)")
    module = Scaled(bias=True)
    rows = fit(module, view=cb.View(output_scale=1 / M))
    check(rows[3], module, half_square)
    with pytest.raises(InvalidInput, match="output_scale: received 0; allowed: a positive number"):
        cb.View(output_scale=0)


def test_margins_are_those_of_the_scaled_output():
    def loss(h, y):
        return softplus(-y * h.squeeze(1)).mean()

    module = OwnScale(loss=loss)
    rows = fit(module, cb.Margin(), loader=full(X, SIGNS), view=cb.View(own, loss="logistic", output_scale=1 / M))
    square = sum(float(p.detach().double().square().sum()) for p in (module.w, module.a))
    h = copy.deepcopy(module).double()(X.double())[:, 0]
    assert rows[3]["margin/normalized"] == pytest.approx(float((SIGNS * h).min().detach()) / square, rel=1e-9)


@pytest.mark.parametrize("frozen", ["net.2.weight", "net.0.weight"])
@pytest.mark.parametrize("how", ["no gradient", "not given to the optimizer"])
def test_a_frozen_layer(frozen, how):
    module = Net()
    if how == "no gradient":
        dict(module.named_parameters())[frozen].requires_grad_(False)
    module.optimizer = lambda _: torch.optim.SGD([p for n, p in module.named_parameters() if n != frozen], lr=0.05)
    rows = fit(module)
    check(rows[3], module, half_square, {"net.0.weight", "net.2.weight"} - {frozen})
    assert "invariant/balance_drift" not in rows[3]


def test_output_weights_that_are_no_parameter():
    class Signs(OwnScale):
        def __init__(self):
            super().__init__(scale=1.0)
            del self.a
            self.register_buffer("a", torch.ones(M) - 2.0 * (torch.arange(M) % 2))

    module = Signs()
    rows = fit(module, view=cb.View(own))
    check(rows[3], module, half_square)
    assert "invariant/balance_drift" not in rows[3]


# ---- what the network is given


class InStep(Net):
    """All in the training step: no forward, inputs standardised there."""

    mean, deviation = X.mean(dim=0), X.std(dim=0)

    def training_step(self, batch, _):
        x, y = batch
        return mse_loss(self.net((x - self.mean) / self.deviation), y)


def test_inputs_standardised_in_the_training_step():
    remedy = r"samples that are other ones .*View\(training_set=TrainingSet\(x, y\)\)"
    refused(InStep(), match=remedy)
    x = (X - InStep.mean) / InStep.deviation
    module = InStep()
    rows = fit(module, view=cb.View(training_set=gfflow.TrainingSet(x, Y[:, 0])))
    check(rows[3], module, lambda m: mse_loss(m.net(x.double()), Y.double()) / 2)
    with pytest.warns(UserWarning, match="the first batch's samples are not in the given training set"):
        fit(InStep(), view=cb.View(training_set=gfflow.TrainingSet(X, Y[:, 0])))


def test_no_forward_at_all():
    class Step(Net):
        forward = pl.LightningModule.forward

        def training_step(self, batch, _):
            x, y = batch
            return mse_loss(self.net[2](nn.functional.leaky_relu(self.net[0](x), 0.1)), y)

    view = cb.View(lambda m: (m.net[0].weight, m.net[2].weight), slope=0.1)
    module = Step()
    rows = fit(module, view=view)
    h = lambda m: m.net[2](nn.functional.leaky_relu(m.net[0](X.double()), 0.1))  # noqa: E731
    check(rows[3], module, lambda m: mse_loss(h(m), Y.double()) / 2)
    refused(
        Step(), view=cb.View(lambda m: (m.net[0].weight, m.net[2].weight), slope=0.0), match=r"View\(slope=0\.1\)"
    )


def test_batch_norm_and_dropout_are_named():
    for layer in (nn.BatchNorm1d(M), nn.Dropout(0.3)):
        module = Net()
        module.net.insert(1, layer)
        view = cb.View(lambda m: (m.net[0].weight, m.net[3].weight))
        refused(module, view=view, match=f"without the {type(layer).__name__}, which changes the output in training")


def test_univariate_data_is_a_column():
    class Univariate(Net):
        def forward(self, x):
            return self.net(x[:, None])

    for bias in (True, False):
        module = Univariate(bias=bias, d=1)
        rows = fit(module, loader=full(X[:, 0], Y))
        check(rows[3], module, lambda m: half_square(m, X[:, 0]))


# ---- a given training set


class Stream(IterableDataset):
    def __iter__(self):
        return iter([{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(zip(X, Y, strict=True))])


class Triples(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, k):
        return X[k], Y[k], k


@pytest.mark.parametrize("kind", ["dict", "stream", "triple"])
def test_a_given_training_set_gets_the_coordinate_of_the_bias(kind):
    class Any(Net):
        def training_step(self, batch, _):
            x, y = (batch["x"], batch["y"]) if isinstance(batch, dict) else batch[:2]
            return mse_loss(self.net(x), y)

    data = {"dict": list(Stream()), "stream": Stream(), "triple": Triples()}[kind]
    loader, schedule = DataLoader(data, batch_size=N), Schedule.of(3)
    refused(Any(bias=True), loader=loader, view=cb.View(schedule=schedule), match=r"View\(training_set=")
    module = Any(bias=True)
    view = cb.View(training_set=gfflow.TrainingSet(X, Y[:, 0]), schedule=schedule)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", message=".*(workers|log_every_n|Trying to infer|srun|isinstance).*")
        rows = fit(module, loader=loader, view=view)
    check(rows[3], module, half_square)


# ---- the step size


STEPS = {
    "factor 2 forgotten": (lambda: Net(), 0.05, {}, r"allowed: 0\.1, that of the first step as it was made"),
    "a small one that is wrong": (
        lambda: Net(optimizer=lambda p: torch.optim.SGD(p, lr=1e-6)),
        1e-6,
        {},
        r"allowed: (2e-06|1\.9\d*e-06|2\.0\d*e-06), that of the first step as it was made",
    ),
    "any number": (lambda: Net(), 3.0, {}, r"allowed: 0\.1, that of the first step as it was made"),
    "two groups": (
        lambda: Net(
            optimizer=lambda p: torch.optim.SGD(
                [{"params": [q], "lr": lr} for q, lr in zip(p, (0.1, 0.05), strict=True)]
            )
        ),
        0.1,
        {},
        "the first step was none along the gradient",
    ),
    "one batch of several": (
        lambda: Net(),
        0.1,
        {"limit_train_batches": 1, "loader": 4, "shuffle": True},
        "step_size",
    ),
    "the last ones dropped": (lambda: Net(), 0.1, {"loader": 12, "drop_last": True, "shuffle": True}, "step_size"),
}


@pytest.mark.parametrize("kind", STEPS)
def test_a_step_size_that_is_not_that_of_the_first_step(kind):
    module, step_size, options, match = STEPS[kind]
    options = dict(options)
    sampling = {name: options.pop(name) for name in ("shuffle", "drop_last") if name in options}
    loader = DataLoader(TensorDataset(X, Y), batch_size=options.pop("loader", N), **sampling)
    refused(module(), loader=loader, view=cb.View(step_size=step_size), match=match, **options)


def test_step_sizes_that_are_right():
    rows = fit(Net(), view=cb.View(step_size=0.1))
    assert rows[3]["time"] == pytest.approx(0.3)
    loss = lambda h, y: softplus(-y * h.squeeze(1)).mean()  # noqa: E731
    rows = fit(Net(loss), loader=full(X, SIGNS), view=cb.View(loss="logistic", step_size=0.05))
    assert rows[3]["time"] == pytest.approx(0.15)
    refused(Net(loss), loader=full(X, SIGNS), view=cb.View(loss="logistic", step_size=0.1), match=r"allowed: 0\.05")


def test_steps_made_by_hand_have_a_size_too():
    class Manual(Net):
        automatic_optimization = False

        def training_step(self, batch, index):
            optimizer, loss = self.optimizers(), super().training_step(batch, index)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()

    assert fit(Manual(), view=cb.View(step_size=0.1))[3]["time"] == pytest.approx(0.3)
    refused(Manual(), view=cb.View(step_size=0.2), match=r"step_size: received 0\.2; allowed: 0\.1")


# ---- what was a traceback


class Items(Dataset):
    def __init__(self, make):
        self.make = make

    def __len__(self):
        return N

    def __getitem__(self, k):
        return self.make(k)


BATCHES = {
    "a dictionary of inputs": (lambda k: ({"x": X[k]}, Y[k]), r"\(\{'x': Tensor\}, Tensor\)"),
    "labels with more": (lambda k: (X[k], (Y[k], k)), r"\(Tensor, \(Tensor, Tensor\)\)"),
    "words for labels": (lambda k: (X[k], "yes"), r"\(Tensor, tuple of 16 str\)"),
    "inputs alone": (lambda k: X[k], "batches of Tensor"),
}


@pytest.mark.parametrize("kind", BATCHES)
def test_batches_that_are_no_pairs(kind):
    make, match = BATCHES[kind]
    refused(Net(), loader=DataLoader(Items(make), batch_size=N), match=match)


def test_batches_that_the_dataset_makes():
    two = [(X[:8], Y[:8]), (X[8:], Y[8:])]
    module = Net()
    rows = fit(module, loader=DataLoader(two, batch_size=None))
    check(rows[6], module, half_square)
    refused(Net(), loader=DataLoader([X, Y], batch_size=None), match="batches of Tensor")


VIEWS = {
    "arrays": (lambda m: tuple(p.detach().numpy() for p in own(m)), r"returns \(ndarray, ndarray\)"),
    "arrays of what is trained": (lambda m: (m.w.numpy(), m.a.numpy()), r"raises RuntimeError \(Can't call numpy"),
    "layers": (lambda m: (nn.Linear(2, 3), nn.Linear(3, 1)), r"returns \(Linear, Linear\)"),
    "one number for a": (lambda m: (m.w, m.a.sum()), r"weights of the shapes \(10, 2\), \(\)"),
    "three axes": (lambda m: (m.w[None], m.a), r"weights of the shapes \(1, 10, 2\), \(10,\)"),
    "one tensor": (lambda m: m.w, "returns Tensor"),
    "detached": (lambda m: (m.w.detach(), m.a.detach()), "weights that are not computed from the parameters"),
    "a name that is wrong": (lambda m: (m.v, m.a), "raises AttributeError"),
}


@pytest.mark.parametrize("kind", VIEWS)
def test_views_that_return_no_weights(kind):
    view, match = VIEWS[kind]
    refused(OwnScale(1.0), view=cb.View(view), match=match)


def test_layers_not_yet_initialised():
    class Lazy(Net):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.LazyLinear(M), nn.ReLU(), nn.LazyLinear(1))

    refused(Lazy(), match="the lazy parameter net.0.weight")


def test_an_input_of_zero_without_a_bias():
    grid = torch.linspace(-1, 1, N + 1)[:, None]
    refused(
        Net(d=1), loader=full(grid, grid.abs()), match="sample 8 equal to zero; allowed: a hidden layer with a bias"
    )
    module = Net(d=1, bias=True)
    rows = fit(module, loader=full(grid, grid.abs()))
    check(rows[3], module, lambda m: half_square(m, grid, grid.abs()))


# ---- the check itself


def test_layers_that_are_trained_in_turn():
    """The output layer's gradient comes when the hidden one has moved, and is not compared."""

    class Alternating(Net):
        automatic_optimization = False

        def configure_optimizers(self):
            return [torch.optim.SGD(self.net[k].parameters(), lr=0.05) for k in (0, 2)]

        def training_step(self, batch, index):
            for optimizer in self.optimizers():
                self.toggle_optimizer(optimizer)
                optimizer.zero_grad()
                self.manual_backward(super().training_step(batch, index))
                optimizer.step()
                self.untoggle_optimizer(optimizer)

    module = Alternating()
    rows = fit(module)
    check(rows[3], module, half_square)


def test_a_loss_that_is_no_mean_over_samples():
    """Its gradient has the direction of another on each batch; its value tells."""
    refused(Net(lambda h, y: mse_loss(h, y).sqrt()), match=r"the square loss, .* on the first batch, whose own is")


def test_a_start_that_does_not_tell_two_losses_apart_where_the_loss_is_not_seen():
    class Raw(Net):
        automatic_optimization = False

        def training_step(self, batch, index):
            optimizer = self.optimizers(use_pl_optimizer=False)
            optimizer.zero_grad()
            super().training_step(batch, index).backward()
            optimizer.step()

    module = Raw(lambda h, y: mse_loss(h.squeeze(1), y))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1e-6)
    start = copy.deepcopy(module)
    match = r"does not tell apart; allowed: View\(loss='square'\) or View\(loss='logistic'\)"
    refused(module, loader=full(X, SIGNS), match=match)
    rows = fit(start, loader=full(X, SIGNS), view=cb.View(loss="square"))
    check(rows[3], start, lambda m: mse_loss(m(X.double())[:, 0], SIGNS.double()) / 2)


def test_a_network_of_zeros_is_measured_and_said_not_to_be_checked():
    module = Net()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    with pytest.warns(UserWarning, match="no gradient but zero was seen"):
        rows = fit(module)
    assert rows[3]["gradient/norm"] == 0 and len(rows) == 4
    assert rows[3]["loss"] == pytest.approx(float(Y.double().square().mean()) / 2, rel=1e-12)


def test_the_check_changes_no_weight():
    """Nor any random state, with shuffled batches and numbers drawn in the training step."""

    class Drawing(Net):
        def training_step(self, batch, index):
            return super().training_step(batch, index) * torch.rand(()) * random.random()

    ends = []
    for callbacks in ([], [cb.View(), cb.Loss(), cb.GradientNorm()]):
        torch.manual_seed(0)
        random.seed(0)
        module = Drawing(optimizer=torch.optim.Adam)
        loader = DataLoader(TensorDataset(X, Y), batch_size=5, shuffle=True)
        pl.Trainer(callbacks=callbacks, max_epochs=3, **QUIET, accelerator="cpu").fit(module, loader)
        ends.append(nn.utils.parameters_to_vector(module.parameters()))
    assert torch.equal(*ends)


def test_nothing_is_written_of_a_view_that_does_not_hold(tmp_path, monkeypatch):
    """Histograms of the start wait, too."""
    written = []
    monkeypatch.setattr(SummaryWriter, "add_histogram", lambda _, tag, *args, **__: written.append((tag, args[1])))
    for loss in (mse_loss, nn.L1Loss()):
        callbacks = [cb.Histograms(), cb.Loss()]
        events = TensorBoardLogger(tmp_path)
        trainer = pl.Trainer(callbacks=callbacks, max_epochs=1, accelerator="cpu", **{**QUIET, "logger": events})
        if loss is mse_loss:
            trainer.fit(Net(loss), full(X, Y))
            assert {step for _, step in written} == {0, 1}
            written.clear()
        else:
            with pytest.raises(InvalidInput):
                trainer.fit(Net(loss), full(X, Y))
            assert not written


def test_half_precision_is_no_difference():
    module = Net()
    rows = fit(module, precision="bf16-mixed")
    check(rows[3], module, half_square)


def test_a_first_batch_without_a_gradient_decides_nothing():
    """Nothing is measured for good until something has moved."""

    class Late(Net):
        def training_step(self, batch, index):
            return None if self.trainer.current_epoch == 0 else super().training_step(batch, index)

    module = Late()
    rows = fit(module)
    assert list(rows) == [0, 1, 2, 3]
    check(rows[3], module, half_square)


class TwoNames(Net):
    """Layers that are attributes and parts of a Sequential, and so have two names."""

    def __init__(self):
        super().__init__()
        self.hidden, self.output = self.net[0], self.net[2]


def test_layers_with_two_names():
    """They are read, and stay the parameters that they were."""
    module = TwoNames()
    before = dict(module.named_parameters())
    rows = fit(module)
    check(rows[3], module, half_square)
    assert all(parameter is before[name] for name, parameter in module.named_parameters())


def test_weights_that_two_layers_share():
    module = Net(d=1)
    module.net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
    module.net[2].weight = module.net[0].weight
    rows = fit(module, loader=full(X[:, :1], Y))
    check(rows[3], module, lambda m: half_square(m, X[:, :1]))


def test_two_outputs_with_their_difference_as_the_view():
    """Cross-entropy of two classes is the logistic loss of h = h_1 - h_0."""
    labels = (SIGNS > 0).long()

    def network():
        module = Net(nn.functional.cross_entropy)
        module.net[2] = nn.Linear(M, 2, bias=False)
        return module

    def difference(sign):
        return cb.View(lambda m: (m.net[0].weight, sign * (m.net[2].weight[1] - m.net[2].weight[0])), loss="logistic")

    module = network()
    rows = fit(module, view=difference(1), loader=full(X, labels))
    check(rows[3], module, lambda m: nn.functional.cross_entropy(m(X.double()), labels))
    refused(network(), view=difference(-1), loader=full(X, labels), match="off by")


def test_a_view_that_is_not_checked_is_taken_at_its_word():
    module = Net()
    module.net[1] = nn.LeakyReLU(0.2)
    start = half_square(copy.deepcopy(Net()).double()).item()  # of a ReLU with the same weights
    assert fit(module, view=cb.View(slope=0.0, check=False))[0]["loss"] == pytest.approx(start, rel=1e-9)


class Clamped(Net):
    """Weights that are clamped after each step, where a callback comes before."""

    def on_train_batch_end(self, *_):
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.clamp_(-0.3, 0.3)


class ClampedInStep(Net):
    def optimizer_step(self, *arguments, **options):
        super().optimizer_step(*arguments, **options)
        Clamped.on_train_batch_end(self)


def test_weights_that_change_after_they_were_measured_are_told():
    with pytest.warns(UserWarning, match="changed after optimiser step 1, by the module's on_train_batch_end"):
        fit(Clamped())
    for module in (ClampedInStep(), Net(optimizer=lambda p: torch.optim.SGD(p, lr=1e30))):  # the latter diverges
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="weights are changed")
            rows = fit(module)
    module = ClampedInStep()
    rows = fit(module)
    check(rows[3], module, half_square)


def test_a_training_of_unknown_length_asks_for_a_schedule():
    refused(Net(), match="number of optimiser steps is not known", max_epochs=-1, max_time={"seconds": 1})


def test_the_distance_to_the_flow_is_that_of_plain_descent_without_an_output_bias():
    """It is first order in the step: half the step on twice as many batches halves it, to the second order."""

    def end(step_size, epochs):
        module = Net(optimizer=lambda p: torch.optim.SGD(p, lr=step_size / 2)).double()
        loader = full(X.double(), Y.double())
        view = cb.View(step_size=step_size)
        return fit(module, cb.FlowDistance(step_size), loader=loader, view=view, max_epochs=epochs)[epochs]

    coarse, fine = end(0.02, 20)["flow/distance"], end(0.01, 40)["flow/distance"]
    assert coarse / fine == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(
    ("module", "options", "match"),
    [
        (lambda: Net(bias=True), {"view": cb.View(step_size=0.1)}, "FlowDistance: received an output bias"),
        (lambda: Net(), {}, r"received lr 0.1 with View\(step_size=None\); allowed: View\(step_size=0.1\)"),
        (
            lambda: Net(optimizer=torch.optim.Adam),
            {"view": cb.View(step_size=0.1), "loader": DataLoader(TensorDataset(X, Y), batch_size=4)},
            "step_size: received 0.1 with Adam",
        ),
    ],
    ids=["output bias", "no step size", "Adam with mini-batches"],
)
def test_the_distance_to_the_flow_is_refused_where_there_is_no_flow_of_the_same_weights(module, options, match):
    refused(module(), cb.FlowDistance(0.1), match=match, **options)
