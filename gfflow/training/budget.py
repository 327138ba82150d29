"""What measuring costs beside training, counted beforehand by sizes, never by the clock: the same training is then
measured at the same iterations on every machine and in every run."""

from __future__ import annotations

from dataclasses import dataclass

from gfflow.training.schedule import FEW, Schedule

SHARE = 0.1  # of the training's work
FREE = 3 * 10**9  # multiply-adds in float32 that are not worth saving, about a tenth of a second
STEP = 5 * 10**6  # of a step beside its products, such as Lightning's own 0.3 ms
MEASUREMENT = 10**7  # of a measurement beside its products, about half a millisecond
ACCELERATED = 30  # how many times faster an accelerator trains; what is measured is measured on the CPU, in float64
DOUBLE = 2  # float64 beside float32
STRUCTURE = 8  # of the singular values, times m d min(m, d)


@dataclass(frozen=True)
class Work:
    """Multiply-adds in float32: of one optimiser step, of one measurement, of one of the costlier ones (clusters,
    singular values) beside it."""

    step: float
    measurement: float
    costly: float

    @classmethod
    def of(cls, n: int, m: int, d: int, per_step: float, accelerated: bool = False) -> Work:
        """For m neurons in d coordinates on n samples, of which a step is trained on `per_step`.

        A step takes three products of x with the weights, forward and back; a measurement two, the outputs and the
        fields D_j.
        """
        trained = 3 * per_step * m * d / (ACCELERATED if accelerated else 1)
        costly = MEASUREMENT + DOUBLE * (STRUCTURE * min(m, d) + m) * m * d
        return cls(STEP + trained, MEASUREMENT + DOUBLE * 2 * n * m * d, costly)

    def affordable(self, schedule: Schedule) -> tuple[Schedule, Schedule]:
        """The iterations to measure at, of those scheduled, and the few among them for the costlier measures: at
        least the first and the last, of the few the last, and as many as make at most a tenth of the training's work
        (or of a second), a quarter of that for the costlier."""
        budget = max(SHARE * self.step * schedule.last, FREE)
        few = min(FEW, int(budget / 4 / self.costly))
        count = int((budget - few * self.costly) / self.measurement)
        chosen = schedule.thinned(max(2, min(count, len(schedule))))
        return chosen, chosen.thinned(few) if few > 1 else Schedule((chosen.last,))
