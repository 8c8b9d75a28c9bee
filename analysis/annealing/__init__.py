"""Annealed importance sampling: chains from a start to the posterior, and back."""
