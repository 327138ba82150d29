"""Grouped descent: a step costs what the groups of neurons of equal gates cost, whatever the width is.

Neurons that are open on the same samples have one **pattern**, and one step moves them by one linear map, THE map of
the pattern (see `sweeps`). A **group** is a set of neurons of one pattern that have shared all maps since it was
formed: the product of the maps, and the second moment of its neurons' weights theta = (w, a) as they were then, are
all that a step needs. Within a group neurons lie in **blocks**: a ball around their directions says until when no
gate of any of them can have changed. Neurons near a few gates lie in **pages** and are stepped one by one, with these
gates alone looked at; those near many are **loose** and stepped with all gates looked at. In the plane, neurons that
chatter on one gate lie in **bands**, and are stepped in strands of neurons that open and close together.

The parts, from the outside in; all but the first are compiled:

- `descent`: what a solver calls: steps by groups where they pay, and neuron by neuron where they do not
- `forming`: groups formed from a network's weights, and written back into them
- `loop`: the loop over the steps
- `sweeps`: a step of the groups, the pages and the loose neurons; `fields`: what links steps,
  the h and the D
- `places`: which neurons are to be looked at by now, and where they belong
- `bands`: the neurons that chatter; `strands`: how they are stepped together
- `groups`, `pages`: what goes into a group or a page, and out of it
- `patterns`: the sets of open samples, found by a hash table and described by their differences
- `gates`: distances from gates, and for how long none can be reached
- `state`: everything that is kept from step to step
"""

from gfflow.solvers.grouped.descent import Grouped, may_pay

__all__ = ["Grouped", "may_pay"]
