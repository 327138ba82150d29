"""Schedules: properties that hold for every choice of numbers."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gfflow.errors import InvalidInput
from gfflow.training.schedule import Schedule

lasts = st.integers(1, 10**7)
ratios = st.none() | st.floats(1.001, 10)
linears = st.integers(0, 500)


@given(lasts, ratios, linears, st.lists(st.integers(-10, 10**7), max_size=10))
def test_sorted_distinct_from_zero_to_last_with_every_extra_in_range(
    last: int, ratio: float | None, linear: int, extra: list[int]
) -> None:
    schedule = Schedule.of(last, ratio, linear, extra)
    iterations = list(schedule)
    assert iterations == sorted(set(iterations))
    assert all(isinstance(i, int) for i in iterations)
    assert (iterations[0], iterations[-1], schedule.last) == (0, last, last)
    assert {i for i in extra if 0 <= i <= last} <= set(iterations)
    assert len(schedule) == len(iterations)


@given(lasts, st.floats(1.001, 10))
def test_log_spaced_iterations_never_leave_a_larger_ratio(last: int, ratio: float) -> None:
    iterations = Schedule.of(last, ratio, linear=0).iterations[1:]
    assert iterations[0] == 1
    for before, after in pairwise(iterations):
        # both are powers of the ratio rounded by at most 1/2 (and the power itself to 1e-9 at exponents of 20000)
        assert after == before + 1 or after <= (before + 0.5) * ratio * (1 + 1e-9) + 0.5


@given(lasts, st.integers(1, 500))
def test_linear_iterations_never_leave_a_larger_gap(last: int, linear: int) -> None:
    iterations = Schedule.of(last, None, linear).iterations
    assert len(iterations) <= linear + 1
    assert max(b - a for a, b in pairwise(iterations)) <= last / linear + 1


def test_without_either_only_the_ends_are_left() -> None:
    assert Schedule.of(1000, None, 0).iterations == (0, 1000)


@given(lasts, ratios, st.integers(0, 50), st.data())
def test_what_is_scheduled_after_an_iteration(
    last: int, ratio: float | None, linear: int, data: st.DataObject
) -> None:
    schedule = Schedule.of(last, ratio, linear)
    start, count = (
        data.draw(st.integers(0, last) | st.sampled_from(schedule.iterations)),
        data.draw(st.integers(0, 9)),
    )
    assert schedule.after(start) == tuple(i for i in schedule if i > start)
    assert schedule.after(start, count) == schedule.after(start)[:count]


@given(lasts, ratios, linears, st.integers(2, 250))
def test_thinned_is_a_subset_of_bounded_size_with_both_ends(
    last: int, ratio: float | None, linear: int, count: int
) -> None:
    schedule = Schedule.of(last, ratio, linear)
    thinned = schedule.thinned(count)
    assert len(thinned) <= count
    assert set(thinned) <= set(schedule)
    assert list(thinned) == sorted(set(thinned))
    assert (thinned.iterations[0], thinned.last) == (0, last)
    if len(schedule) <= count:
        assert thinned == schedule


@given(lasts, st.integers(2, 250), st.lists(st.integers(0, 10**7), max_size=20), st.integers(0, 10**7))
def test_thinned_always_keeps_what_it_must(last: int, count: int, extra: list[int], stranger: int) -> None:
    schedule = Schedule.of(last, 1.05, 100, extra)
    always = [i for i in extra if i <= last]
    thinned = schedule.thinned(count, [*always, stranger])
    assert set(always) <= set(thinned) <= set(schedule)
    assert len(thinned) <= max(count, len({0, last, stranger, *always}))


def test_thinned_keeps_both_the_beginning_and_the_end_covered() -> None:
    """Every decade from 10 on, and every tenth of the run, keeps a frame."""
    thinned = Schedule.of(10**6).thinned(60)
    for decade in range(1, 6):
        assert any(10**decade <= i < 10 ** (decade + 1) for i in thinned)
    for tenth in range(10):
        assert any(tenth * 10**5 <= i <= (tenth + 1) * 10**5 for i in thinned)
    assert len(thinned) > 40  # the two halves coincide in a few iterations only


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ((0, 1.05, 400), "solver.iterations"),
        ((10, 1.0, 400), "schedule.ratio"),
        ((10, math.nan, 400), "schedule.ratio"),
        ((10, math.inf, 400), "schedule.ratio"),
        ((10, 1.05, -1), "schedule.linear"),
    ],
)
def test_bad_numbers_are_refused_by_name(arguments: tuple, key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Schedule.of(*arguments)
    assert caught.value.key == key
