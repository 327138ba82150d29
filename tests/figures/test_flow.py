"""Descent beside the flow, and the flow's sliding pairs, as they are drawn."""

from collections.abc import Callable

import numpy as np

from gfflow.figures import flow_distance, sliding_pairs
from gfflow.records.run import Run


def test_distance_to_the_flow_is_drawn_on_a_log_axis(trained: Callable[[str], Run]) -> None:
    run = trained("beside")
    figure = flow_distance(run)
    assert figure is not None
    (axes,) = figure.axes
    assert axes.get_yscale() == "log"
    for line, name in ((axes.lines[0], "flow/distance"), (axes.lines[1], "flow/function_distance")):
        step, distance = run.column(name)
        assert np.array_equal(line.get_xdata(), step) and np.array_equal(line.get_ydata(), distance)
    legend = axes.get_legend()
    assert legend is not None
    assert all("at most" in text.get_text() for text in legend.get_texts())


def test_sliding_pairs_are_drawn_above_the_loss(trained: Callable[[str], Run]) -> None:
    run = trained("sliding")
    figure = sliding_pairs(run)
    assert figure is not None
    upper, lower = figure.axes
    assert np.array_equal(upper.lines[0].get_ydata(), run.column("flow/sliding_pairs")[1])
    assert np.array_equal(lower.lines[0].get_ydata(), run.column("loss")[1])


def test_neither_is_drawn_where_it_does_not_apply(trained: Callable[[str], Run]) -> None:
    assert sliding_pairs(trained("beside")) is None and flow_distance(trained("sliding")) is None
    assert flow_distance(trained("bare")) is None and sliding_pairs(trained("bare")) is None
