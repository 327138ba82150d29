"""Iterations are the optimiser steps that were really made, whoever makes them."""

import pytest
import torch
from foreign_trainings import Plain, fit, loader_of, loss_of

from gfflow import callbacks as cb


class ByHand(Plain):
    def __init__(self, **options):
        super().__init__(**options)
        self.automatic_optimization = False

    def gradients(self, batch):
        self.zero_grad()
        self.manual_backward(super().training_step(batch, 0))


class TwoOptimizers(ByHand):
    """One for each layer, both on every batch."""

    def configure_optimizers(self):
        return [torch.optim.SGD(layer.parameters(), lr=0.05) for layer in (self.net[0], self.net[2])]

    def training_step(self, batch, _):
        self.gradients(batch)
        for optimizer in self.optimizers():
            optimizer.step()


class Alternating(TwoOptimizers):
    def training_step(self, batch, i):
        self.gradients(batch)
        self.optimizers()[self.trainer.current_epoch % 2].step()


class RawOptimizer(ByHand):
    """One that Lightning knows nothing of."""

    def __init__(self, **options):
        super().__init__(**options)
        self.raw = torch.optim.Adam(self.net.parameters(), lr=0.01)

    def configure_optimizers(self):
        return None

    def training_step(self, batch, _):
        self.gradients(batch)
        self.raw.step()


class HandWritten(RawOptimizer):
    def training_step(self, batch, _):
        self.gradients(batch)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter -= 0.05 * parameter.grad


class BehindAutograd(RawOptimizer):
    """Through `.data`, which moves no version counter."""

    def training_step(self, batch, _):
        self.gradients(batch)
        for parameter in self.parameters():
            parameter.data = parameter.data - 0.05 * parameter.grad


class Quasi(ByHand):
    """L-BFGS evaluates its closure many times in one step."""

    def configure_optimizers(self):
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=4)

    def training_step(self, batch, _):
        def closure():
            self.zero_grad()
            loss = Plain.training_step(self, batch, 0)
            self.manual_backward(loss)
            return loss

        self.optimizers().step(closure=closure)


@pytest.mark.parametrize(
    "kind", [TwoOptimizers, Alternating, RawOptimizer, HandWritten, BehindAutograd, Quasi, Plain]
)
def test_every_step_is_one_iteration(tmp_path, kind):
    module = kind()
    rows = fit(tmp_path, module, [cb.Loss()])
    assert list(rows) == list(range(11))
    assert [row["gfflow/loss"] for row in rows.values()] == pytest.approx(module.losses, rel=1e-12)
    assert len(set(module.losses)) == 11  # every batch has moved the weights


class FiveOnEachBatch(TwoOptimizers):
    def training_step(self, batch, i):
        for _ in range(5):
            super().training_step(batch, i)


def test_several_steps_on_a_batch_and_an_end_beyond_the_estimated(tmp_path):
    """Lightning estimates 60 steps, one a batch: the schedule goes on, spaced as before."""
    module = FiveOnEachBatch()
    rows = fit(tmp_path, module, [cb.Loss()], max_epochs=60)
    assert all(step % 5 == 0 for step in rows) and {0, 5, 10, 300} <= set(rows)
    assert len([step for step in rows if step > 60]) > 20
    losses = [row["gfflow/loss"] for row in rows.values()]
    assert losses == pytest.approx([module.losses[step // 5] for step in rows], rel=1e-12)


def test_batches_that_are_gathered_into_one_step(tmp_path):
    module = Plain()
    rows = fit(tmp_path, module, [cb.Loss()], loader_of(4), accumulate_grad_batches=3)
    assert list(rows) == list(range(11))
    assert [row["gfflow/loss"] for row in rows.values()] == pytest.approx(module.losses[::3], rel=1e-12)


class Skipping(ByHand):
    """Steps on every second batch only."""

    def training_step(self, batch, _):
        if self.trainer.current_epoch % 2:
            self.gradients(batch)
            self.optimizers().step()


def test_batches_without_a_step_are_no_iterations(tmp_path):
    module = Skipping()
    rows = fit(tmp_path, module, [cb.Loss()])
    assert list(rows) == list(range(6))
    assert [row["gfflow/loss"] for row in rows.values()] == pytest.approx(module.losses[::2], rel=1e-12)


def test_other_optimizers_are_not_counted(tmp_path):
    class Beside(Plain):
        """Steps an optimiser of something else on every batch."""

        def training_step(self, batch, i):
            elsewhere = torch.nn.Parameter(torch.zeros(1))
            optimizer = torch.optim.SGD([elsewhere], lr=1.0)
            optimizer.step()
            optimizer.step()
            return super().training_step(batch, i)

    module = Beside()
    rows = fit(tmp_path, module, [cb.Loss()])
    assert list(rows) == list(range(11)) and rows[10]["gfflow/loss"] == pytest.approx(loss_of(module), rel=1e-12)
