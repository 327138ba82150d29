"""Integrators of gradient flow: free steps from a state, each with its dense output."""
