"""gfflow: a laboratory for the training dynamics of two-layer ReLU networks."""
