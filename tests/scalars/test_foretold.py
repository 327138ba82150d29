import numpy as np

from gfflow.scalars.foretold import Foretold


def test_values_are_the_curves_wherever_they_are_asked() -> None:
    """Computed before or not, in any order, with moments before, between and after those computed; never a number
    where none is predicted."""

    def curve(times: list[float]) -> np.ndarray:
        return np.where(np.array(times) < 3, np.array(times) ** 2, np.inf)

    known = Foretold(curve)
    np.testing.assert_array_equal(known.at([2.0, 5.0]), [4, np.nan])
    known.prepare([0.0, 1.0, 2.5, 4.0])
    np.testing.assert_array_equal(known.at([4.0, 2.5, 0.0, 1.0]), [np.nan, 6.25, 0, 1])
    np.testing.assert_array_equal(known.at([-1.0, 2.0, 2.5, 9.0]), [1, 4, 6.25, np.nan])
    asked: list[list[float]] = []
    counted = Foretold(lambda times: asked.append(times) or curve(times))  # type: ignore[func-returns-value]
    counted.prepare([1.0, 2.0])
    counted.at([1.0, 2.0])
    assert asked == [[1.0, 2.0]]
    nothing = Foretold(lambda times: None)
    nothing.prepare([1.0])
    assert np.isnan(nothing.at([1.0, 2.0])).all()
