"""metrics.csv and TensorBoard say the same."""

import csv
import io

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gfflow.figures import FIGURES
from gfflow.records.dashboard import image_tag, write_image
from gfflow.records.loggers import EventLogger, MetricsTable
from gfflow.scalars import MEASURES


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_float64_survives_the_file_exactly(tmp_path):
    values = np.random.default_rng(0).standard_normal(50) * 10.0 ** np.arange(-300, 300, 12)
    table = MetricsTable(tmp_path / "metrics.csv", every_seconds=0.0)
    for step, value in enumerate(values):
        table.log_metrics({"loss": value}, step)
    table.finalize("success")
    assert [float(row["loss"]) for row in read(table.path)] == values.tolist()


def test_rows_of_one_step_are_joined_and_late_columns_leave_cells_empty(tmp_path):
    table = MetricsTable(tmp_path / "metrics.csv")
    table.log_metrics({"loss": 1.0}, 0)
    table.log_metrics({"time": 0.0}, 0)
    table.log_metrics({"loss": 0.5, "late": 2.0}, 3)
    table.save()
    assert read(table.path) == [
        {"step": "0", "loss": "1.0", "time": "0.0", "late": ""},
        {"step": "3", "loss": "0.5", "time": "", "late": "2.0"},
    ]
    columns = table.columns()
    assert np.isnan(columns["late"][0]) and columns["late"][1] == 2.0


def test_an_interruption_leaves_a_whole_file(tmp_path):
    table = MetricsTable(tmp_path / "metrics.csv", every_seconds=0.0)
    for step in range(10):
        table.log_metrics({"loss": float(step)}, step)
    written = [int(row["step"]) for row in read(table.path)]
    assert (
        written == list(range(len(written))) and len(written) >= 8
    )  # the rows of the last two steps may still be in memory


def test_tensorboard_has_the_same_names_steps_and_values(tmp_path):
    logger = EventLogger(tmp_path)
    for step in (0, 5, 70):
        logger.log_metrics({"mass/u_plus": step / 7, "loss": 1.0}, step)
    logger.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    names = {"mass/u_plus", "loss"}
    assert set(events.Tags()["scalars"]) == names | {f"log10_iteration/{name}" for name in names}
    mirrored = events.Scalars("log10_iteration/mass/u_plus")
    assert [event.step for event in mirrored] == [699, 1845]  # 1000 log10 of 5 and of 70
    logged = events.Scalars("mass/u_plus")
    assert [event.step for event in logged] == [0, 5, 70]
    np.testing.assert_allclose([event.value for event in logged], [0, 5 / 7, 10], rtol=1e-7)  # float32


def test_figures_and_scalars_of_one_name_are_told_apart_by_tensorboard(tmp_path):
    logger = EventLogger(tmp_path)
    logger.log_metrics({"loss": 1.0}, 0)
    picture = io.BytesIO()
    Image.new("RGB", (2, 2)).save(picture, "png")
    write_image(logger.experiment, image_tag("loss"), picture.getvalue(), 5)
    logger.close()
    served = plugin_event_accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()  # as TensorBoard reads
    assert set(served.Tags()["tensors"]) == {"loss", image_tag("loss")}
    assert [tuple(event.tensor_proto.tensor_shape.dim) for event in served.Tensors("loss")] == [()]
    scalars = {name for entry in MEASURES.values() for name in entry.names}
    assert not scalars & {image_tag(name) for name in FIGURES}
