"""Measuring keeps to a tenth of the training, by counted work."""

import pytest
from foreign_trainings import Plain, fit
from hypothesis import given
from hypothesis import strategies as st

from gfflow import callbacks as cb
from gfflow.training import budget
from gfflow.training.budget import Work
from gfflow.training.schedule import FEW, Schedule


@given(
    st.integers(1, 60_000),
    st.integers(1, 5_000),
    st.integers(1, 3_000),
    st.integers(1, 512),
    st.integers(1, 10**6),
    st.booleans(),
)
def test_measuring_is_a_tenth_of_the_training_or_takes_no_time(n, m, d, per_step, steps, accelerated):
    """Beyond the first and the last measurement, and the last of the costlier ones."""
    work = Work.of(n, m, d, per_step, accelerated)
    wished = Schedule.of(steps, linear=0)
    chosen, few = work.affordable(wished)
    assert set(few) <= set(chosen) <= set(wished) and {0, steps} <= set(chosen) and steps in few
    cost = (len(chosen) - 2) * work.measurement + (len(few) - 1) * work.costly
    assert cost <= max(0.1 * work.step * steps, budget.FREE) + 1
    assert len(few) <= FEW


def test_small_trainings_are_measured_at_every_scheduled_iteration():
    wished = Schedule.of(10_000, linear=0)
    assert Work.of(64, 50, 3, 16).affordable(wished) == (wished, wished.thinned(FEW))


def test_a_large_set_trained_for_long_is_measured_often_and_for_a_moment_twice():
    work = Work.of(5_000, 1_000, 784, 64)
    chosen, few = work.affordable(Schedule.of(300, linear=0))
    assert (chosen.iterations, few.iterations) == ((0, 300), (300,))
    chosen, few = work.affordable(Schedule.of(30_000, linear=0))
    assert len(chosen) > 20 and len(few) > 8


def test_a_thinned_schedule_is_said_and_the_same_in_every_run(tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "FREE", 0)
    runs = []
    for seed in (0, 1):
        with pytest.warns(UserWarning, match=r"measured at 3 of 44 iterations.*View\(schedule=Schedule.of\(60\)\)"):
            runs.append(fit(tmp_path, Plain(seed=seed), [cb.Loss(), cb.Structure()], max_epochs=60))
    assert list(runs[0]) == list(runs[1]) and {0, 60} <= set(runs[0])
    assert "gfflow/structure/clusters" in runs[0][60]
    given = fit(tmp_path, Plain(), [cb.View(schedule=Schedule.of(60)), cb.Loss()], max_epochs=60)
    assert list(given) == list(range(61))
