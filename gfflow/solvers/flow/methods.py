"""The integrators by name."""

from __future__ import annotations

from gfflow.solvers.flow.integrator import Integrator
from gfflow.solvers.flow.runge_kutta import RungeKutta
from gfflow.solvers.flow.splitting import Splitting

METHODS: dict[str, type[Integrator]] = {"auto": Splitting, "splitting": Splitting, "runge_kutta": RungeKutta}
