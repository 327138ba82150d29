"""How neurons move while the residual is frozen, exactly, and the integrators of the flow that stand on it."""
