"""Somebody else's network as neurons: which weights are w and a, and on which samples they are trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, Subset

from gfflow.errors import InvalidInput
from gfflow.model.activations import RELU, Activation, leaky_relu
from gfflow.model.data import TrainingSet, ZeroLabel
from gfflow.model.losses import Loss, OfFunction, OfOutput
from gfflow.model.options import LOSSES
from gfflow.theory import Prediction, make_forecast, predict, with_forecast
from gfflow.theory.prediction import CLOSED_FORM
from gfflow.training.batches import REMEDY as PAIRS
from gfflow.training.batches import pairs
from gfflow.training.samples import generators_kept, trained_indices
from gfflow.training.shown import ModuleSnapshot, Shown, Weights, WeightsOf, show

LossOf = str | Loss | Callable[[Tensor, Tensor], Tensor]  # a name, or the loss of each sample from (h, y)

REMEDY = (
    "one hidden ReLU (or leaky ReLU) layer with one output, an nn.Linear, an nn.ReLU and an nn.Linear in this order; "
    "for any other module View(view=...), a function of it that returns (w (m, d), a (m,)) or (w, a, output bias)"
)
PASSIVE = (nn.Flatten, nn.Unflatten, nn.Identity, nn.modules.loss._Loss)  # leaves that hold nothing of the network
KNOWN_LOSSES: dict[type[nn.Module], str] = {  # torch's, by the name that ours has
    nn.MSELoss: "square",
    nn.BCEWithLogitsLoss: "logistic",
    nn.SoftMarginLoss: "logistic",
}
CHECKED = 256  # samples on which the module's own forward is compared with the view


def find_layers(module: nn.Module) -> tuple[nn.Linear, nn.ReLU | nn.LeakyReLU, nn.Linear]:
    """The pair of nn.Linear around an nn.ReLU or nn.LeakyReLU that is all the module has.

    Layers count in the order in which they are defined; loss functions and metrics are passed over. Raises
    InvalidInput for anything else.
    """
    leaves = [leaf for leaf in module.modules() if not any(leaf.children()) and not _passive(leaf)]
    if leaves == [module]:
        leaves = []
    match leaves:
        case [nn.Linear() as hidden, (nn.ReLU() | nn.LeakyReLU()) as activation, nn.Linear() as output]:
            return hidden, activation, output
    kinds = ", ".join(type(leaf).__name__ for leaf in leaves) or "no layer"
    raise InvalidInput("network", f"{type(module).__name__} with {kinds}", REMEDY)


def layers_weights(module: nn.Module) -> Weights:
    """(w, a) or (w, a, output bias) of the layers that find_layers finds. A hidden bias is the last column of w, for
    an input coordinate equal to 1."""
    hidden, _, output = find_layers(module)
    w = hidden.weight
    if hidden.bias is not None:
        w = torch.cat([w, hidden.bias[:, None]], dim=1)
    return (w, output.weight) if output.bias is None else (w, output.weight, output.bias)


def read_weights(
    module: nn.Module,
    view: WeightsOf | None = None,
    activation: Activation | None = None,
    output_scale: float = 1.0,
    optimizers: Iterable[torch.optim.Optimizer] = (),
) -> Shown:
    """The weights as they stand (training/shown.py). The activation is the given one, or else the module's own
    (own_activation).

    Raises InvalidInput where `view` returns something else than weights of one hidden layer with one output.
    """
    if not isinstance(module, nn.Module):
        raise InvalidInput("network", type(module).__name__, REMEDY)
    return show(module, view or layers_weights, activation or own_activation(module), output_scale, optimizers)


def as_loss(loss: LossOf) -> Loss:
    """The loss of that name, or that the function (h, y) -> l per sample gives; raises InvalidInput for anything
    else."""
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str) and loss in LOSSES:
        return LOSSES[loss]().make()
    if callable(loss):
        return OfFunction(loss)
    allowed = f"one of {', '.join(LOSSES)}, or a function of (h, y) that gives the loss of each sample"
    raise InvalidInput("loss", loss, allowed)


def with_loss(training_set: TrainingSet, loss: LossOf | None) -> TrainingSet:
    """The samples with that loss (None: as they are), labels 0 and 1 read as -1 and +1 where it is one of
    classification. Raises InvalidInput where the labels do not suit it."""
    if loss is None:
        return training_set
    made, test = as_loss(loss), training_set.test

    def read(y: Tensor) -> Tensor:
        return 2 * y - 1 if made.is_classification and bool(((y == 0) | (y == 1)).all()) else y

    test = None if test is None else replace(test, y=read(test.y))
    return replace(training_set, y=read(training_set.y), loss=made, test=test)


def own_activation(module: nn.Module) -> Activation:
    """The activation of the module's nn.ReLU or nn.LeakyReLU; the ReLU where it has neither, and calls a function
    instead. Raises InvalidInput where it has several different ones."""
    slopes = {
        leaf.negative_slope if isinstance(leaf, nn.LeakyReLU) else 0.0
        for leaf in module.modules()
        if isinstance(leaf, (nn.ReLU, nn.LeakyReLU))
    }
    if len(slopes) > 1:
        received = f"activations with the slopes {', '.join(map(str, sorted(slopes)))} below zero"
        raise InvalidInput("network", received, "one activation, or the slope of the hidden layer's")
    slope = slopes.pop() if slopes else 0.0
    return leaky_relu(slope) if slope else RELU


def read_samples(loader: Any, batches: float = float("inf")) -> tuple[Tensor, Tensor]:
    """The inputs and labels that a DataLoader trains on in epochs of so many batches, in the dataset's order: shapes
    (n, ...) and (n,) or (n, 1); which they are, trained_indices says.

    Reads the dataset beside the loader: no random state moves. Raises InvalidInput where the dataset cannot be read
    twice or its batches are no pairs.
    """
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        raise InvalidInput("training data", f"{type(loader).__name__}, which cannot be read twice", PAIRS)
    chosen = Subset(loader.dataset, trained_indices(loader, batches))
    size = None if loader.batch_size is None and loader.batch_sampler is None else 1024  # None: an item is a batch
    with generators_kept(loader.dataset, loader.collate_fn):
        generator = torch.Generator().manual_seed(0)
        read = pairs(DataLoader(chosen, batch_size=size, collate_fn=loader.collate_fn, generator=generator))
    if not read:
        raise InvalidInput("training data", "no samples", PAIRS)
    return torch.cat([x for x, _ in read]), torch.cat([y for _, y in read])


def as_training_set(x: Tensor, y: Tensor, coordinates: int, loss: LossOf | None = None) -> TrainingSet:
    """The samples, with that loss (None: the square loss), for neurons of so many coordinates: inputs flattened,
    those of shape (n,) as a column, with a last coordinate 1 where the neurons have one more than the inputs. Raises
    InvalidInput for several labels per sample or inputs of another size."""
    y = y.detach().to("cpu", torch.float64)
    if y.ndim > 1 and y[0].numel() == 1:
        y = y.flatten()
    if y.ndim != 1:
        raise InvalidInput("training data", f"labels of shape {tuple(y.shape)}", "one number per sample")
    x = _in_coordinates(x, coordinates)
    with warnings.catch_warnings():
        if loss is not None or bool(((y == 0) | (y == 1)).all()):
            warnings.simplefilter("ignore", ZeroLabel)  # a label 0 may stand for a class
        return with_loss(TrainingSet(x, y), loss)


def _in_coordinates(x: Tensor, coordinates: int) -> Tensor:
    """Inputs, flattened, in as many coordinates as the neurons have, the last one 1 where the inputs
    have one less. Raises InvalidInput where they do not fit, and for an input equal to zero without a bias."""
    x = x.reshape(len(x), -1).detach().to("cpu", torch.float64)
    if x.shape[1] == coordinates - 1:
        x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    if x.shape[1] != coordinates:
        received = f"inputs with {x.shape[1]} coordinates, neurons with {coordinates}"
        raise InvalidInput("view", received, "as many in w as in the inputs, or one more, last, for a hidden bias")
    zero = (x == 0).all(dim=1).nonzero()
    if len(zero):
        remedy = "a hidden layer with a bias, or a dataset without it: no weight moves by an input of zero"
        raise InvalidInput("training data", f"sample {int(zero[0])} equal to zero", remedy)
    return x


def in_view(given: TrainingSet, coordinates: int, loss: LossOf | None = None) -> TrainingSet:
    """A given training set, its test samples with it, for neurons of so many coordinates, with that loss (None: its
    own). Raises InvalidInput as as_training_set does."""
    teacher = None if given.d != coordinates else given.teacher
    test = None if given.test is None else replace(given.test, x=_in_coordinates(given.test.x, coordinates))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZeroLabel)  # told when it was made, if it says anything
        made = replace(given, x=_in_coordinates(given.x, coordinates), test=test, teacher=teacher)
        return with_loss(made, loss)


def shifted(training_set: TrainingSet, output_bias: float, output_scale: float = 1.0) -> TrainingSet:
    """The samples for h alone, of a network with the output c (h + b): of the square loss and c = 1 with b taken from
    the labels, so that residuals are y - b - h; of any other with the loss l(c (h + b), y)."""
    if output_bias == 0 and output_scale == 1:
        return training_set
    if not training_set.loss.is_square or output_scale != 1:
        return replace(training_set, loss=OfOutput(training_set.loss, output_bias, output_scale))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # y_k = b by chance says nothing of Assumption 2
        return replace(training_set, y=training_set.y - output_bias)


def check_forward(module: nn.Module, x: Tensor, snapshot: ModuleSnapshot, alone: bool = True) -> bool:
    """Raises InvalidInput where the module's forward is not the output that the snapshot shows on its training inputs
    x.

    To the accuracy of the module's own dtype. False where the forward cannot be called so, outside its training step:
    what the view says is then for the first batch to show (training/view_check.py). So it is, unless the forward is
    judged `alone`, where it gives something else than one number a sample, such as the outputs of two classes.
    """
    parameter = next(module.parameters())
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad(), generators_kept(module):
            output = module(x[:CHECKED].to(parameter.device, parameter.dtype))
    except Exception:  # somebody else's code, which may need anything
        return False
    finally:
        for part, mode in modes.items():
            part.training = mode
    if not isinstance(output, Tensor) or output.numel() != len(x[:CHECKED]):
        if not alone:
            return False
        raise InvalidInput("network", f"an output of shape {tuple(getattr(output, 'shape', ()))}", REMEDY)
    bias, scale = snapshot.shown.output_bias, snapshot.shown.output_scale
    h = scale * (snapshot.outputs[:CHECKED] + bias)
    activity = scale * (snapshot.neurons.a.abs() @ snapshot.preactivations.abs()[:, :CHECKED] + abs(bias))
    finest = torch.finfo(parameter.dtype)
    found = output.flatten().to("cpu", torch.float64)
    # Rounding is of the size eps * sum of |terms|; 1000 leaves room for tensor cores (TF32) and long sums.
    allowed = 1000 * finest.eps * activity + finest.tiny
    if bool(((found - h).abs() <= allowed).all()):
        return True
    ratio = float(found @ h / (h @ h)) if bool(h.any()) else 0.0
    if ratio > 0 and bool(((found - ratio * h).abs() <= ratio * allowed).all()):
        received = f"a forward that is {ratio:.6g} times the view's"
        raise InvalidInput("network", received, f"View(output_scale={ratio * scale:.6g}), or a forward without it")
    received = f"a forward that differs from the view by {float((found - h).abs().max()):.1e}"
    inputs = "View(training_set=...) where the module transforms its inputs"
    raise InvalidInput("network", received, f"{REMEDY}; {inputs}; slope=... where its activation is leaky")


def snapshot_of(
    module: nn.Module,
    data: TrainingSet | DataLoader[Any],
    view: WeightsOf | None = None,
    slope: float | None = None,
    loss: LossOf | None = None,
    output_scale: float = 1.0,
) -> ModuleSnapshot:
    """The module as it stands on its training data, by that loss (None: the data's own, or the square loss); an
    output bias is taken from the labels.

    `slope` is the activation's below zero, by default that of the module's own nn.ReLU or nn.LeakyReLU; the module's
    output is `output_scale` times the view's. Raises InvalidInput as View does: for weights that are not one hidden
    layer's, and where the module's forward is another function than the snapshot's.
    """
    shown = read_weights(module, view, None if slope is None else leaky_relu(slope), output_scale)
    coordinates = shown.neurons.w.shape[1]
    if isinstance(data, TrainingSet):
        data = in_view(data, coordinates, loss)
        x = data.x
    else:
        x, y = read_samples(data)
        data = as_training_set(x, y, coordinates, loss)
    found = ModuleSnapshot(shown, shifted(data, shown.output_bias, output_scale))
    if not check_forward(module, x, found):  # the module may add the last coordinate, a hidden bias, itself
        check_forward(module, x[:, :-1], found)
    return found


def predict_module(
    module: nn.Module,
    data: TrainingSet | DataLoader[Any],
    scale: float,
    view: WeightsOf | None = None,
    slope: float | None = None,
    *,
    step_size: float | None = None,
    steps: int | None = None,
    loss: LossOf | None = None,
) -> Prediction:
    """What the theory says of the module's training from its weights as they stand, lambda = scale.

    With `step_size` and `steps`, those of plain descent on L = 1/(2n) sum_k (h(x_k) - y_k)^2 (on the mean square,
    twice its step size) or the mean of another `loss`, what has no closed form is predicted to the end too, by a
    forecast (theory.make_forecast). What is missing otherwise is said in one line, by a warning.

    Raises InvalidInput for a network with an output bias: the paper's model has none.
    """
    start = snapshot_of(module, data, view, slope, loss)
    if len(start.shown.weights) == 3:
        raise InvalidInput(
            "network", "an output bias", "an output layer with bias=False: the theory has no output bias"
        )
    prediction = predict(start.training_set, start.neurons, scale)
    if prediction.source == CLOSED_FORM:
        return prediction
    if step_size is None or steps is None:
        line = "only the early phase is predicted: give step_size and steps, where training is plain descent on L"
        warnings.warn(line, stacklevel=2)
        return prediction
    found = make_forecast(start.training_set, start.neurons, step_size * steps, step_size)
    if found.note is not None:
        warnings.warn(found.note, stacklevel=2)
    return with_forecast(prediction, found)


def _passive(leaf: nn.Module) -> bool:
    """Whether a leaf is no part of the network: a loss function, a reshaping, a metric."""
    metric = any(base.__module__.startswith("torchmetrics") for base in type(leaf).__mro__)
    return metric or isinstance(leaf, PASSIVE)
