"""The rows of large networks and of many samples, in small."""

import pytest

from gfflow.benchmark.large import measure_many, measure_widths, points_on_a_line


@pytest.mark.slow
@pytest.mark.alone
def test_widths_have_a_time_each() -> None:
    line = measure_widths((50, 100), 20)
    assert line.sizes == [50, 100]
    for plain, fused in line.timings:
        assert plain.median > 0
        assert fused.median > 0
        assert fused.ratio == plain.median / fused.median


def test_many_samples_stand_beside_their_products() -> None:
    timings = measure_many((30, 20, 10), repetitions=2, steps=2)
    assert [timing.contestant for timing in timings][:2] == ["plain loop", "fused"]
    assert len(timings) == 4
    assert all(min(timing.seconds) > 0 for timing in timings)


def test_the_points_lie_on_the_line_of_pieces() -> None:
    data = points_on_a_line()
    assert (data.n, data.d) == (40, 2)
    assert float(data.y.min()) >= 0
    assert float(data.y.max()) <= 1
