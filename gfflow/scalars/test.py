"""What a test set shows, where the data has one, and how near the network is to the teacher that made the labels."""

from __future__ import annotations

from torch import Tensor

from gfflow.measures.teacher import teacher_angle, teacher_distance
from gfflow.model.data import TrainingSet
from gfflow.model.snapshot import Snapshot
from gfflow.scalars.base import Measure, Scalars, Setting, measure
from gfflow.theory.baselines import least_squares


@measure(
    "test",
    [
        Scalars(
            ("test/loss",),
            "the loss on the test set, 1/(2n') sum (h - y)^2 or the mean of another loss",
            "a test set",
        ),
        Scalars(
            ("test/least_squares_distance",),
            "||h - l|| / ||l|| over the test inputs, l the linear function of least squares on the training samples",
            "a test set",
        ),
    ],
)
class TestLoss(Measure):
    """`test/loss`, and `test/least_squares_distance`, in units of the least-squares function's own size there."""

    __test__ = False  # to pytest: no test

    @classmethod
    def of(cls, setting: Setting) -> Measure | None:
        data = setting.training_set
        return None if data is not None and data.test is None else cls()

    def __init__(self) -> None:
        self.known: tuple[TrainingSet, Tensor] | None = None  # the data, and the linear function on its test inputs

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        data = snapshot.training_set
        if data.test is None:
            return {}
        if self.known is None or self.known[0] is not data:
            self.known = (data, data.test.x @ least_squares(data))
        line, h = self.known[1], snapshot.neurons.outputs(data.test.x)
        scalars = {"test/loss": float(data.loss.value(h, data.test.y).mean())}
        if float(line.norm()) > 0:
            scalars["test/least_squares_distance"] = float((h - line).norm() / line.norm())
        return scalars


@measure(
    "teacher",
    [
        Scalars(
            ("teacher/angle",),
            "mean angle (radians) of w_j with the nearest teacher neuron's, weighted by |a_j| ||w_j||",
            "data with a teacher",
        ),
        Scalars(
            ("teacher/distance",),
            "distance from the teacher over its size: a_j w_j added up over those nearest to one of its neurons",
            "data with a teacher",
        ),
    ],
)
class TeacherDistance(Measure):
    """`teacher/angle` and `teacher/distance` (measures.teacher)."""

    @classmethod
    def of(cls, setting: Setting) -> Measure | None:
        data = setting.training_set
        return None if data is not None and data.teacher is None else cls()

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        teacher = snapshot.training_set.teacher
        if teacher is None:
            return {}
        return {
            "teacher/angle": teacher_angle(snapshot.neurons, teacher),
            "teacher/distance": teacher_distance(snapshot.neurons, teacher),
        }
