"""The times at which the paper's lemmas speak, and the iterations of descent that stand for them.

With r = ||D+||/||D-|| < 1 the two signs change roles: 'first' is the sign with the larger ||D||.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gfflow.theory.groups import ordered
from gfflow.theory.prediction import FITTED, Prediction

END_PHASE = 8  # frames of the last, exponential phase, in which the loss falls by e^2 or more from each to the next


@dataclass(frozen=True)
class Milestone:
    """A flow time, and the rate of the exponential growth that is followed up to it."""

    time: float
    rate: float

    def iteration(self, lr: float, descent: bool = True) -> int:
        """The iteration that stands for the flow time.

        Along a direction in which the flow grows as e^{Nt}, descent grows as (1 + lr N)^i: over long times the clock
        lr * i lags behind by about t lr N / 2, so the iteration is the one where both have grown by the same factor.
        """
        return round(self.time * self.rate / math.log1p(lr * self.rate) if descent else self.time / lr)


def milestones(prediction: Prediction, epsilon: float) -> dict[str, Milestone]:
    """The times of Figure 1 and of Eq. 12, 15, 17 and 23 for lambda < 1 and the given epsilon; empty where the theory
    does not apply.

    't+1' (Eq. 12), 't1' (Lemma 2; t-1 of Eq. 15), 't2 at most' and 't3 at most' (Lemma 10, 11), 'saddle left'
    (Fact 1); 't2' and 't3' are where the predicted masses reach the thresholds of Eq. 17 and 23, absent where lambda
    is so large that the thresholds are not positive.
    """
    groups = ordered(prediction.groups)
    if groups is None or prediction.scale >= 1:
        return {}
    first, second = groups
    line = prediction.timeline(epsilon)
    assert line is not None  # both rates are positive
    found = {
        "t+1": Milestone(-epsilon * math.log(prediction.scale) / first.rate, first.rate),
        "t1": Milestone(line.aligned, second.rate),
        "t2 at most": Milestone(line.first_fitted, first.rate),
        "saddle left": Milestone(line.saddle_left, second.rate),
        "t3 at most": Milestone(line.second_fitted, second.rate),
    }
    for name, group, divisor in (("t2", first, 5), ("t3", second, 29)):
        fraction = 1 - prediction.scale ** (epsilon / divisor) / group.mass_limit
        if 0 < fraction < 1:
            found[name] = Milestone(group.time_of_fraction(fraction), group.rate)
    return found


def admitted_epsilons(prediction: Prediction) -> dict[str, float]:
    """The largest epsilon that B.2 admits, with alpha and beta 'as printed' and with the 'sharp' ones."""
    both = {"as printed": prediction.epsilon_max, "sharp": prediction.epsilon_max_sharp}
    return {name: epsilon for name, epsilon in both.items() if epsilon is not None and epsilon > 0}


def milestone_iterations(prediction: Prediction, lr: float, descent: bool = True) -> set[int]:
    """Where a lemma speaks, for the largest epsilons that B.2 admits, and a few iterations in the end phase."""
    groups = ordered(prediction.groups)
    if groups is None:
        return set()
    epsilons = admitted_epsilons(prediction).values()
    found = [milestone for epsilon in epsilons for milestone in milestones(prediction, epsilon).values()]
    fitted, rate = groups[1].time_of_fraction(FITTED), groups[1].rate
    found += [Milestone(fitted + i / (2 * rate), rate) for i in range(END_PHASE)]
    return {m.iteration(lr, descent) for m in found}
