"""The integrators by name."""

from __future__ import annotations

from gfflow.motion.flow.integrator import Integrator


def integrator_class(method: str) -> type[Integrator]:
    """The integrator of the method 'auto', 'splitting' or 'runge_kutta'; imports no more than that one needs."""
    if method == "runge_kutta":
        from gfflow.motion.flow.runge_kutta import RungeKutta

        return RungeKutta
    from gfflow.motion.flow.splitting import Splitting

    return Splitting
