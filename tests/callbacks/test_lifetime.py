"""Callbacks from one training to the next, and where their scalars go."""

import csv
import warnings

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from foreign_trainings import QUIET, Plain, X, Y, fit, gradient_norm_of, loader_of, loss_of, trainer_for
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gfflow import callbacks as cb
from gfflow.errors import InvalidInput
from gfflow.scalars import Measure
from gfflow.training.schedule import Schedule


class Seen(Measure):
    """A measure of one's own that keeps a list and gives no state away."""

    def __init__(self):
        self.seen = []

    def measure(self, snapshot):
        self.seen.append(snapshot.iteration)
        return {"seen": float(len(self.seen))}


def all_kinds(folder):
    own = [cb.Measured(Seen()), cb.Loss(), cb.Invariants(), cb.AssignedAlignment(), cb.Structure()]
    return [*own, cb.TrajectoryRecorder(folder / "trajectory.npz")]


def test_one_list_of_callbacks_for_several_trainers(tmp_path):
    """Every training, of another seed, length and width too, is measured as by callbacks of its own."""
    shared = all_kinds(tmp_path)
    for seed, (width, epochs) in enumerate([(6, 30), (6, 40), (4, 25)]):
        rows = fit(tmp_path, Plain(width, seed=seed), shared, max_epochs=epochs)
        wanted = fit(tmp_path, Plain(width, seed=seed), all_kinds(tmp_path / "own"), max_epochs=epochs)
        assert rows == wanted
        assert rows[0]["gfflow/invariant/balance_drift"] == rows[0]["gfflow/invariant/reactivations"] == 0
        assert "gfflow/structure/clusters" in rows[epochs]
        with np.load(tmp_path / "trajectory.npz") as file, np.load(tmp_path / "own" / "trajectory.npz") as own:
            assert all(np.array_equal(file[key], own[key]) for key in own)
            assert file["step"][-1] == epochs and file["w"].shape[1] == width


def test_a_training_that_a_checkpoint_resumes_goes_on(tmp_path):
    def epochs(count, shared, **options):
        trainer = trainer_for(tmp_path, shared, max_epochs=count, **options)
        return trainer

    whole, measured = cb.View(schedule=Schedule.of(20)), [cb.Invariants(), cb.Loss()]
    epochs(20, [whole, *measured]).fit(Plain(), loader_of())
    first, second = cb.View(schedule=Schedule.of(20)), cb.View(schedule=Schedule.of(20))
    halfway = epochs(10, [first, *measured])
    halfway.fit(Plain(), loader_of())
    halfway.save_checkpoint(tmp_path / "half.ckpt")
    epochs(20, [second, *measured]).fit(Plain(), loader_of(), ckpt_path=tmp_path / "half.ckpt", weights_only=False)
    assert {**first.rows, **second.rows} == whole.rows and min(second.rows) >= 10


class Stop(pl.Callback):
    """A cell that is stopped."""

    def __init__(self, batch):
        self.batch = batch

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.global_step == self.batch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("same_trainer", [False, True])
def test_a_cell_that_was_stopped_and_runs_again(tmp_path, same_trainer):
    view, measured, stop = cb.View(), [cb.Loss(), cb.GradientNorm()], Stop(5)
    module = Plain()
    trainer = trainer_for(tmp_path, [view, *measured, stop])
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        trainer.fit(module, loader_of())
    stop.batch = -1
    module = Plain(seed=1)
    if not same_trainer:
        trainer = trainer_for(tmp_path, [view, *measured, stop])
    trainer.fit(module, loader_of())
    steps = range(5, 11) if same_trainer else range(11)  # the same trainer goes on counting
    assert list(view.rows) == list(steps)
    assert [row["loss"] for row in view.rows.values()] == pytest.approx(module.losses, rel=1e-12)


class Logging(Plain):
    def training_step(self, batch, i):
        loss = super().training_step(batch, i)
        self.log("loss", loss)
        return loss


def test_the_modules_own_loss_has_a_series_of_its_own(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    module = Logging()
    callbacks = [cb.Loss(), cb.GradientNorm(), cb.Histograms()]
    pl.Trainer(max_epochs=5, callbacks=callbacks, logger=logger, log_every_n_steps=1, **QUIET).fit(
        module, loader_of()
    )
    events = EventAccumulator(logger.log_dir).Reload()
    assert {"loss", "gfflow/loss", "gfflow/gradient/norm"} <= set(events.Tags()["scalars"])
    assert [e.value for e in events.Scalars("gfflow/loss")] == pytest.approx(module.losses, rel=1e-6)  # float32
    assert [e.value for e in events.Scalars("loss")] == pytest.approx([2 * v for v in module.losses[:-1]], rel=1e-6)
    assert "gfflow/neurons/own_cosine" in events.Tags()["histograms"]
    layout = events.Tensors("custom_scalars__config__")[-1].tensor_proto.string_val[0]
    assert b"^gfflow/loss$" in layout or b"gfflow/alignment" in layout
    rows = fit(tmp_path, Plain(), [cb.View(prefix="lab/"), cb.Loss()])
    assert set(rows[10]) == {"lab/loss"}


def test_one_row_a_measurement(tmp_path):
    module = Plain()
    logger = CSVLogger(tmp_path)
    callbacks = [cb.Loss(), cb.View(), cb.Structure(), cb.GradientNorm(), cb.AlignmentCosines(), cb.GroupMasses()]
    trainer_for(tmp_path, callbacks, logger=logger, max_epochs=36).fit(module, loader_of())
    with open(f"{logger.log_dir}/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    assert steps == list(Schedule.of(36, linear=0))
    full = [name for name in rows[0] if "structure" not in name]
    assert all(row[name] for row in rows for name in full)
    losses = [float(row["gfflow/loss"]) for row in rows]
    assert losses == pytest.approx([module.losses[step] for step in steps], rel=1e-12)


def test_without_a_logger_scalars_are_in_the_trainers_metrics(tmp_path):
    module, view = Plain(), cb.View()
    trainer = trainer_for(tmp_path, [view, cb.Loss(), cb.GradientNorm()])
    trainer.fit(module, loader_of())
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert found["gfflow/loss"] == pytest.approx(loss_of(module), rel=1e-12)
    assert found["gfflow/gradient/norm"] == pytest.approx(gradient_norm_of(module), rel=1e-12)
    assert view.rows[10]["loss"] == found["gfflow/loss"]


class Turning(Plain):
    """Descends for eight epochs, and then goes up again."""

    def configure_optimizers(self):
        optimizer = super().configure_optimizers()
        turn = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0 if epoch < 8 else -1.0)
        return [optimizer], [turn]


def test_early_stopping_and_checkpoints_read_the_scalars_of_the_weights_as_they_stand(tmp_path):
    """Although the schedule has nothing between 1 and 40."""
    module = Turning()
    stopping = EarlyStopping("gfflow/loss", patience=3, min_delta=0.0)
    best = ModelCheckpoint(tmp_path, monitor="gfflow/loss", save_top_k=1, filename="best")
    callbacks = [stopping, best, cb.View(schedule=Schedule((0, 1, 40))), cb.Loss()]
    trainer = trainer_for(tmp_path, callbacks, max_epochs=40, enable_checkpointing=True)
    trainer.fit(module, loader_of())
    assert int(np.argmin(module.losses)) == 8 and trainer.global_step == 8 + 3
    assert float(best.best_model_score) == pytest.approx(min(module.losses), rel=1e-12)
    kept = Plain(seed=5)
    kept.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
    assert loss_of(kept) == pytest.approx(min(module.losses), rel=1e-12)


def test_a_second_view_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="callbacks: received 2 Views; allowed: one View") as caught:
        fit(tmp_path, Plain(), [cb.View(), cb.Loss(), cb.View(prefix="")])
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["weight_norm", "prune"])
def test_weights_that_are_made_anew_before_each_forward(tmp_path, kind):
    """They are attributes of a layer, one step late at the end of a batch."""
    module = Plain()
    if kind == "weight_norm":
        nn.utils.weight_norm(module.net[0])
    else:
        nn.utils.prune.random_unstructured(module.net[0], "weight", 0.3)
    rows = fit(tmp_path, module, [cb.Loss()])
    losses = [row["gfflow/loss"] for row in rows.values()]
    assert losses == pytest.approx(module.losses, rel=1e-12) and len(losses) == 11


def test_the_other_package_of_lightning(tmp_path):
    other = pytest.importorskip("pytorch_lightning")

    class Theirs(other.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = Plain().net

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, _):
            return nn.functional.mse_loss(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.05)

    module, logger = Theirs(), other.loggers.TensorBoardLogger(tmp_path)
    callbacks = [cb.Loss(), cb.GradientNorm(), cb.Histograms()]
    trainer = other.Trainer(max_epochs=5, callbacks=callbacks, logger=logger, log_every_n_steps=1, **QUIET)
    trainer.fit(module, loader_of())
    events = EventAccumulator(logger.log_dir, size_guidance={"histograms": 0}).Reload()
    assert events.Scalars("gfflow/loss")[-1].value == pytest.approx(loss_of(module), rel=1e-6)  # float32
    assert len(events.Histograms("gfflow/neurons/own_cosine")) == 6
    assert "custom_scalars__config__" in events.Tags()["tensors"]


def test_histograms_say_where_nothing_can_take_them(tmp_path):
    with pytest.warns(UserWarning, match="no histograms are written by MetricsTable"):
        fit(tmp_path, Plain(), [cb.Histograms()])


def test_a_trajectory_has_its_folder_before_training(tmp_path):
    there = tmp_path / "a" / "b"

    class Look(pl.Callback):
        def on_train_start(self, *_):
            assert there.is_dir() and list(there.iterdir()) == []

    fit(tmp_path, Plain(), [cb.TrajectoryRecorder(there / "t.npz"), Look()], max_epochs=2)
    assert [path.name for path in there.iterdir()] == ["t.npz"]
    (tmp_path / "file").touch()
    for path, said in [
        (tmp_path / "file" / "t.npz", "a file that can be written"),
        (tmp_path / "trajectory", "a file whose name ends in .npz"),
    ]:
        module = Plain()
        with pytest.raises(InvalidInput, match=said) as caught:
            fit(tmp_path, module, [cb.TrajectoryRecorder(path)])
        assert "\n" not in str(caught.value) and module.losses == []  # before the first step


def test_of_several_processes_the_first_writes(tmp_path, monkeypatch):
    """As the second of two would, by Lightning's own word for it."""
    monkeypatch.setattr(pl.Trainer, "is_global_zero", property(lambda _: False))
    trainer = trainer_for(tmp_path, [cb.Loss(), cb.TrajectoryRecorder(tmp_path / "t.npz")], max_epochs=2)
    module = Plain()
    trainer.fit(module, loader_of())
    assert not (tmp_path / "t.npz").exists()
    assert float(trainer.callback_metrics["gfflow/loss"]) == pytest.approx(loss_of(module), rel=1e-12)


@pytest.mark.slow
def test_two_processes_write_one_trajectory(tmp_path):
    """Trained by two processes that share the samples out."""
    strategy = pl.strategies.DDPStrategy(process_group_backend="gloo", start_method="fork")
    callbacks = [cb.Loss(), cb.TrajectoryRecorder(tmp_path / "t.npz")]
    trainer = trainer_for(tmp_path, callbacks, max_epochs=3, devices=2, strategy=strategy)
    loader = DataLoader(TensorDataset(X, Y), batch_size=6, shuffle=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(Plain(), loader)
    with np.load(tmp_path / "t.npz") as file:
        assert file["step"].tolist() == [0, 1, 2, 3] and np.array_equal(file["x"], X)
