"""The model: data, neurons, the network and its start, and a snapshot of them at one iteration."""
