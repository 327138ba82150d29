"""The tangent kernel against autograd, its interpolator against training the linearised network."""

import pytest
import torch

from gfflow.measures import Snapshot, kernel_interpolator, tangent_kernel
from gfflow.model.data import TrainingSet
from gfflow.model.initialization import draw_start
from gfflow.model.neurons import Neurons


def network(weights: torch.Tensor, x: torch.Tensor, m: int) -> torch.Tensor:
    d = x.shape[1]
    return torch.relu(x @ weights[: m * d].view(m, d).T) @ weights[m * d :]


def jacobian(neurons: Neurons, x: torch.Tensor) -> torch.Tensor:
    """Gradients of h at each input in all weights, by autograd: (p, m (d + 1))."""
    weights = torch.cat([neurons.w.flatten(), neurons.a])
    return torch.autograd.functional.jacobian(lambda v: network(v, x, len(neurons.a)), weights)


@pytest.mark.parametrize(("n", "d", "m"), [(1, 1, 1), (2, 3, 4), (5, 2, 9), (7, 8, 3), (9, 9, 30)])
def test_kernel_is_the_product_of_gradients(n: int, d: int, m: int) -> None:
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    z = torch.randn(n + 2, d, generator=generator, dtype=torch.float64)
    neurons = draw_start(m, d, 0.7, seed=n, balanced=False)
    expected = jacobian(neurons, x) @ jacobian(neurons, z).T
    # sums over at most 30 * 10 products in another order: a few hundred roundings
    torch.testing.assert_close(tangent_kernel(neurons, x, z), expected, rtol=1e-12, atol=1e-12)


def test_interpolator_is_the_linearised_network_trained_to_the_end() -> None:
    generator = torch.Generator().manual_seed(3)
    data = TrainingSet(torch.randn(4, 3, generator=generator), torch.randn(4, generator=generator))
    inputs = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    neurons = draw_start(50, 3, 1.0, seed=5)
    features, at_inputs = jacobian(neurons, data.x), jacobian(neurons, inputs)
    residual = data.y - network(torch.cat([neurons.w.flatten(), neurons.a]), data.x, 50)
    step, moved = (
        torch.zeros(features.shape[1], dtype=torch.float64),
        1 / float(torch.linalg.matrix_norm(features, 2)) ** 2,
    )
    for _ in range(20000):  # gradient descent of the linear model: the smallest eigenvalue makes 1e-9 certain
        step = step + moved * features.T @ (residual - features @ step)
    now = network(torch.cat([neurons.w.flatten(), neurons.a]), inputs, 50)
    torch.testing.assert_close(
        kernel_interpolator(Snapshot(neurons, data), inputs), now + at_inputs @ step, rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("scale", [1e-300, 1e-6, 1.0])
def test_interpolator_passes_through_the_labels_at_any_scale(scale: float) -> None:
    generator = torch.Generator().manual_seed(4)
    data = TrainingSet(torch.randn(5, 3, generator=generator), torch.randn(5, generator=generator))
    snapshot = Snapshot(draw_start(60, 3, scale, seed=1), data)
    torch.testing.assert_close(kernel_interpolator(snapshot, data.x), data.y, rtol=1e-9, atol=1e-9)  # condition 1e4
